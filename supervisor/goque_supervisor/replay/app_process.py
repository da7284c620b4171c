"""The process of a replay that has imported the app. It forks the workers, as the nursery of a tree does."""

from __future__ import annotations

import contextlib
import logging
import os
import select
import socket
import time
from os import _exit  # the app may replace that of os
from typing import Any, Final

from goque.errors import ConfigurationError
from goque.execution.streams import flush_streams
from goque.private import ensure_temporary_directory
from goque_supervisor.ipc import os_process
from goque_supervisor.ipc.channel import Channel
from goque_supervisor.ipc.control import BootFailed, Message, Ready, StartChild
from goque_supervisor.ipc.exit_cause import ExitCause
from goque_supervisor.ipc.process_signals import fork_without_signals
from goque_supervisor.nursery.import_report import SLOW_IMPORT, import_ended, import_is_slow
from goque_supervisor.settings import SuperviseOptions

log = logging.getLogger("goque.replay")

STOP_TIME: Final = 5.0
"""Seconds that the process has to end once its channel is closed."""


class AppProcess:
    """The process that has the app.

    Args:
        options: the options of a tree, of which the app and the database matter here.
    """

    def __init__(self, options: SuperviseOptions) -> None:
        self._options = options
        self.channel, theirs = Channel.pair()
        flush_streams()
        parent = os.getpid()
        self.pid = fork_without_signals()
        if self.pid == 0:
            code = 1
            try:
                self.channel.close()
                code = _become_nursery(theirs, parent, options)
            finally:
                _exit(code)
        theirs.close()

    def wait_until_ready(self) -> dict[str, Any]:
        """Wait until the app is imported, and return what it has.

        Raises:
            ConfigurationError: a tree would refuse the app too, or its import ended the process.
        """
        answer = self._first_message()
        match answer:
            case Ready(info):
                return info
            case BootFailed(text, exit_code):
                refusal = ConfigurationError(text)
                refusal.exit_code = exit_code
                raise refusal
            case _:
                _pid, status = os.waitpid(self.pid, 0)
                self.pid = 0
                cause = ExitCause.from_status(os.waitstatus_to_exitcode(status))
                raise ConfigurationError(import_ended(self._options.app, cause))

    def _first_message(self) -> Message | None:
        slow_at: float | None = time.monotonic() + SLOW_IMPORT
        while not self.channel.closed:
            select.select([self.channel], [], [], 1.0)
            for message in self.channel.receive():
                return message
            if slow_at is not None and time.monotonic() > slow_at:
                log.warning("%s", import_is_slow(self._options.app, self.pid))
                slow_at = None
        return None

    def start_worker(self, key: int, boot: dict[str, Any], end: socket.socket) -> None:
        """Ask for a worker; the answer is read from the channel."""
        self.channel.send(StartChild(key, boot), descriptor=end.fileno())

    def close(self) -> None:
        """End the process."""
        self.channel.close()
        if not self.pid:
            return
        deadline = time.monotonic() + STOP_TIME
        with contextlib.suppress(ChildProcessError):
            while not os.waitpid(self.pid, os.WNOHANG)[0]:
                if time.monotonic() > deadline:
                    os_process.kill_group(self.pid)
                    os.waitpid(self.pid, 0)
                    break
                time.sleep(0.005)
        self.pid = 0

    def kill(self) -> None:
        """End the process at once, whatever it does."""
        if self.pid:
            os_process.kill_group(self.pid)
            os_process.kill(self.pid)


def _become_nursery(end: socket.socket, parent: int, options: SuperviseOptions) -> int:
    os.dup2(2, 1)  # standard output is for what the command was asked for
    ensure_temporary_directory("/tmp")  # noqa: S108 - nothing is written there: see its docstring
    from goque_supervisor.nursery.forker import run_nursery  # noqa: PLC0415 - what an app needs is loaded beside it only
    from goque_supervisor.nursery.preload import import_app  # noqa: PLC0415 - the same

    try:
        return run_nursery(
            end,
            parent,
            name="app",
            start_method=options.start_method,
            prepare=lambda: import_app(options, None),
        )
    finally:
        flush_streams()  # what the app has printed; os._exit would drop it
