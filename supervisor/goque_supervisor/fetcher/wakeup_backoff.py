"""How soon a fetcher claims after it was woken: at once, unless what wakes it is work for others. Pure decisions."""

from __future__ import annotations

from typing import Final

MAX_PAUSE: Final = 0.02
FIRST_PAUSE: Final = 0.001
FREE_MISSES: Final = 3
MAX_MISSES: Final = 30
MEMORY: Final = 0.1


class WakeupBackoff:
    """Counts the claims in a row that found nothing."""

    def __init__(self) -> None:
        self._misses = 0
        self._missed_at = 0.0

    def claimed(self, tasks: int, now: float) -> None:
        """Take note of a claim that found so many tasks."""
        self._misses = 0 if tasks else self._misses + 1
        self._missed_at = now

    def pause(self, now: float) -> float:
        """Return how many seconds to let pass from a wake-up to the claim; a quiet moment makes it none again."""
        if now - self._missed_at > MEMORY:
            self._misses = 0
        rash = min(self._misses, MAX_MISSES) - FREE_MISSES
        return min(MAX_PAUSE, FIRST_PAUSE * 2 ** (rash - 1)) if rash > 0 else 0.0
