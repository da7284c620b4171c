"""Loads an app in a child process, which then runs the command; this process reports how the child ended."""

from __future__ import annotations

import os
import signal
import sys
from typing import NoReturn

from goque.app import load_registry
from goque.errors import ConfigurationError, GoqueError
from goque.registry import Registry
from goque_supervisor.ipc import os_process
from goque_supervisor.ipc.exit_cause import ExitCause
from goque_supervisor.nursery.import_report import import_ended


def load_isolated(app: str) -> Registry:
    """Load an app in a child process and return its registry there; the child finishes the command.

    Raises:
        ConfigurationError: there is no such registry, or loading it ended the child.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    parent = os.getpid()
    reader, writer = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writer)
        _wait_for_child(app, pid, reader)
    os_process.die_with_parent(parent)
    os.close(reader)
    try:
        return load_registry(app)
    finally:
        os.write(writer, b".")  # after os._exit or a crash nothing is written
        os.close(writer)


def _wait_for_child(app: str, pid: int, reader: int) -> NoReturn:
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C also reaches the child, whose exit code is passed on
    signal.signal(
        signal.SIGTERM, lambda number, _frame: os.kill(pid, number)
    )  # only this process gets that signal
    came_back = os.read(reader, 1)
    os.close(reader)
    _pid, status = os.waitpid(pid, 0)
    cause = ExitCause.from_status(os.waitstatus_to_exitcode(status))
    if not came_back:
        raise ConfigurationError(import_ended(app, cause))
    if cause.exit_code is None:
        raise GoqueError(f"code of app {app!r} ended this command by {cause}")
    sys.exit(cause.exit_code)
