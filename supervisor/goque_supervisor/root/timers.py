"""Timers for a loop that also waits for other things."""

from __future__ import annotations

import heapq
import itertools
import time
from collections.abc import Callable


class Timers:
    """Functions that the loop calls later; times are CLOCK_MONOTONIC seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._heap: list[tuple[float, int, Callable[[], object]]] = []
        self._count = itertools.count()

    def now(self) -> float:
        """Return the time that these timers go by."""
        return self._clock()

    def after(self, delay: float, call: Callable[[], object]) -> None:
        """Call a function once, this many seconds from now."""
        heapq.heappush(self._heap, (self._clock() + delay, next(self._count), call))

    def every(self, period: float, call: Callable[[], object]) -> None:
        """Call a function again and again, with this many seconds between."""

        def again() -> None:
            call()
            self.after(period, again)

        self.after(period, again)

    def seconds_left(self) -> float | None:
        """Return the seconds until the next call is due, None if none is planned."""
        return max(0.0, self._heap[0][0] - self._clock()) if self._heap else None

    def run_due(self) -> None:
        """Call every function that is due."""
        now = self._clock()
        while self._heap and self._heap[0][0] <= now:
            _when, _order, call = heapq.heappop(self._heap)
            call()
