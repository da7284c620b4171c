"""Lets one line a minute through of each thing that could be logged all the time."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from typing import Final

PERIOD: Final = 60.0
MAX_SUBJECTS: Final = 1000


class RateLimit:
    """Remembers when each subject was logged last.

    Args:
        period: seconds between two lines of one subject.
        clock: the seconds of a monotonic clock.
    """

    def __init__(self, period: float = PERIOD, clock: Callable[[], float] = time.monotonic) -> None:
        self._period = period
        self._clock = clock
        self._logged_at: dict[Hashable, float] = {}

    def admits(self, subject: Hashable) -> bool:
        """Return whether to log a line of this subject now, and take note that it is logged."""
        now = self._clock()
        if now - self._logged_at.get(subject, -self._period) < self._period:
            return False
        if len(self._logged_at) >= MAX_SUBJECTS:
            self._logged_at.clear()
        self._logged_at[subject] = now
        return True
