"""Counters of how the runs of a type ended, how long they took and how late they started.

The lease writes them to the table as sums of ten minutes and of an hour (actors/run_rollup.py). A type has a file from
its first run on, beside the file of its other counters. Nothing is counted for the metrics here.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from goque.describe.run_counts import BUCKETS, ENDS, RunCounts, bucket_of
from goque.outcome import UNCHARGED_DELAYS, Change, Outcome
from goque.task_row import TaskStatus
from goque_supervisor.metrics.counters import NO_RUN, count_values, open_file, read_files

SUFFIX: Final = ".runs"
_END: Final = {status: place for place, status in enumerate(ENDS)}
_RUN: Final = len(ENDS)
_WAIT: Final = _RUN + BUCKETS
_NAMES: Final = [
    *(f"end:{status}" for status in ENDS),
    *(f"run:{bucket}" for bucket in range(BUCKETS)),
    *(f"wait:{bucket}" for bucket in range(BUCKETS)),
]


class RunCounters:
    """Counts the runs of one task type.

    Args:
        path: the file of the type's own counters; this one is beside it.
        task_type: the type.
    """

    def __init__(self, path: str | os.PathLike[str], task_type: str) -> None:
        self._path = Path(path).with_suffix(SUFFIX)
        self._task_type = task_type
        self._slots: memoryview[float] | None = None

    def settled(self, change: Change, outcome: Outcome, waited: float | None) -> None:
        """Count the end of a run that was written.

        Args:
            change: what was written.
            outcome: how the run ended.
            waited: seconds from when the task was due until the run started, None if not known.
        """
        end = _END.get(change.status)
        if outcome.kind in NO_RUN or (end is None and waited is None):
            return
        slots = self._open()
        if end is not None and outcome.kind not in UNCHARGED_DELAYS:
            slots[end] += 1
            slots[_RUN + bucket_of(outcome.duration)] += 1
        if waited is not None:
            slots[_WAIT + bucket_of(waited)] += 1

    def succeeded(self, durations: Sequence[float], waits: Iterable[float]) -> None:
        """Count runs that have gone well, as far as it is known also how long after they were due they started."""
        slots = self._open()
        slots[_END[TaskStatus.DONE]] += len(durations)
        count_values(slots, _RUN, map(bucket_of, durations))
        count_values(slots, _WAIT, map(bucket_of, waits))

    def _open(self) -> memoryview[float]:
        if self._slots is None:
            self._slots = open_file(self._path, {"task_type": self._task_type}, _NAMES)
        return self._slots


def read_run_counters(directory: Path) -> dict[str, RunCounts]:
    """Read the counters of all processes of a tree, dead ones included, and sum them by task type."""
    totals: dict[str, RunCounts] = {}
    for header, counts in read_files(directory, SUFFIX):
        found = RunCounts()
        for name, value in counts.items():
            if value:
                kind, _, key = name.partition(":")
                _put(found, kind, key, int(value))
        totals.setdefault(header["task_type"], RunCounts()).add(found)
    return totals


def _put(counts: RunCounts, kind: str, key: str, value: int) -> None:
    if kind == "end":
        counts.ends[key] = value
    elif kind == "run":
        counts.run[int(key)] = value
    else:
        counts.wait[int(key)] = value
