"""Log lines: one event per line, as text or JSON, from every process of the tree.

It uses the standard library only, because the root supervisor logs with it. goque's own loggers are under `goque`.
Other loggers belong to the application: see app_logs.py.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
import time
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Final

from goque.errors import ConfigurationError
from goque.telemetry.log_output import output

FORMATS: Final = ("console", "json")
TERMINAL: Final = "terminal"
"""The format `console` on a terminal: fields are dim, and the ids of tasks are short below the level warning."""

LEVELS: Final = ("debug", "info", "warning", "error", "critical")

_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_RESERVED: Final = frozenset({"time", "level", "role", "event", "logger", "exception", "traceback"})
_LEVEL_WIDTH: Final = 5
_VALUE_LENGTH: Final = 200
MAX_VALUES: Final = 20
SHOWN_OF_ID: Final = 12
"""How many characters of a task's id a terminal shows: the last ones, which are random."""

DIM: Final = "\x1b[2m"
PLAIN: Final = "\x1b[0m"


def configure(
    role: str,
    *,
    log_format: str,
    level: str,
    of: str | None = None,
    task_type: str | None = None,
    mark: str = "",
) -> None:
    """Send the log of this process to standard error; call it again after a fork to change the role.

    Args:
        role: the role of this process in the tree, such as `fetcher`.
        log_format: `console` or `json`; or what `format_here` returned in another process.
        level: the lowest level of what is logged: `debug` to `critical`.
        of: the pool of this process, or its task type, if it has one.
        task_type: its task type, if it works for this type alone.
        mark: what begins each line, for a reader that tells these lines from what else is written to descriptor 2.

    Raises:
        ConfigurationError: the format or the level is not one of these.
    """
    if log_format not in (*FORMATS, TERMINAL):
        raise ConfigurationError(f"log format must be {' or '.join(FORMATS)}, not {log_format!r:.80}")
    if level.lower() not in LEVELS:
        raise ConfigurationError(f"log level must be one of {', '.join(LEVELS)}, not {level!r:.80}")
    is_terminal = format_here(log_format) == TERMINAL
    formatter = (
        JsonLines(role, of, task_type) if log_format == "json" else ConsoleLines(role, of, dim=is_terminal)
    )
    logger = logging.getLogger("goque")
    logger.handlers = [StderrHandler(formatter, mark=mark)]
    logger.setLevel(level.upper())
    logger.propagate = False
    # The last resort prints only if the app configured no logging, before or after this call. A handler
    # on the root logger would make a later logging.basicConfig() of the app do nothing.
    logging.lastResort = StderrHandler(formatter, level.upper(), mark)
    logging.basicConfig = _basic_config


_basic_config_of_python: Final = logging.basicConfig


def _basic_config(**options: Any) -> None:
    """Do what `logging.basicConfig` does, if the app calls it.

    `logging.info(…)` and its like call it too where the root logger has no handlers, and all that the process logs
    later would come out in Python's format, without a task. The last resort prints these lines instead.
    """
    if options or sys._getframe(1).f_globals.get("__name__") != "logging":  # noqa: SLF001 - there is no other way
        _basic_config_of_python(**options)


def format_here(log_format: str) -> str:
    """Return the format of lines on this process's standard error: the console's differs on a terminal.

    The root hands it to the workers, whose own standard error is a file. https://no-color.org is respected.
    """
    is_terminal = log_format == "console" and os.isatty(2) and not os.environ.get("NO_COLOR")
    return TERMINAL if is_terminal and os.environ.get("TERM") != "dumb" else log_format


class StderrHandler(logging.Handler):
    """Writes each event to descriptor 2 in one piece, so that lines of many processes do not mix.

    With a full disk, a closed pipe, or a pipe that nobody reads, a line is lost, but the process goes on.
    """

    def __init__(self, formatter: logging.Formatter, level: int | str = 0, mark: str = "") -> None:
        super().__init__(level)
        self.formatter = formatter
        self._mark = mark

    def emit(self, record: logging.LogRecord) -> None:
        """Write one event, or drop it if it cannot be written."""
        try:
            if output.dropped:
                self.report_dropped()
            output.write(self._encoded(record))
        except Exception:  # noqa: BLE001, S110 - there is no place left to report that logging failed
            pass

    def report_dropped(self) -> None:
        """Log how many lines were dropped, if there is a reader again."""
        dropped, output.dropped = output.dropped, 0
        event = "%d lines of the log were dropped, because nobody read them"
        record = logging.LogRecord("goque", logging.WARNING, "", 0, event, (dropped,), None)
        output.dropped = 0 if output.write(self._encoded(record)) else dropped

    def _encoded(self, record: logging.LogRecord) -> bytes:
        text = self.format(record)
        if self._mark:
            text = "\n".join(f"{self._mark}{line}" for line in text.split("\n"))
        return f"{text}\n".encode("utf-8", "backslashreplace")


def report_dropped() -> None:
    """Log how many lines this process has dropped, if it has and there is a reader again."""
    if output.dropped:
        for handler in logging.getLogger("goque").handlers:
            if isinstance(handler, StderrHandler):
                with contextlib.suppress(OSError):
                    handler.report_dropped()


class ConsoleLines(logging.Formatter):
    """`12:03:04.123 INFO  fetcher[send_email] message key=value`; tracebacks and blocks follow, indented.

    Args:
        role: the role of this process.
        of: its pool or type.
        dim: whether a terminal shows the lines: then fields are dim, and ids short where nothing went wrong.
    """

    def __init__(self, role: str, of: str | None, *, dim: bool = False) -> None:
        super().__init__()
        self.role = f"{role}[{one_line(of)}]" if of else role
        self._of = of
        self._dim = dim

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, and the lines of a block (`extra={"block": […]}` of ours) and of a traceback."""
        clock = time.strftime("%H:%M:%S", time.localtime(record.created))
        level = "WARN" if record.levelno == logging.WARNING else record.levelname
        head = f"{clock}.{int(record.msecs):03d} {level:<{_LEVEL_WIDTH}} {self.role}"
        name = "" if _is_ours(record) else f" {one_line(record.name)}:"
        shown = fields_of(record)
        block = shown.pop("block") if _is_ours(record) and isinstance(shown.get("block"), list) else []
        if record.name == "goque.fetcher" and shown.get("task_type") == self._of:
            del shown["task_type"]  # it is in the name of the fetcher
        if isinstance(shown.get("values"), dict):
            shown = {**shown.pop("values"), **shown}
        if self._dim and record.levelno < logging.WARNING and "task_id" in shown:
            shown["task_id"] = _short_id(shown["task_id"])
        fields = "".join(f" {one_line(key)}={_plain_value(value)}" for key, value in shown.items())
        if self._dim and fields:
            fields = f"{DIM}{fields}{PLAIN}"
        lines = [f"{head}{name} {one_line(message_of(record))}{fields}"]
        lines += [f"    {one_line(line)}" for line in (*block, *traceback_of(record).splitlines())]
        return "\n".join(lines)


class JsonLines(logging.Formatter):
    """One JSON object a line, with `time`, `level`, `role`, `event` and the fields of the event."""

    def __init__(self, role: str, of: str | None, task_type: str | None) -> None:
        super().__init__()
        self.role = role
        self.of = {"task_type": task_type} if task_type else {"pool": of} if of else {}

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        stamp = datetime.fromtimestamp(record.created, UTC)
        line: dict[str, Any] = {
            "time": f"{stamp:%Y-%m-%dT%H:%M:%S.%f}Z",
            "level": record.levelname.lower(),
            "role": self.role,
            "event": message_of(record),
        }
        if not _is_ours(record):
            line["logger"] = record.name
        line.update(self.of)
        line.update(fields_of(record))
        if trace := traceback_of(record):
            line["exception"] = trace
        try:
            text = _to_json(line)
        except Exception:  # noqa: BLE001 - NaN, a cycle, too deep: any value can be written as text
            text = _to_json({key: text_of(value) for key, value in line.items()})
        return inert_json(text)


def message_of(record: logging.LogRecord) -> str:
    """Return the event's message, whatever its arguments are."""
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001 - wrong placeholders, or an argument whose __str__ raises
        return f"{text_of(record.msg)} {text_of(record.args)}"


def fields_of(record: logging.LogRecord) -> dict[str, Any]:
    """Return the fields of `extra=`, and those of the running task if a handler logs."""
    running = running_task()
    given = {
        key: value
        for key, value in vars(record).items()
        if key not in _STANDARD and key not in _RESERVED and value is not None
    }
    if not _is_ours(record):  # an app's field of the same name must not hide which task it is
        given = {key: value for key, value in given.items() if key not in running}
    return {**running, **given}


def running_task() -> dict[str, Any]:
    """Return type, id and attempt of the task that runs here, and its context values."""
    context = sys.modules.get("goque.context")  # a process that has not imported it runs no handlers
    task = context.current_task() if context else None
    if context is None or task is None:
        return {}
    fields = {"task_type": task.type, "task_id": task.id, "attempt": task.attempts + 1}
    values = shown_values(context.values())
    return {**fields, "values": values} if values else fields


def shown_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the context values for a log line: the first twenty, each cut to 200 characters."""
    return {key: _shortened(value) for key, value in islice(values.items(), MAX_VALUES)}


def _shortened(value: Any) -> Any:
    """Keep short values, and cut others to the length of a line."""
    text = text_of(value)
    return value if len(text) <= _VALUE_LENGTH else f"{text[:_VALUE_LENGTH]}…"


def traceback_of(record: logging.LogRecord) -> str:
    """Return the traceback and the stack of an event, empty if it has neither.

    The traceback of a handler comes as text from its worker, in `extra={"traceback": …}` of an event of goque's.
    """
    try:
        parts = [record.stack_info] if record.stack_info else []
        if _is_ours(record) and (told := getattr(record, "traceback", None)):
            parts += [told.rstrip()]
        if record.exc_info and record.exc_info[1]:
            parts += ["".join(traceback.format_exception(record.exc_info[1])).rstrip()]
        return "\n".join(parts)
    except Exception:  # noqa: BLE001 - methods of the app's exception may raise anything
        return "(its traceback cannot be formatted)"


def one_line(text: str) -> str:
    """Escape characters that would break the line or control a terminal."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def inert_json(text: str) -> str:
    """Escape characters that JSON allows in strings but that could control a terminal."""
    return text if text.isprintable() else "".join(map(_json_escape, text))


def text_of(value: Any) -> str:
    """Return any value as text."""
    try:
        return value if type(value) is str else str(value)
    except Exception:  # noqa: BLE001 - methods of the app's value may raise anything
        return f"<unprintable {type(value).__name__}>"


def _json_escape(char: str) -> str:
    if char.isprintable():
        return char
    units = char.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[start : start + 4]}" for start in range(0, len(units), 4))


def _short_id(task_id: Any) -> str:
    text = text_of(task_id)
    return text if len(text) <= SHOWN_OF_ID else f"…{text[-SHOWN_OF_ID:]}"


def _plain_value(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    text = one_line(text_of(value))
    return repr(text) if not text or " " in text or "=" in text else text


def _to_json(line: dict[str, Any]) -> str:
    return json.dumps(line, default=text_of, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _is_ours(record: logging.LogRecord) -> bool:
    return record.name == "goque" or record.name.startswith(("goque.", "goque_supervisor"))
