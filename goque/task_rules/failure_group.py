"""The group of a failed attempt: failures of one group have the same cause. No I/O happens here."""

from __future__ import annotations

import hashlib
import re
import signal as signals
from typing import Final

import msgspec

from goque.task_rules.error_lines import first_line
from goque.task_rules.failed_attempt import FailedAttempt
from goque.task_rules.traceback_frames import failing_frame, leaf_class

MAX_LINE: Final = 300
MAX_ERROR: Final = 300
MAX_CLASS: Final = 200
ID_BYTES: Final = 5
EXCEPTION: Final = "exception"
STALLED: Final = "no progress for "
_CLASS: Final = re.compile(r"[^\W\d][\w.]*(\.<locals>[\w.<>]*)?")


class FailureGroup(msgspec.Struct, frozen=True):
    """What all failed attempts of one group have in common.

    Attributes:
        id: the short text by which people name it.
        type: the task type.
        cause: `exception`, `timeout`, `stall`, `memory`, `crash: SIGSEGV`, `crash: exit code 3`, `lost` with its node,
            or `lost_unstarted` for a task that was given up before it started.
        error_class: the class of the exception; empty for another cause.
        line: the last line of the user's own code: `tasks.py in send: smtp.send(mail)`; empty where it is not known.
    """

    id: str
    type: str
    cause: str
    error_class: str
    line: str


def grouped(task_type: str, failed: FailedAttempt) -> tuple[FailedAttempt, FailureGroup]:
    """Return a failed attempt with the id of its group, and the group.

    The id depends on the type, the cause, the class and the line of code. It depends neither on the message nor on line
    numbers or directories, so that an edit of other lines, or another release, leaves the group as it is.
    """
    cause = _cause(failed)
    text = failed.traceback or failed.stack or ""
    error_class = _class(failed.error, text) if cause == EXCEPTION else ""
    frame = failing_frame(text)
    line = "" if frame is None else frame.place[:MAX_LINE]
    parts = f"{task_type}\0{cause}\0{error_class}\0{line}".encode("utf-8", "backslashreplace")
    group = hashlib.blake2s(parts, digest_size=ID_BYTES).hexdigest()
    return msgspec.structs.replace(failed, failure_group=group), FailureGroup(
        group, task_type, cause, error_class, line
    )


def error_line(error: str) -> str:
    """Return the beginning of an error, as lists of groups show it."""
    return first_line(error)[:MAX_ERROR]


def _cause(failed: FailedAttempt) -> str:
    match failed.cause:
        case "failed":
            return EXCEPTION
        case "timeout":
            return "stall" if failed.error.startswith(STALLED) else "timeout"
        case "crash" if failed.oom:
            return "memory"
        case "crash" if failed.signal is not None:
            return f"crash: {_signal_name(failed.signal)}"
        case "crash":
            return f"crash: exit code {failed.exit_code}"
    return failed.cause


def _signal_name(number: int) -> str:
    try:
        return signals.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _class(error: str, traceback: str) -> str:
    """Return the class at the beginning of an error; of a group of exceptions, with the class of its first."""
    name = first_line(error).partition(":")[0].partition(" (")[0]
    if _CLASS.fullmatch(name) is None:
        return ""
    leaf = leaf_class(traceback)
    return (f"{name} of {leaf}" if leaf else name)[:MAX_CLASS]
