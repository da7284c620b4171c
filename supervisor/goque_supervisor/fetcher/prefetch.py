"""Decide how many jobs to send to a worker ahead, and how to distribute waiting jobs. No I/O here."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import Final

from goque_supervisor.settings import MAX_PREFETCH

AHEAD: Final = 0.05
_SMOOTHING: Final = 0.2


class PrefetchWindow:
    """Sizes the window of jobs from a running mean of the seconds that this type's handlers take."""

    def __init__(self) -> None:
        self.mean: float | None = None

    def note(self, durations: Sequence[float]) -> None:
        """Update the mean with the durations of jobs that ended together."""
        if durations:
            latest = sum(durations) / len(durations)
            self.mean = latest if self.mean is None else self.mean + _SMOOTHING * (latest - self.mean)

    def window(self, concurrency: int) -> int:
        """Return how many jobs a worker may have at once.

        They keep it busy for the 50 ms that a round trip over fetcher and database may take. If handlers take
        microseconds, these are hundreds of jobs. If handlers take a second, no job is sent ahead: it would only wait.
        """
        if self.mean is None:
            return concurrency
        ahead = int(AHEAD / max(self.mean, 1e-6) * concurrency)
        return concurrency + min(ahead, MAX_PREFETCH)


def distribute(loads: Sequence[int], capacities: Sequence[int], jobs: int) -> list[int]:
    """Return how many of the waiting jobs each worker gets; the least loaded worker with capacity gets the next.

    Args:
        loads: how many jobs each worker has.
        capacities: how many more each may have.
        jobs: how many are waiting.
    """
    given = [0] * len(loads)
    heap = [(load, index) for index, load in enumerate(loads) if capacities[index] > 0]
    heapq.heapify(heap)
    for _ in range(jobs):
        if not heap:
            break
        load, index = heapq.heappop(heap)
        given[index] += 1
        if given[index] < capacities[index]:
            heapq.heappush(heap, (load + 1, index))
    return given
