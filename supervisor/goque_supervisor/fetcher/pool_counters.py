"""The counters of a fetcher: one set for each type of its pool, and one for what belongs to no type."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Final

from goque.outcome import Change, Outcome
from goque.task_row import TaskRow
from goque_supervisor.fetcher.pool_types import PoolTypes
from goque_supervisor.metrics.counters import UNREGISTERED, Counters
from goque_supervisor.metrics.function_counters import FunctionCounters
from goque_supervisor.metrics.run_counters import RunCounters
from goque_supervisor.metrics.step_counters import StepCounters

ANSWERED_PERIOD: Final = 0.5
"""Seconds between two notes that the database answers, because each is a write for each type."""


class PoolCounters:
    """Counts for the types of one pool.

    Attributes:
        whole: counts what belongs to no type: those of the type that has the pool alone, else `unregistered`.

    Args:
        paths: the file of each type, and that of `unregistered` if the pool has several types.
        types: the types of the pool.
    """

    def __init__(self, paths: Mapping[str, str], types: PoolTypes) -> None:
        self._functions = {
            name: FunctionCounters(paths[name], name, functions)
            for name, functions in types.functions().items()
        }
        self._by_type = {name: Counters(path, name) for name, path in paths.items()}
        self._runs = {name: RunCounters(path, name) for name, path in paths.items()}
        self._steps = {name: StepCounters(path, name) for name, path in paths.items()}
        self.whole = self._by_type.get(UNREGISTERED) or next(iter(self._by_type.values()))
        self._answered_at = 0.0

    def __getitem__(self, task_type: str) -> Counters:
        return self._by_type.get(task_type, self.whole)

    def settled(
        self, change: Change, outcome: Outcome, row: TaskRow, *, written: bool, waited: float | None = None
    ) -> None:
        """Count the end of a task's run, for its type and for its function if the type has several.

        Args:
            change: what was to be written.
            outcome: how the run ended.
            row: the task as claimed.
            written: whether the row still was as claimed, so that the change was written.
            waited: seconds from when the task was due until it started, None if not known.
        """
        self[row.type].settled(change, outcome, row, written=written)
        if written and row.type in self._runs:
            self._runs[row.type].settled(change, outcome, waited)
        if written and row.type in self._functions:
            self._functions[row.type].settled(change, outcome, row)

    def count_step(self, task_type: str, name: str, seconds: float) -> None:
        """Count a step of a task that is committed."""
        if task_type in self._steps:
            self._steps[task_type].recorded(name, seconds)

    def database_answered(self) -> None:
        """Record that the database has answered now."""
        now = time.monotonic()
        if now - self._answered_at >= ANSWERED_PERIOD:
            self._answered_at = now
            for counters in self._by_type.values():
                counters.database_answered()
