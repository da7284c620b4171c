"""Compares two failed attempts: whether a replay shows the failure that the table has. No I/O happens here."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from goque.task_rules.failed_attempt import FailedAttempt

_FRAME: Final = re.compile(r'^\s+File "(?P<file>[^"]+)", line \d+,? in (?P<function>.+)$')
_OTHERS: Final = ("/site-packages/", "/dist-packages/", "/lib/python", "/goque/", "/goque_supervisor/")
"""Parts of the paths of code that is not the user's own: packages, the standard library, goque."""

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
    last_call_first = failed.traceback is None
    return FailureKey(failed.cause, error, _own_line(failed.traceback or failed.stack, first=last_call_first))


def is_same_failure(one: FailedAttempt, other: FailedAttempt) -> bool:
    """Return whether two failed attempts have the same cause, exception class and last line of the user's code."""
    mine, theirs = failure_key(one), failure_key(other)
    return mine[:2] == theirs[:2] and (mine.line == theirs.line or "" in (mine.line, theirs.line))


def _own_line(text: str | None, *, first: bool) -> str:
    """Return the user's own line that was called last; empty if there is none.

    Args:
        text: a traceback, or the interpreter's stack, which begins with the last call.
        first: whether the last call comes first.
    """
    lines = (text or "").splitlines()
    found = ""
    for number, line in enumerate(lines):
        frame = _FRAME.match(line)
        if frame is None or any(part in frame["file"] for part in _OTHERS):
            continue
        after = lines[number + 1].strip() if number + 1 < len(lines) and not first else ""
        source = "" if _FRAME.match(f"  {after}") else after
        found = f"{frame['file'].rpartition('/')[2]}: {frame['function']}: {source}".rstrip(": ")
        if first:
            break
    return found
