"""What a fetcher tells the process that calls `on_failure`, as JSON through the root."""

from __future__ import annotations

import msgspec

from goque.outcome import Change, FailedAttempt
from goque.task import TaskRow, TaskStatus


class FailureReport(msgspec.Struct, frozen=True):
    """A goque.Failure as it crosses processes.

    Attributes:
        row: the task as the attempt left it.
        failed: the attempt.
        final: whether no other attempt follows.
    """

    row: TaskRow
    failed: FailedAttempt
    final: bool


def encode_failure(row: TaskRow, change: Change, failed: FailedAttempt) -> str:
    """Encode a failed attempt of a task whose change is committed."""
    after = msgspec.structs.replace(
        row, status=change.status, attempts=change.attempts, errors=change.errors, claimed_by=None
    )
    report = FailureReport(after, failed, change.status is TaskStatus.ATTEMPTS_LEFT)
    return msgspec.json.encode(report).decode()


def decode_failure(text: str) -> FailureReport:
    """Decode what `encode_failure` made."""
    return msgspec.json.decode(text, type=FailureReport)
