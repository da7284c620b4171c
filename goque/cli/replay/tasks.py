"""Reads the tasks that are replayed, as a claim would have given them to a worker."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec

from goque.execution.inline_steps import MemorySteps
from goque.outcome import FailedAttempt
from goque.storage import TaskStorage
from goque.storage.contract import RecordedValues
from goque.task_row import HAS_NEEDS, HAS_STEPS, TaskRow, TaskStatus

OWNER: Final = "replay"
FAILED_BEFORE: Final = (TaskStatus.ERROR, TaskStatus.ATTEMPTS_LEFT)


class Found(NamedTuple):
    """A task to replay.

    Attributes:
        row: the task, as a claim would have given it for its last attempt.
        values: its recorded steps and signals.
        last: its last failed attempt, None if none is recorded.
    """

    row: TaskRow
    values: RecordedValues
    last: FailedAttempt | None

    def steps(self, signals: Mapping[str, bytes]) -> MemorySteps:
        """Return what answers the run about its steps."""
        return MemorySteps(self.values.steps, {**self.values.signals, **signals})


def read_task(storage: TaskStorage, row: TaskRow, *, with_steps: bool) -> Found:
    """Read what belongs to a task: its needs, its failures, and its recorded steps unless they are to run again."""
    flags = row.flags or 0
    needs = storage.needs_of([row.id]).get(row.id, ()) if flags & HAS_NEEDS else ()
    values = storage.recorded_values(row.id) if flags & HAS_STEPS else RecordedValues()
    if not with_steps:
        values = RecordedValues(signals=values.signals)
    failures = storage.failed_attempts(row.id)
    last = failures[-1].failed if failures else None
    return Found(as_last_attempt(msgspec.structs.replace(row, needs=needs)), values, last)


def as_last_attempt(row: TaskRow) -> TaskRow:
    """Return a row as its last attempt had it: one failure less, if it has failed; else as its next one would."""
    failed = row.status in FAILED_BEFORE and row.attempts > 0
    return msgspec.structs.replace(
        row,
        status=TaskStatus.PENDING,
        attempts=row.attempts - 1 if failed else row.attempts,
        claimed_by=OWNER,
        claims=max(2, row.claims),  # of a first claim, a run takes it that there are no recorded steps
        result=None,
    )
