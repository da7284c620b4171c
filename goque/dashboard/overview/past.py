"""Read the roll-ups that nodes have written, for all who look together."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Final

from goque.dashboard.bounded_readings import BoundedReadings
from goque.describe.run_counts import STEPS, RunCounts, decode_runs
from goque.storage import TaskStorage

MAX_ROWS: Final = 3000
"""The newest rows of one length that are read: one for each slot, and one more for each node in the newest slots."""

AHEAD: Final = 3600
"""Seconds by which the database's clock may be ahead of this machine's."""

Runs = Mapping[str, Mapping[int, RunCounts]]
"""Counts of runs by type and by the start of a slot."""


class Past:
    """Returns what was run, by type and slot of time.

    Args:
        storage: shared with the pages.
        clock: seconds since 1970.
    """

    def __init__(self, storage: TaskStorage, clock: Callable[[], float] = time.time) -> None:
        self._storage = storage
        self._clock = clock
        self._readings: BoundedReadings[int, Runs] = BoundedReadings(time.monotonic, most=len(STEPS))

    def runs(self, step: int) -> Runs:
        """Return the counts of all slots of a length that are kept."""
        return self._readings.get(step, lambda: self._read(step))

    def _read(self, step: int) -> Runs:
        now = int(self._clock())
        found: dict[str, dict[int, RunCounts]] = {}
        for row in self._storage.rollups(step, now - STEPS[step], limit=MAX_ROWS):
            if row.slot > now + AHEAD:
                continue  # no node has written it, or its clock is wrong
            for name, counts in decode_runs(row.runs).items():
                found.setdefault(name, {}).setdefault(row.slot, RunCounts()).add(counts)
        return found
