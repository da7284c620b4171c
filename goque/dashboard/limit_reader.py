"""Reads how limits are used, for everybody who looks, for a bounded part of the time."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

from goque.dashboard.bounded_readings import BoundedReadings
from goque.storage.contract import LimitUse, TaskStorage

MAX_KEYS: Final = 100


class LimitReader:
    """Keeps the last reading while another one would cost too much, and while one is under way.

    Args:
        storage: what to read.
        clock: seconds.
    """

    def __init__(self, storage: TaskStorage, clock: Callable[[], float] = time.monotonic) -> None:
        self._storage = storage
        self._uses: BoundedReadings[None, Sequence[LimitUse]] = BoundedReadings(clock, 1)

    def uses(self) -> Sequence[LimitUse]:
        """Return the types that have limits or keys, with at most 100 keys each."""
        return self._uses.get(None, lambda: self._storage.limit_uses(most_keys=MAX_KEYS))

    def forget(self) -> None:
        """Read again at the next look, because somebody has changed limits; what is being read may be old."""
        self._uses.forget()
