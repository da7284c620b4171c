"""Decide how many workers of one kind a pool wants: more while tasks wait, fewer when some are idle. No I/O here."""

from __future__ import annotations

from typing import Final

AT_ONCE: Final = 4
"""How many workers are started at a time at most, because each takes its share of the machine while it starts."""

WAITS: Final = 0.01
"""Seconds for which tasks wait for a worker before another is started. A worker that is about to end one takes them."""


class WorkerDemand:
    """The number of workers that a pool wants of one kind.

    Args:
        fewest: how many run even without work.
        most: how many run at most.
        idle_timeout: seconds without a task after which one more than the fewest ends.

    Attributes:
        wanted: how many workers are wanted now.
    """

    def __init__(self, fewest: int, most: int, idle_timeout: float) -> None:
        self._fewest = fewest
        self._most = most
        self._idle_timeout = idle_timeout
        self._waiting_since = 0.0
        self.wanted = fewest

    def found(self, living: int) -> None:
        """Begin with the workers of an earlier fetcher."""
        self.wanted = max(self._fewest, min(living, self._most))

    @property
    def is_elastic(self) -> bool:
        """Whether the number ever changes."""
        return self._fewest < self._most

    @property
    def may_grow(self) -> bool:
        """Whether there may be more workers."""
        return self.wanted < self._most

    def grows(self, now: float, *, ready: int, work_waits: bool) -> bool:
        """Want more workers if work waits and all that were wanted are ready; returns whether it wants more now.

        Args:
            now: the current time.
            ready: how many workers take tasks.
            work_waits: whether each of them is busy, and more tasks are due.
        """
        if not work_waits or not self.may_grow or ready < self.wanted:
            self._waiting_since = 0.0
            return False
        self._waiting_since = self._waiting_since or now
        if now - self._waiting_since < WAITS and ready:
            return False
        self._waiting_since = 0.0
        self.wanted = min(self._most, self.wanted + min(AT_ONCE, max(1, self.wanted)))
        return True

    def shrinks(self, idle_for: float) -> bool:
        """Want one worker less if one has had no task for so many seconds; returns whether it wants less now."""
        if self.wanted <= self._fewest or idle_for < self._idle_timeout:
            return False
        self.wanted -= 1
        return True
