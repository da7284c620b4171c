"""Lets one line a minute through of each thing that could be logged all the time."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Hashable
from typing import Final

from goque.telemetry.logs import text_of

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


class RateLimited(logging.Filter):
    """Passes the same message once per period; the next one that passes has `repeats=N`.

    Args:
        period: seconds.
        clock: the seconds of a monotonic clock.
        field: a name in `extra=` whose value distinguishes messages with the same text.
    """

    MAX_MESSAGES: Final = 1000

    def __init__(
        self, period: float = 60.0, clock: Callable[[], float] = time.monotonic, *, field: str = ""
    ) -> None:
        super().__init__()
        self.period = period
        self._clock = clock
        self._field = field
        self._seen: dict[tuple[str, int, str, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the event passes; messages are the same if their text without arguments is."""
        key = (record.name, record.levelno, text_of(record.msg), text_of(getattr(record, self._field, "")))
        now = self._clock()
        since, repeats = self._seen.get(key, (None, 0))
        if since is not None and now - since < self.period:
            self._seen[key] = (since, repeats + 1)
            return False
        if len(self._seen) >= self.MAX_MESSAGES:
            self._seen.clear()  # a repeated line is better than unbounded memory
        self._seen[key] = (now, 0)
        if repeats:
            record.repeats = repeats
        return True
