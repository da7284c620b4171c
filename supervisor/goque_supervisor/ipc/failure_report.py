"""What a fetcher or the healer tells the process that calls the app's functions about failures, as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any

import msgspec

from goque.outcome import Change, OutcomeKind
from goque.task_row import TaskRow, TaskStatus
from goque.task_rules.failed_attempt import FailedAttempt


class Reported(StrEnum):
    """Which failed attempts of a type are reported."""

    NONE = "none"
    ALL = "all"
    WITHOUT_WORKER = "without_worker"
    """Those after which no other attempt follows, and that no worker has ended."""


def reports_of(processors: Iterable[Mapping[str, Any]]) -> dict[str, Reported]:
    """Return which failures of each type are to be reported, by what the root has told of the processors."""
    return {spec["type"]: spec.get("reports", Reported.NONE) for spec in processors}


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

    @property
    def is_final_without_worker(self) -> bool:
        """Whether the task has failed for good, and its worker could not tell: it died, was killed or is lost."""
        return self.final and not _worker_ended(self.failed)


def failure_report(row: TaskRow, change: Change, failed: FailedAttempt) -> FailureReport:
    """Make the report of a failed attempt of a task whose change is committed."""
    after = msgspec.structs.replace(
        row, status=change.status, attempts=change.attempts, errors=change.errors, claimed_by=None
    )
    return FailureReport(after, failed, change.status is TaskStatus.ATTEMPTS_LEFT)


def encode_failure(report: FailureReport) -> str:
    """Encode a report for the root."""
    return msgspec.json.encode(report).decode()


def decode_failure(text: str) -> FailureReport:
    """Decode what `encode_failure` made."""
    return msgspec.json.decode(text, type=FailureReport)


def _worker_ended(failed: FailedAttempt) -> bool:
    """Return whether the handler itself came to its end; a worker that was killed at a timeout has left a signal."""
    if failed.cause == OutcomeKind.TIMED_OUT:
        return failed.signal is None and failed.exit_code is None
    return failed.cause == OutcomeKind.FAILED
