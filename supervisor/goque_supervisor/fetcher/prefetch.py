"""How much a worker is sent ahead of what it runs, and which worker is sent what. Pure decisions."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import Final

from goque_supervisor.settings import MAX_PREFETCH

AHEAD: Final = 0.05
_SMOOTHING: Final = 0.2


class PrefetchWindow:
    """A running mean of how long this type's handlers take, in seconds."""

    def __init__(self) -> None:
        self.mean: float | None = None

    def note(self, durations: Sequence[float]) -> None:
        """Take in the durations of jobs that ended together."""
        if durations:
            latest = sum(durations) / len(durations)
            self.mean = latest if self.mean is None else self.mean + _SMOOTHING * (latest - self.mean)

    def window(self, concurrency: int) -> int:
        """Return how many jobs a worker may hold at once.

        Enough to keep it busy for the 50 ms that a round trip over fetcher and database may take: hundreds of
        handlers that take microseconds, and none ahead of one that takes a second, since it would only wait there.
        """
        if self.mean is None:
            return concurrency
        ahead = int(AHEAD / max(self.mean, 1e-6) * concurrency)
        return concurrency + min(ahead, MAX_PREFETCH)


def distribute(loads: Sequence[int], rooms: Sequence[int], jobs: int) -> list[int]:
    """Say how many of the waiting jobs each worker gets: always the next to the least loaded with room.

    Args:
        loads: how many jobs each worker holds.
        rooms: how many more each may hold.
        jobs: how many are waiting.
    """
    given = [0] * len(loads)
    heap = [(load, index) for index, load in enumerate(loads) if rooms[index] > 0]
    heapq.heapify(heap)
    for _ in range(jobs):
        if not heap:
            break
        load, index = heapq.heappop(heap)
        given[index] += 1
        if given[index] < rooms[index]:
            heapq.heappush(heap, (load + 1, index))
    return given
