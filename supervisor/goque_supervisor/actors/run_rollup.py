"""Write what this tree has run to the table: sums of a minute, of ten minutes and of an hour.

The lease does it, because it runs in every tree and reads the counters anyway. A tree in which nothing has run writes
nothing. Each lease writes rows of its own, so it never waits for a lock of another node.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

from goque.describe.run_counts import STEPS, RunCounts, add_up, encode_runs
from goque.storage.contract import RollupRow, Rollups

PERIOD: Final = 20.0
"""Seconds between two writes. What was counted in between is lost if the node dies."""

Runs = dict[str, RunCounts]


class RunRollup:
    """Adds what has been counted since the last time to the slots that lie around now.

    Args:
        storage: where the slots are written.
        read: reads the counters of the tree.
    """

    def __init__(self, storage: Rollups, read: Callable[[], Runs]) -> None:
        self._storage = storage
        self._read = read
        self._writer = str(uuid.uuid4())
        self._written = read()
        self._slots: dict[int, tuple[int, Runs]] = {}
        self._due = 0.0

    def write_if_due(self, now: float) -> None:
        """Write if the last time is long enough ago.

        Args:
            now: CLOCK_MONOTONIC seconds.
        """
        if now >= self._due:
            self._due = now + PERIOD
            self.write()

    def write(self) -> None:
        """Write what has been counted since the last time; if that fails, the next call writes it too."""
        read = self._read()
        news = {
            name: counted
            for name, counts in read.items()
            if (counted := counts.since(self._written.get(name, RunCounts()))).total or counted.wait
        }
        if not news:
            return
        slots: dict[int, tuple[int, Runs]] = {}

        def rows_at(instant: datetime) -> Sequence[RollupRow]:
            slots.update((step, self._added(step, instant, news)) for step in STEPS)
            return [
                RollupRow(step, slot, self._writer, encode_runs(runs)) for step, (slot, runs) in slots.items()
            ]

        self._storage.put_rollups(rows_at)
        self._slots, self._written = slots, read

    def _added(self, step: int, instant: datetime, news: Runs) -> tuple[int, Runs]:
        """Return the slot of an instant, with what it counts now."""
        slot = int(instant.timestamp()) // step * step
        begun, runs = self._slots.get(step, (slot, {}))
        return slot, add_up([runs if begun == slot else {}, news])
