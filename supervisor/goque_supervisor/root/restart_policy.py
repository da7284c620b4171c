"""When to start a child again: restart policies without I/O, with the time as an argument."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final

BOOT_FAILURES_TO_HOLD: Final = 3
CANARY_PERIOD: Final = 30.0


@dataclass
class Backoff:
    """The wait before a child that keeps failing is started again: none at first, then doubling.

    Attributes:
        first: seconds to wait after the second failure in a row.
        longest: the most seconds to wait.
        healthy_after: a child that lived so many seconds starts the count anew.
    """

    first: float = 0.1
    longest: float = 30.0
    healthy_after: float = 10.0
    failures: int = 0

    def after_exit(self, lived: float) -> float:
        """Return the seconds to wait, given how long the child lived."""
        if lived >= self.healthy_after:
            self.failures = 0
        self.failures += 1
        if self.failures == 1:
            return 0.0
        return min(self.longest, self.first * 2.0 ** min(self.failures - 2, 100))


@dataclass
class Intensity:
    """Decides whether restarts come too often: more than `limit` within `window` seconds."""

    limit: int = 5
    window: float = 60.0
    _times: deque[float] = field(default_factory=deque)

    def too_many(self, now: float) -> bool:
        """Count a restart and return whether it is one too many; if so, the count begins anew."""
        self._times.append(now)
        while self._times and self._times[0] < now - self.window:
            self._times.popleft()
        if len(self._times) <= self.limit:
            return False
        self._times.clear()
        return True


@dataclass
class BootWatch:
    """Follows whether the workers of a type can boot at all.

    After three failed boots in a row the type is held: it claims nothing, its tasks stay new, and one canary
    is started every 30 seconds until one boots.
    """

    failures: int = 0
    ever_booted: bool = False

    @property
    def held(self) -> bool:
        """Whether the type must not claim."""
        return self.failures >= BOOT_FAILURES_TO_HOLD

    def booted(self) -> None:
        """Count a worker that came up."""
        self.failures = 0
        self.ever_booted = True

    def failed(self) -> float:
        """Count a worker that died before it came up; returns the seconds to wait before the next one."""
        self.failures += 1
        return CANARY_PERIOD if self.held else 0.2 * 2.0**self.failures
