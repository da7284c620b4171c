"""Loads an app in a child process, where it can neither crash nor slow down the command's own process for good.

Either the child runs the rest of the command with the registry, and this process reports how the child ended; or the
child tells what a command needs to know of the app, and ends.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final, NoReturn

import msgspec

from goque.app import load_registry
from goque.errors import ConfigurationError, GoqueError
from goque.registry import Registry
from goque_supervisor.ipc import os_process
from goque_supervisor.ipc.exit_cause import ExitCause
from goque_supervisor.nursery.import_report import SLOW_IMPORT, import_ended, import_is_slow

LOOK_AT_CHILD: Final = 0.2
"""Seconds between two looks whether the child has ended: a process that it left behind may hold the pipe open."""

log = logging.getLogger("goque.cli")


class AppFacts(msgspec.Struct, frozen=True):
    """What a command asks an app about.

    Attributes:
        database_url: the registry's own, None if it has none.
        types: the task types that it runs.
        trouble: why the app does not load; empty if it does.
    """

    database_url: str | None = None
    types: list[str] = []
    trouble: str = ""


def read_app(app: str, *, patience: float | None = None) -> AppFacts:
    """Load an app in a child process that ends then, and return what it says.

    What the app prints goes to standard error: standard output is for what the command was asked for.

    Args:
        app: `module:attribute`.
        patience: the most seconds to wait; then nothing that the app prints is shown either. None for as long as it
            takes.

    Raises:
        ConfigurationError: there is no such registry, loading it ended the child, or it took too long.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    parent = os.getpid()
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        _tell_facts(app, parent, writer, is_quiet=patience is not None)
    os.close(writer)
    try:
        text, status = _read_answer(app, pid, reader, patience)
    except BaseException:
        os_process.kill(pid)
        with suppress(ChildProcessError):
            os.waitpid(pid, 0)
        raise
    finally:
        os.close(reader)
    try:
        facts = msgspec.json.decode(text, type=AppFacts)
    except msgspec.DecodeError:
        cause = ExitCause.from_status(os.waitstatus_to_exitcode(status))
        raise ConfigurationError(import_ended(app, cause)) from None
    if facts.trouble:
        raise ConfigurationError(facts.trouble)
    return facts


def _tell_facts(app: str, parent: int, writer: int, *, is_quiet: bool) -> NoReturn:
    end = os._exit  # the app may replace that of os
    code = 1
    try:
        os_process.die_with_parent(parent)
        if is_quiet:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        os.dup2(2, 1)
        try:
            registry = load_registry(app)
            facts = AppFacts(registry.database_url, list(registry.task_types))
        except ConfigurationError as error:
            facts = AppFacts(trouble=str(error))
        os.write(writer, msgspec.json.encode(facts))
        code = 0
    finally:
        end(code)


def _read_answer(app: str, pid: int, reader: int, patience: float | None) -> tuple[bytes, int]:
    """Return what the child has written, and its exit status."""
    began, said, text = time.monotonic(), False, b""
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        while select.select([reader], [], [], 0 if ended else LOOK_AT_CHILD)[0]:
            part = os.read(reader, 65536)
            text += part
            if not part:
                return text, status if ended else os.waitpid(pid, 0)[1]
        if ended:
            return text, status
        waited = time.monotonic() - began
        if patience is not None and waited > patience:
            raise ConfigurationError(f"app {app!r} took longer than {patience:g}s to import")
        if waited > SLOW_IMPORT and not said:
            log.warning("%s", import_is_slow(app, pid))
            said = True


def load_isolated(app: str) -> Registry:
    """Load an app in a child process and return its registry there; the child finishes the command.

    What the app prints while it loads goes to standard error, as of `read_app`.

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
        with _stdout_on_stderr():
            return load_registry(app)
    finally:
        os.write(writer, b".")  # after os._exit or a crash nothing is written
        os.close(writer)


@contextmanager
def _stdout_on_stderr() -> Iterator[None]:
    """Let standard output be standard error, for all that writes to its descriptor."""
    own = os.dup(1)
    try:
        os.dup2(2, 1)
        yield
    finally:
        with suppress(OSError, ValueError):  # the app may have closed or replaced it
            sys.stdout.flush()
        os.dup2(own, 1)
        os.close(own)


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
