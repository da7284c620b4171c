"""Ids that grow with time, and external ids that name a function.

Tasks of about the same age are close together in each index. All `@task` functions of a Django queue are tasks of one
type, so the external id of such a task begins with its function's path: `shop.tasks.add-<id>`. Lists, counts and
metrics read the function from there, which needs no column, no index and no look at the payload.
"""

from __future__ import annotations

import os
import threading
import time
from typing import Final

from goque.task_checks import MAX_NAME_LENGTH

ID_LENGTH: Final = 36
SUFFIX_LENGTH: Final = ID_LENGTH + 1
"""Characters after the function in an external id that names one: a hyphen and an id."""

FUNCTIONS_PREFIX: Final = "django."


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
            stamp = (nanoseconds // 1_000_000) << 12 | (nanoseconds % 1_000_000) * 4096 // 1_000_000
            self._last_stamp = stamp = max(stamp, self._last_stamp + 1)
            if not self._tails:
                self._tails = [_tail() for _ in range(64)]
            tail = self._tails.pop()
        text = f"{stamp >> 12:012x}{stamp & 0xFFF:03x}"
        return f"{text[:8]}-{text[8:12]}-7{text[12:]}{tail}"


def _tail() -> str:
    """Return the random part of a UUID, its variant included (RFC 9562, 4.1)."""
    noise = int.from_bytes(os.urandom(8)) & 0x3FFF_FFFF_FFFF_FFFF | 0x8000_0000_0000_0000
    text = f"{noise:016x}"
    return f"-{text[:4]}-{text[4:]}"


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
