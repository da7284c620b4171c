"""Turns what handlers print into lines of the log, each with its task.

It captures the writes of Python code to `sys.stdout` and `sys.stderr` while a task runs. It does not change the writes
of C code and subprocesses to the descriptors, nor those of stream handlers of `logging`, which have their own format.
"""

from __future__ import annotations

import io
import logging
import sys
from typing import Any, Final, TypeGuard

from goque import context
from goque.execution.streams import flush_streams
from goque.telemetry.log_output import output

MAX_WAITING: Final = 64 * 1024
"""Characters of an unfinished line that are kept; a longer line is logged in parts."""

log: Final = logging.getLogger("goque.handler")
_streams_of_app: Final[list[object]] = []
_waiting: Final[dict[tuple[str, str], tuple[str, dict[str, Any]]]] = {}


class CapturedStream:
    """Replaces a standard stream of a worker.

    Args:
        stream: the stream that it replaces.
        name: `stdout` or `stderr`.
    """

    def __init__(self, stream: Any, name: str) -> None:
        self._stream = stream
        self._name = name

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Log the complete lines if a task runs here, and keep an unfinished line until its end."""
        task = context.current_task()
        if task is None or sys._getframe(1).f_globals.get("__name__") == "logging":  # noqa: SLF001 - as logging itself does
            output.was_used = True
            written: int = self._stream.write(text)
            return written
        key = task.id, self._name
        fields = {"task_id": task.id, "attempt": task.attempts + 1, "stream": self._name}
        before, _ = _waiting.pop(key, ("", fields))
        *lines, rest = (before + text).split("\n")
        for line in lines:
            _log_line(line, fields)
        if len(rest) > MAX_WAITING:
            _log_line(rest, fields)
        elif rest:
            _waiting[key] = rest, fields
        return len(text)

    def writelines(self, lines: Any) -> None:
        """Write each line."""
        for line in lines:
            self.write(line)


def install() -> None:
    """Capture the standard streams of this process; a stream that the app put in their place is left as it is."""
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        stream = getattr(sys, name)
        if _writes_to(stream, descriptor):
            setattr(sys, name, CapturedStream(stream, name))
        elif stream is not None:
            _streams_of_app.append(stream)


def flush_each_line() -> None:
    """Write what is printed to stdout a line at a time, also by an app's own stream that passes it on."""
    for stream in (sys.stdout, sys.__stdout__):
        if _writes_to(stream, 1):
            stream.reconfigure(line_buffering=True)


def _writes_to(stream: object, descriptor: int) -> TypeGuard[io.TextIOWrapper]:
    """Return whether it is an open text stream of this descriptor, the interpreter's own or one like it."""
    try:
        return isinstance(stream, io.TextIOWrapper) and stream.fileno() == descriptor
    except (OSError, ValueError):
        return False  # closed, detached, or kept in memory


def end_task(task_id: str) -> None:
    """Log the unfinished lines of a task, and flush what it printed to streams of the app."""
    if _streams_of_app:
        flush_streams()
    if _waiting:
        for name in ("stdout", "stderr"):
            rest, fields = _waiting.pop((task_id, name), ("", {}))
            if rest:
                _log_line(rest, fields)


def _log_line(line: str, fields: dict[str, Any]) -> None:
    """Log a line regardless of the log level, because the handler printed it.

    A handler may have called `dictConfig`, which disables loggers that it does not know: `callHandlers` still works.
    """
    log.callHandlers(log.makeRecord(log.name, logging.INFO, "", 0, "%s", (line,), None, extra=fields))
