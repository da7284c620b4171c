"""Ids that grow with time, and external ids that name a function.

Tasks of about the same age are close together in each index. All `@task` functions of a Django queue are tasks of one
type, so the external id of such a task begins with its function's path: `shop.tasks.add-<id>`. Lists, counts and
metrics read the function from there, which needs no column, no index and no look at the payload.
"""

from __future__ import annotations

import os
import re
import threading
import time
from typing import Final

from goque.task_rules.checks import MAX_NAME_LENGTH

ID_LENGTH: Final = 36
SUFFIX_LENGTH: Final = ID_LENGTH + 1
"""Characters after the function in an external id that names one: a hyphen and an id."""

FUNCTIONS_PREFIX: Final = "django."

DRAWN_AT_ONCE: Final = 64
_VARIANTS: Final = dict(zip("0123456789abcdef", "89ab" * 4, strict=True))
"""The first digit of a tail by a random one: its upper bits are the variant, its lower ones stay random."""

_TASK_ID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def is_task_id(text: str) -> bool:
    """Return whether a text has the form of a task's id."""
    return _TASK_ID.fullmatch(text) is not None


class _Ids:
    """Makes ids. Each process has its own generator, so that a forked child does not repeat ids.

    It draws random bytes for many ids at once. After an insert with a sync to disk the CPU's caches are cold, and
    drawing them for one id would take a tenth of the next insert's time.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last_stamp = 0
        self._tails: list[str] = []

    def next_task_id(self) -> str:
        with self._lock:
            nanoseconds = time.time_ns()
            stamp = (nanoseconds << 12) // 1_000_000
            if stamp <= self._last_stamp:
                stamp = self._last_stamp + 1
            self._last_stamp = stamp
            if not self._tails:
                self._tails = _some_tails()
            tail = self._tails.pop()
        text = f"{stamp:015x}"
        return f"{text[:8]}-{text[8:12]}-7{text[12:]}{tail}"


def _some_tails() -> list[str]:
    """Return the random parts of many UUIDs, their variants included (RFC 9562, 4.1)."""
    noise = os.urandom(8 * DRAWN_AT_ONCE).hex()
    return [
        f"-{_VARIANTS[noise[at]]}{noise[at + 1 : at + 4]}-{noise[at + 4 : at + 16]}"
        for at in range(0, len(noise), 16)
    ]


_ids = _Ids()
os.register_at_fork(after_in_child=lambda: globals().update(_ids=_Ids()))


def new_task_id() -> str:
    """Make a UUIDv7 (RFC 9562) in lower case; ids grow within a process.

    The 12 bits after the version hold the fraction of the millisecond (RFC 9562, 6.2, method 3).
    """
    return _ids.next_task_id()


def internal_id(task_id: str) -> str:
    """Make the external id of a task without one: `internal-` and a UUIDv4, as in the original.

    It is the task's id with another version number. With random external ids, each change of a task touched a
    different page of their index (docs/decisions/0020).
    """
    return f"internal-{task_id[:14]}4{task_id[15:]}"


def has_functions(task_type: str) -> bool:
    """Return whether tasks of this type call different functions: those of Django's task queues do."""
    return task_type.startswith(FUNCTIONS_PREFIX)


def short_function(path: str) -> str:
    """Return a function's path as external ids name it: a very long one is cut."""
    return path[: MAX_NAME_LENGTH - SUFFIX_LENGTH]


def external_id_of(path: str) -> str:
    """Make an external id that begins with a function's path."""
    return f"{short_function(path)}-{new_task_id()}"


def function_of(task_type: str, external_id: str) -> str:
    """Return the path of the function that a task calls; empty if its external id names none."""
    if not has_functions(task_type) or external_id[-SUFFIX_LENGTH:-ID_LENGTH] != "-":
        return ""
    return function_or_nothing(external_id[:-SUFFIX_LENGTH])


def function_or_nothing(beginning: str) -> str:
    """Return the beginning of an external id if it can be a function's path, which has a module; else nothing."""
    return beginning if "." in beginning else ""
