"""Ids that grow with time. Tasks of about the same age are then close together in each index."""

from __future__ import annotations

import os
import threading
import time


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
