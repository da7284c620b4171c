"""What handlers print becomes lines of the log, each with its task; all else goes where it went.

Only what Python code writes to `sys.stdout` or `sys.stderr` while a task runs: what C code or a subprocess writes to
the descriptors comes out as it is, and so does what a stream handler of `logging` writes, which has its own format.
"""

from __future__ import annotations

import logging
import sys
from typing import Any, Final

from goque import context

MAX_WAITING: Final = 64 * 1024
"""Characters of a line without an end that are kept; past them it is logged in parts."""

log: Final = logging.getLogger("goque.handler")
_waiting: Final[dict[tuple[str, str], tuple[str, dict[str, Any]]]] = {}


class PrintedLines:
    """Stands in for a standard stream of a worker.

    Args:
        stream: the stream that it stands in for.
        name: `stdout` or `stderr`.
    """

    def __init__(self, stream: Any, name: str) -> None:
        self._stream = stream
        self._name = name

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Log the lines that are whole, if a task runs here; the rest waits for its end."""
        task = context.current_task()
        if task is None or sys._getframe(1).f_globals.get("__name__") == "logging":  # noqa: SLF001 - as logging itself does
            written: int = self._stream.write(text)
            return written
        key = task.id, self._name
        fields = {"task_id": task.id, "attempt": task.attempts + 1, "stream": self._name}
        before, _ = _waiting.pop(key, ("", fields))
        *lines, rest = (before + text).split("\n")
        for line in lines:
            _say(line, fields)
        if len(rest) > MAX_WAITING:
            _say(rest, fields)
        elif rest:
            _waiting[key] = rest, fields
        return len(text)

    def writelines(self, lines: Any) -> None:
        """Write each of them."""
        for line in lines:
            self.write(line)


def stand_in() -> None:
    """Let this process's printed lines become lines of the log."""
    sys.stdout = PrintedLines(sys.stdout, "stdout")
    sys.stderr = PrintedLines(sys.stderr, "stderr")


def end_task(task_id: str) -> None:
    """Log what a task has printed without ending the line."""
    if _waiting:
        for name in ("stdout", "stderr"):
            rest, fields = _waiting.pop((task_id, name), ("", {}))
            if rest:
                _say(rest, fields)


def _say(line: str, fields: dict[str, Any]) -> None:
    """Log a line whatever the level is: it was printed to be seen."""
    log.handle(log.makeRecord(log.name, logging.INFO, "", 0, "%s", (line,), None, extra=fields))
