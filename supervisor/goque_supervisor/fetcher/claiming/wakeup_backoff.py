"""How soon a fetcher claims after a wake-up: at once, unless other nodes usually get the work. Pure decisions."""

from __future__ import annotations

from typing import Final

MAX_PAUSE: Final = 0.02
FIRST_PAUSE: Final = 0.001
FREE_MISSES: Final = 3
MAX_MISSES: Final = 30
MEMORY: Final = 0.1


class WakeupBackoff:
    """Counts the claims in a row that found no task."""

    def __init__(self) -> None:
        self._misses = 0
        self._missed_at = 0.0

    def claimed(self, tasks: int, now: float) -> None:
        """Record a claim that found this number of tasks."""
        self._misses = 0 if tasks else self._misses + 1
        self._missed_at = now

    def pause(self, now: float) -> float:
        """Return the seconds to wait from a wake-up to the claim. If the last claim is older than `MEMORY`, it is 0."""
        if now - self._missed_at > MEMORY:
            self._misses = 0
        excess = min(self._misses, MAX_MISSES) - FREE_MISSES
        return min(MAX_PAUSE, FIRST_PAUSE * 2 ** (excess - 1)) if excess > 0 else 0.0
