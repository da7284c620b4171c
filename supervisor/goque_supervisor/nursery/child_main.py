"""The first code in every child: it starts a session, sets the death signal and logging, and runs its role's loop."""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Callable
from socket import socket as Socket  # noqa: N812 - the app may replace socket.socket by a proxy's
from typing import Any, Final

from goque.config import settle_database_url
from goque.errors import GoqueError
from goque.execution.streams import flush_streams
from goque.telemetry import logs, tracing
from goque_supervisor.ipc import os_process
from goque_supervisor.ipc.channel import Channel
from goque_supervisor.ipc.control import BootFailed
from goque_supervisor.ipc.process_signals import reset_signals
from goque_supervisor.ipc.run_directory import stderr_path
from goque_supervisor.ipc.stderr_marks import mark_of
from goque_supervisor.nursery import exit_functions

LOOPS: Final = {
    "worker": "goque_supervisor.worker.main",
    "callback": "goque_supervisor.worker.crash_callback",
    "reporter": "goque_supervisor.worker.failure_reporter",
    "fetcher": "goque_supervisor.fetcher.fetcher_process",
    "lease": "goque_supervisor.actors.lease",
    "healer": "goque_supervisor.actors.healer",
    "cleaner": "goque_supervisor.actors.cleaner",
    "scheduler": "goque_supervisor.actors.scheduler",
    "monitor": "goque_supervisor.actors.monitor",
    "reloader": "goque_supervisor.actors.reloader",
}
"""The module that has the loop of each role; a nursery imports them before it forks."""

TRACED: Final = frozenset({"worker", "callback", "reporter", "fetcher", "healer", "cleaner", "scheduler"})


def run_child(boot: dict[str, Any], descriptor: int, root: int) -> None:
    """Become the process that `boot` describes; returns when its loop has ended."""
    os.setsid()
    os_process.die_with_parent(root)
    role = boot["role"]
    os_process.set_name(f"goque:{role}" if role != "worker" else f"goque:w{boot['slot']}:{boot['pool']}")
    reset_signals()
    _redirect(boot)
    logs.configure(
        role,
        log_format=boot["log_format"],
        level=boot["log_level"],
        of=boot.get("pool") or boot.get("task_type"),
        task_type=boot.get("task_type"),
        mark=mark_of(stderr_path(boot["box"])) if role == "worker" else "",
    )
    channel = Channel(Socket(fileno=descriptor), blocking=True)
    run: Callable[[dict[str, Any], Channel], None] = importlib.import_module(LOOPS[role]).run
    ends_in_order = role in exit_functions.ROLES
    if ends_in_order:
        exit_functions.leave_to_the_nursery()
    tracing.begin_process(traced=role in TRACED)
    if not ends_in_order:
        tracing.hide_own_statements()
    try:
        run(boot, channel)
    except GoqueError as error:
        channel.send(BootFailed(str(error), error.exit_code))
        sys.exit(1)
    finally:
        if ends_in_order:
            exit_functions.run_exit_functions()
        tracing.flush()
        channel.close()


def _redirect(boot: dict[str, Any]) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.close(null)
    if boot["role"] == "worker":
        flush_streams()
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        file = os.open(stderr_path(boot["box"]), flags, 0o600)
        os.dup2(file, 2)
        os.close(file)


def main() -> None:
    """Run a spawned child: its boot data comes through a pipe, so that no secret is among the arguments."""
    reader, descriptor, root = (int(text) for text in sys.argv[1:4])
    with os.fdopen(reader, "rb") as pipe:
        boot = json.loads(pipe.read())
    os.set_inheritable(descriptor, False)
    settle_database_url(boot["database_url"])  # a forked child has it from its nursery
    run_child(boot, descriptor, root)


if __name__ == "__main__":
    main()
