"""Readings that cost the database something, for everybody who looks, for a bounded part of the time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Final, Generic, TypeVar

KeyT = TypeVar("KeyT", bound=Hashable)
ReadT = TypeVar("ReadT")

BUSY_FRACTION: Final = 0.2
"""The maximum fraction of the time that one reading takes, however many people look."""


class BoundedReadings(Generic[KeyT, ReadT]):
    """Keeps the last reading of each key while another one would cost too much, and while one is under way.

    Args:
        clock: seconds.
        most: how many readings are kept.
    """

    def __init__(self, clock: Callable[[], float], most: int) -> None:
        self._clock = clock
        self._most = most
        self._lock = threading.Lock()
        self._readings: dict[KeyT, tuple[ReadT, float]] = {}

    def get(self, key: KeyT, read: Callable[[], ReadT]) -> ReadT:
        """Return a reading that is as new as may be; what `read` raises is for the caller."""
        last, read_again_at = self._readings.get(key, (None, 0.0))
        if last is not None and self._clock() < read_again_at:
            return last
        if not self._lock.acquire(blocking=last is None):
            assert last is not None
            return last
        try:
            others, read_again_at = self._readings.get(key, (None, 0.0))
            if others is not None and self._clock() < read_again_at:
                return others  # somebody has read it while this one waited
            began = self._clock()
            reading = read()
            ended = self._clock()
            self._readings.pop(key, None)  # the last one, which goes last
            self._readings[key] = reading, ended + (ended - began) / BUSY_FRACTION
            while len(self._readings) > self._most:
                del self._readings[next(iter(self._readings))]
            return reading
        finally:
            self._lock.release()

    def forget(self) -> None:
        """Read again at the next look, because somebody has changed something; what is being read may be old."""
        with self._lock:
            self._readings.clear()
