"""Ids that rise with time, so that what is new, waits or is about to end lies together in each index."""

from __future__ import annotations

import os
import threading
import time


class _Ids:
    """Makes ids; each process has one of its own, so that a fork repeats nothing.

    Randomness is drawn for many ids at once: after a durable insert the processor's caches are cold, and an
    id made from scratch then takes a tenth of the next insert's time.
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
    """Make a UUIDv7 (RFC 9562) in lower case, rising within a process so that inserts stay local.

    The 12 bits after the version hold the fraction of the millisecond (RFC 9562, 6.2, method 3).
    """
    return _ids.next_task_id()


def internal_id(task_id: str) -> str:
    """Make the external id of a task that was given none: `internal-` and a UUIDv4, as in the original.

    It is the task's own id with another version, for the index of external ids is as large as that of the ids,
    and where it was random each move of a task touched another of its pages (docs/decisions/0020).
    """
    return f"internal-{task_id[:14]}4{task_id[15:]}"
