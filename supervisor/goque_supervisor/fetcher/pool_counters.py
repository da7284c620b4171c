"""The counters of a fetcher: one set for each type of its pool, and one for what belongs to no type."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from goque.outcome import Change
from goque_supervisor.fetcher.in_flight import ClaimedTask
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

    def settled(self, settled: Iterable[tuple[ClaimedTask, Change, bool]]) -> None:
        """Count the ends of tasks' runs, for their types, and for their functions where a type has several.

        Args:
            settled: each task with its outcome, what was to be written, and whether the row still was as claimed, so
                that it was written.
        """
        successes: dict[str, list[ClaimedTask]] = {}
        for task, change, written in settled:
            outcome, row = task.outcome, task.row
            assert outcome is not None
            if written and task.is_done and not row.attempts and row.type not in self._functions:
                successes.setdefault(row.type, []).append(task)
                continue
            self[row.type].settled(change, outcome, row, written=written)
            if written and row.type in self._runs:
                self._runs[row.type].settled(change, outcome, task.waited)
            if written and row.type in self._functions:
                self._functions[row.type].settled(change, outcome, row)
        for task_type, tasks in successes.items():
            self._succeeded(task_type, tasks)

    def _succeeded(self, task_type: str, tasks: Sequence[ClaimedTask]) -> None:
        """Count first attempts that went well, all together: most runs are of this kind."""
        durations = [task.outcome.duration for task in tasks if task.outcome is not None]
        self[task_type].succeeded(durations, [len(task.row.payload) for task in tasks])
        if task_type in self._runs:
            waits = [waited for task in tasks if (waited := task.waited) is not None]
            self._runs[task_type].succeeded(durations, waits)

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
