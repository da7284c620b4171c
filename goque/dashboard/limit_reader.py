"""Reads how limits are used, for everybody who looks, for a bounded part of the time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

from goque.storage.contract import LimitUse, TaskStorage

MAX_KEYS: Final = 100
BUSY_FRACTION: Final = 0.2
"""The maximum fraction of the time that reading takes, however many people look."""


class LimitReader:
    """Keeps the last reading while another one would cost too much, and while one is under way.

    Args:
        storage: what to read.
        clock: seconds.
    """

    def __init__(self, storage: TaskStorage, clock: Callable[[], float] = time.monotonic) -> None:
        self._storage = storage
        self._clock = clock
        self._lock = threading.Lock()
        self._uses: Sequence[LimitUse] | None = None
        self._read_again_at = 0.0

    def uses(self) -> Sequence[LimitUse]:
        """Return the types that have limits or keys, with at most 100 keys each."""
        last = self._uses
        if last is not None and self._clock() < self._read_again_at:
            return last
        if not self._lock.acquire(blocking=last is None):
            return last or ()
        try:
            began = self._clock()
            uses = self._storage.limit_uses(most_keys=MAX_KEYS)
            ended = self._clock()
            self._read_again_at = ended + (ended - began) / BUSY_FRACTION
            self._uses = uses
            return uses
        finally:
            self._lock.release()

    def forget(self) -> None:
        """Read again at the next look, because somebody has changed limits; what is being read may be old."""
        with self._lock:
            self._uses = None
