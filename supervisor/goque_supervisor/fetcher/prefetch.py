"""Decide how many jobs to send to a worker ahead, and how to distribute waiting jobs. No I/O here."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import Final

from goque_supervisor.settings import MAX_PREFETCH

AHEAD: Final = 0.05
"""Seconds of work that a worker is sent ahead: what a round trip over fetcher and database may take."""

_SMOOTHING: Final = 0.2


class Pace:
    """A running mean of the seconds that the handlers of each type take."""

    def __init__(self) -> None:
        self._means: dict[str, float] = {}
        self._of_all: float | None = None

    def note(self, task_type: str, durations: Sequence[float]) -> None:
        """Update the mean of a type with the durations of jobs that ended together."""
        latest = sum(durations) / len(durations)
        self._means[task_type] = _smoothed(self._means.get(task_type), latest)
        self._of_all = _smoothed(self._of_all, latest)

    def mean(self, task_type: str) -> float | None:
        """Return the mean of a type; before its first end that of all types, None before any."""
        return self._means.get(task_type, self._of_all)


def _smoothed(mean: float | None, latest: float) -> float:
    return latest if mean is None else mean + _SMOOTHING * (latest - mean)


class Room:
    """How many more jobs one worker may be sent.

    It may have as many as it runs at a time, and ahead of these as many as it probably ends within `AHEAD`. If handlers
    take microseconds, these are hundreds of jobs. If handlers take a second, no job is sent ahead: it would only wait.

    Args:
        concurrency: how many jobs it runs at a time.
        jobs: how many it has.
        load: the seconds that these will probably take, one after the other.
    """

    __slots__ = ("_concurrency", "_jobs", "_load")

    def __init__(self, concurrency: int, jobs: int = 0, load: float = 0.0) -> None:
        self._concurrency = concurrency
        self._jobs = jobs
        self._load = load

    def jobs(self, mean: float | None) -> int:
        """Return how many more jobs it may be sent, if each takes this number of seconds; None if that is unknown.

        A worker whose jobs end within `AHEAD` may be sent at least one, however long that takes. Otherwise a backlog of
        quick jobs would keep slow ones from every worker.
        """
        free = max(0, self._concurrency - self._jobs)
        if mean is None:
            return free
        behind = self._jobs - self._concurrency
        waits = self._load * behind / self._jobs if behind > 0 else 0.0
        ahead = int((AHEAD * self._concurrency - waits) / max(mean, 1e-6))
        most = self._concurrency + MAX_PREFETCH - self._jobs
        number = min(free + max(0, ahead), most)
        is_soon_free = self._jobs and self._load < AHEAD * self._concurrency
        return max(number, 1) if is_soon_free and most > 0 else max(number, 0)

    def take(self, number: int, mean: float | None) -> None:
        """Record that it is sent jobs, each of which takes this number of seconds."""
        self._jobs += number
        self._load += number * (AHEAD * self._concurrency if mean is None else mean)


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
