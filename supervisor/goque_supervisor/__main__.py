"""The root supervisor as a program. `launch` starts it and passes its settings on an inherited descriptor."""

from __future__ import annotations

import os
import sys

from goque.private import ensure_temporary_directory
from goque.telemetry import logs
from goque_supervisor.ipc.run_directory import RunDirectoryError, open_run_directory
from goque_supervisor.root.event_loop import EventLoop
from goque_supervisor.settings import SuperviseOptions


def main() -> int:
    """Run a tree; the descriptors of settings and, for a registry handed over, of the registry are arguments."""
    settings, *registry = (int(text) for text in sys.argv[2:])
    with os.fdopen(settings, "rb") as file:
        options = SuperviseOptions.from_json(file.read().decode())
    logs.configure("supervisor", log_format=options.log_format, level=options.log_level)
    if sys.platform == "win32":
        sys.stderr.write("goque: Windows has no process groups and no fork; run goque on Linux\n")
        return 2
    try:
        run = open_run_directory(options.run_dir, with_metrics=bool(options.http))
    except RunDirectoryError as error:
        sys.stderr.write(f"goque: {error}\n")
        return 2
    ensure_temporary_directory(str(run.path))
    if registry:
        os.set_inheritable(registry[0], False)
    return EventLoop(options, run, registry_fd=registry[0] if registry else None).run()


if __name__ == "__main__":
    sys.exit(main())
