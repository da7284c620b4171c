"""Read the roll-ups that nodes have written, and add them up for each range, for all who look together."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from goque.dashboard.readings.ranges import RANGES, Range
from goque.describe.run_counts import STEPS, RunCounts, decode_runs
from goque.storage import TaskStorage
from goque.storage.contract import RollupRow

MAX_ROWS: Final = 3000
"""The newest rows of one length that are read: one for each slot, and one more for each node in the newest slots."""

KEPT: Final = 5.0
"""Seconds for which sums are used again. Nodes write less often."""

SETTLES: Final = 3
"""How many of the newest slots are read again: no node writes to an older one."""

AHEAD: Final = 3600
"""Seconds by which the database's clock may be ahead of this machine's."""

Runs = Mapping[str, Mapping[int, RunCounts]]
"""Counts of runs by type and by the start of a slot."""


@dataclass(frozen=True)
class RangeSums:
    """What was run in a range.

    Attributes:
        runs: the counts of each type by slot.
        by_type: the sums of each type over the range.
        by_point: the sums of all types by the start of a point of the charts.
    """

    runs: Runs = field(default_factory=dict)
    by_type: Mapping[str, RunCounts] = field(default_factory=dict)
    by_point: Mapping[int, RunCounts] = field(default_factory=dict)

    @classmethod
    def of(cls, rows: Iterable[tuple[int, Mapping[str, RunCounts]]], over: Range, since: float) -> RangeSums:
        """Add up the rows of a range, each the start of its slot and what it counts.

        Args:
            rows: the rows.
            over: the range.
            since: when it begins, in seconds since 1970.
        """
        runs: dict[str, dict[int, RunCounts]] = {}
        by_type: dict[str, RunCounts] = {}
        by_point: dict[int, RunCounts] = {}
        for slot, of_types in rows:
            if slot + over.rollup <= since:
                continue
            point = by_point.setdefault(slot // over.times_step * over.times_step, RunCounts())
            for name, counts in of_types.items():
                runs.setdefault(name, {}).setdefault(slot, RunCounts()).add(counts)
                by_type.setdefault(name, RunCounts()).add(counts)
                point.add(counts)
        return cls(runs, by_type, by_point)


class Past:
    """Returns what was run in a range.

    Args:
        storage: shared with the pages.
        clock: seconds since 1970.
    """

    def __init__(self, storage: TaskStorage, clock: Callable[[], float] = time.time) -> None:
        self._storage = storage
        self._clock = clock
        self._lock = threading.Lock()
        self._sums: dict[str, tuple[RangeSums, float]] = {}
        self._rows: dict[int, dict[tuple[int, str], Mapping[str, RunCounts]]] = {}

    def sums(self, window: str) -> RangeSums:
        """Return the sums of a range, which are a few seconds old at most."""
        sums, until = self._sums.get(window, (RangeSums(), 0.0))
        if time.monotonic() < until:
            return sums
        with self._lock:
            sums, until = self._sums.get(window, (RangeSums(), 0.0))
            if time.monotonic() >= until:  # else somebody has read it while this one waited
                sums = self._read(RANGES[window])
                self._sums[window] = sums, time.monotonic() + KEPT
            return sums

    def _read(self, over: Range) -> RangeSums:
        step, now = over.rollup, int(self._clock())
        known = self._rows.get(step, {})
        oldest = now - STEPS[step]
        since = max((slot for slot, _writer in known), default=0) - SETTLES * step
        rows = {place: runs for place, runs in known.items() if oldest <= place[0] < since}
        found = self._storage.rollups(step, max(oldest, since), limit=MAX_ROWS)
        rows |= {(row.slot, row.writer): decode_runs(row.runs) for row in found if _is_past(row, now)}
        self._rows[step] = rows
        return RangeSums.of(
            ((slot, runs) for (slot, _writer), runs in rows.items()), over, now - over.seconds
        )


def _is_past(row: RollupRow, now: int) -> bool:
    """Return whether a node can have written a row: a later one is somebody else's."""
    return row.slot <= now + AHEAD
