"""Compares two failed attempts: whether a replay shows the failure that the table has. No I/O happens here."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from goque.task_rules.failed_attempt import FailedAttempt
from goque.task_rules.traceback_frames import failing_frame

_STEP: Final = re.compile(r" in step [^:]+|\(in step [^)]+\)")
_CLASS: Final = re.compile(r"[A-Za-z_][\w.]*(?=:|$)")


class FailureKey(NamedTuple):
    """What two failures have in common that count as the same.

    Attributes:
        cause: failed, timeout, crash or another kind of end.
        error: the class of the exception; the whole text of an end without one.
        line: the last line of the user's own code: file, function and, where it is known, its text.
    """

    cause: str
    error: str
    line: str


def failure_key(failed: FailedAttempt) -> FailureKey:
    """Return the key of a failed attempt."""
    text = failed.error.partition("\n")[0]
    named = _CLASS.match(text) if failed.cause == "failed" else None
    error = named.group() if named else _STEP.sub("", text).strip()
    frame = failing_frame(failed.traceback or failed.stack or "")
    return FailureKey(failed.cause, error, "" if frame is None else frame.place)


def is_same_failure(one: FailedAttempt, other: FailedAttempt) -> bool:
    """Return whether two failed attempts have the same cause, exception class and last line of the user's code."""
    mine, theirs = failure_key(one), failure_key(other)
    return mine[:2] == theirs[:2] and (mine.line == theirs.line or "" in (mine.line, theirs.line))
