"""Reads the tasks that are replayed, as a claim would have given them to a worker."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec

from goque.execution.inline_steps import MemorySteps
from goque.outcome import OutcomeKind
from goque.storage import TaskStorage
from goque.storage.contract import RecordedValues
from goque.task_filter import TaskFilter
from goque.task_row import HAS_NEEDS, HAS_STEPS, TaskRow, TaskStatus
from goque.task_rules.failed_attempt import FailedAttempt

OWNER: Final = "replay"
_ATTEMPT: Final = re.compile(r"^attempt (\d+): (.*)$", re.MULTILINE)
_CAUSES: Final = {
    "worker crashed:": OutcomeKind.CRASHED,
    "worker crashed in": OutcomeKind.CRASHED,
    "task processing timeout:": OutcomeKind.TIMED_OUT,
    "no progress for": OutcomeKind.TIMED_OUT,
}

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
    last = failures[-1].failed if failures else failure_in_errors(row)
    return Found(as_last_attempt(msgspec.structs.replace(row, needs=needs)), values, last)


def read_failed(storage: TaskStorage, task_type: str | None, limit: int, *, with_steps: bool) -> list[Found]:
    """Read the newest failed tasks, of one type or of all."""
    wanted = TaskFilter(task_type=task_type, status=TaskStatus.ATTEMPTS_LEFT)
    return [read_task(storage, row, with_steps=with_steps) for row in storage.find_tasks(wanted, limit=limit)]


def failure_in_errors(row: TaskRow) -> FailedAttempt | None:
    """Return the last failure that a task's `errors` tell, for a task whose attempts are not recorded.

    The Go library records none.
    """
    found = _ATTEMPT.findall(row.errors or "")
    if not found:
        return None
    number, text = found[-1]
    cause = next((kind for start, kind in _CAUSES.items() if text.startswith(start)), OutcomeKind.FAILED)
    return FailedAttempt(attempt=int(number), cause=cause.value, error=text)


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
