"""Counts the tasks by status, for everybody who looks at a list, for a bounded part of the time."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Final

from goque.dashboard.bounded_readings import BoundedReadings
from goque.storage import TaskStorage
from goque.storage.search_types import StatusCount

MOST: Final = 10_000
"""Where a count ends; beyond it a page shows `10,000+`."""

MAX_KEPT: Final = 20


class StatusCountReader:
    """Keeps the last counts of some types while others would cost too much, and while they are being read.

    Args:
        storage: what to read.
        clock: seconds.
    """

    def __init__(self, storage: TaskStorage, clock: Callable[[], float] = time.monotonic) -> None:
        self._storage = storage
        self._counts: BoundedReadings[tuple[str, ...], Mapping[str, StatusCount]] = BoundedReadings(
            clock, MAX_KEPT
        )

    def counts(self, task_types: tuple[str, ...]) -> Mapping[str, StatusCount]:
        """Return the counts of some types, or of all, by status."""
        return self._counts.get(
            task_types,
            lambda: {one.status: one for one in self._storage.status_counts(task_types, most=MOST)},
        )

    def forget(self) -> None:
        """Count again at the next look, because somebody has changed tasks."""
        self._counts.forget()
