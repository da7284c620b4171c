"""The outcome of a claimed task, and the guarded change of its row that follows. No I/O happens here."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

from goque.flows.plan import FlowToInsert
from goque.flows.task_to_insert import TaskToInsert
from goque.retry import DEFAULT
from goque.steps.question import Progress
from goque.task_row import MAX_COUNT, TaskRow, TaskStatus, Token, before_claim, is_needed, next_attempt
from goque.task_rules.crash_evidence import CrashEvidence, crashes_since_reset
from goque.task_rules.error_lines import append_error, printable
from goque.task_rules.failed_attempt import FailedAttempt
from goque.task_rules.failure_group import FailureGroup, grouped
from goque.task_rules.limits import NO_KEY, PutOff
from goque.task_rules.retry_policy import RetryPolicy

MAX_LOST_CLAIMS: Final = 10
RECORDED_SECONDS: Final = 1.0
"""From how many seconds on a run that went well is recorded. A row more for each short one would cost too much."""


class OutcomeKind(StrEnum):
    """How the run of a task ended, or why it did not start."""

    DONE = "done"
    FAILED = "failed"
    TIMED_OUT = "timeout"
    CRASHED = "crash"
    CANCELED = "canceled"
    SNOOZED = "snoozed"
    WAITING = "waiting"
    RATE_LIMITED = "rate_limited"
    UNSTARTED = "unstarted"
    INTERRUPTED = "interrupted"
    LOST_UNSTARTED = "lost_unstarted"
    LOST_RUNNING = "lost"


CHARGED: Final = frozenset(
    {OutcomeKind.FAILED, OutcomeKind.TIMED_OUT, OutcomeKind.CRASHED, OutcomeKind.LOST_RUNNING}
)


UNCHARGED_DELAYS: Final = frozenset({OutcomeKind.SNOOZED, OutcomeKind.WAITING, OutcomeKind.RATE_LIMITED})


class Outcome(msgspec.Struct, frozen=True, array_like=True):
    """How one run of one task ended.

    Attributes:
        kind: how it ended.
        error: the text of the error, of any length; empty for a success.
        traceback: the Python traceback of a failed attempt.
        delay: seconds until the next attempt, if the handler or its strategy chose; else None.
        result: JSON text of what the handler returned, if it is to be kept.
        needed_result: the same, if it is to be kept only where others need the task.
        no_result: why what the handler returned cannot be kept, where that is no error; empty if it can.
        duration: seconds that the handler ran.
        pid: the worker that ran it.
        crash: what is known of the process, if it died.
        final: True for no other attempt, even if attempts are left.
        undecodable: True if the payload did not decode, so that the handler was not called.
        follow_ups: the tasks that are inserted with a success.
        flows: the flows that are inserted with it.
        waits_for: the signals that a run waits for which has ended early because of that.
        progress: how far a run was that is not done, if it has said so.
    """

    kind: OutcomeKind
    error: str = ""
    traceback: str | None = None
    delay: float | None = None
    result: bytes | None = None
    duration: float = 0.0
    pid: int = 0
    crash: CrashEvidence | None = None
    final: bool = False
    undecodable: bool = False
    follow_ups: tuple[TaskToInsert, ...] = ()
    flows: tuple[FlowToInsert, ...] = ()
    waits_for: tuple[str, ...] = ()
    needed_result: bytes | None = None
    no_result: str = ""
    progress: Progress | None = None


class Success(msgspec.Struct, frozen=True):
    """A success that is written only together with its follow-ups.

    Attributes:
        row: the task as claimed.
        outcome: its outcome, with the follow-ups.
        policy: the retry options of its type.
        app_version: the version of the app that ran it.
    """

    row: TaskRow
    outcome: Outcome
    policy: RetryPolicy
    app_version: str | None = None

    def failed(self, text: str) -> Outcome:
        """Return the outcome of the attempt where a follow-up cannot be inserted."""
        return msgspec.structs.replace(
            self.outcome,
            kind=OutcomeKind.FAILED,
            error=text,
            result=None,
            needed_result=None,
            no_result="",
            follow_ups=(),
            flows=(),
        )

    def refused(self, text: str) -> Change:
        """Return the change that fails the attempt instead of writing the success."""
        return settle(self.failed(text), self.row, self.policy, self.app_version)


class NoResult(msgspec.Struct, frozen=True):
    """Why a task that has ended well keeps no result, although its handler returned something."""

    type: str
    reason: str


class Change(msgspec.Struct, frozen=True):
    """One guarded change of a claimed task's row, ready to be written.

    Attributes:
        token: the claim that must still hold.
        status: the status after the move.
        attempts: the charged attempts after the move.
        errors: the whole text of the errors column after the move, None to leave it.
        delay: seconds from the database's now until the task is due, None to leave next_attempt_at.
        result: JSON text for the result column, None to leave it.
        lost_claims: the count of claims lost in a row after the move.
        failed: the failed attempt to record in goque_attempt.
        went_well: the same of a run that took long and went well.
        group: the group of that attempt.
        put_off: what else is not to start for a while, because the handler raised `goque.RateLimited`.
        success: what the change says, if tasks are to be inserted with it.
        is_needed: whether others needed the task when it was claimed.
        waits_for: signals; if one of them has come, the task is due at once.
        needed_result: JSON text for the result column, if it turns out that others need the task.
        no_result: why there is none, to be told if others need the task.
        is_deleted: whether the task is deleted instead, if it has never failed, and nobody needs or waits for it.
    """

    token: Token
    status: TaskStatus
    attempts: int
    errors: str | None = None
    delay: float | None = None
    result: bytes | None = None
    lost_claims: int = 0
    failed: FailedAttempt | None = None
    went_well: FailedAttempt | None = None
    group: FailureGroup | None = None
    put_off: PutOff | None = None
    success: Success | None = None
    is_needed: bool = False
    waits_for: tuple[str, ...] = ()
    needed_result: bytes | None = None
    no_result: NoResult | None = None
    is_deleted: bool = False

    @property
    def follow_ups(self) -> tuple[TaskToInsert, ...]:
        """The tasks to insert with it."""
        return () if self.success is None else self.success.outcome.follow_ups

    @property
    def flows(self) -> tuple[FlowToInsert, ...]:
        """The flows to insert with it."""
        return () if self.success is None else self.success.outcome.flows


def settle(outcome: Outcome, row: TaskRow, policy: RetryPolicy, app_version: str | None = None) -> Change:
    """Decide the new status of a claimed task from its outcome.

    Args:
        outcome: how its run ended.
        row: the task as claimed.
        policy: the retry options of its type.
        app_version: the version of the app that ran it; None if it has none, or it is not known.
    """
    kind = outcome.kind
    if kind is OutcomeKind.DONE:
        return _end_well(outcome, row, policy, app_version)
    if kind in CHARGED:
        return _charge(outcome, row, policy, app_version)
    if kind is OutcomeKind.CANCELED:
        return _with_attempt(_cancel(outcome, row), outcome, row)
    if kind in UNCHARGED_DELAYS:
        return Change(
            row.token,
            before_claim(row),
            row.attempts,
            delay=outcome.delay,
            put_off=put_off(row, outcome) if kind is OutcomeKind.RATE_LIMITED else None,
            waits_for=outcome.waits_for,
        )
    if kind is OutcomeKind.LOST_UNSTARTED:
        return _count_lost_claim(row)
    released = release(row)
    return _with_attempt(released, outcome, row) if outcome.error else released


def put_off(row: TaskRow, outcome: Outcome) -> PutOff:
    """Return what else is not to start, after a handler has raised `goque.RateLimited`."""
    return PutOff(row.type, row.limit_key or NO_KEY, outcome.delay or 0.0)


def release(row: TaskRow) -> Change:
    """Return the change that releases a claim without charging an attempt.

    A row that is neither pending nor processing keeps its status, and loses only its owner.
    """
    try:
        status = TaskStatus(row.status)
    except ValueError:
        status = before_claim(row)  # somebody wrote a status that does not exist: it is not written over
    is_claimed = status in (TaskStatus.PENDING, TaskStatus.PROCESSING)
    return Change(
        row.token, before_claim(row) if is_claimed else status, row.attempts, is_needed=is_needed(row)
    )


def _end_well(outcome: Outcome, row: TaskRow, policy: RetryPolicy, app_version: str | None) -> Change:
    if not row.flags and _says_nothing(outcome) and outcome.duration < RECORDED_SECONDS:
        # most tasks: it takes half the time
        return Change(row.token, TaskStatus.DONE, row.attempts, is_deleted=policy.deletes_done)
    inserts = outcome.follow_ups or outcome.flows
    keeps = is_needed(row) and outcome.result is None
    return Change(
        row.token,
        TaskStatus.DONE,
        row.attempts,
        result=outcome.needed_result if keeps else outcome.result,
        went_well=_long_run(outcome, row, policy, app_version),
        success=Success(row, outcome, policy, app_version) if inserts else None,
        is_needed=is_needed(row),
        needed_result=None if keeps else outcome.needed_result,
        no_result=NoResult(row.type, outcome.no_result) if outcome.no_result else None,
        is_deleted=policy.deletes_done and not row.flags and _says_nothing(outcome),
    )


def _long_run(
    outcome: Outcome, row: TaskRow, policy: RetryPolicy, app_version: str | None
) -> FailedAttempt | None:
    """Return the record of a run that went well, if it took long and its task is kept."""
    if outcome.duration < RECORDED_SECONDS or policy.deletes_done:
        return None
    return _attempt_of(outcome, next_attempt(row), app_version)


def _says_nothing(outcome: Outcome) -> bool:
    return (
        outcome.result is None
        and outcome.needed_result is None
        and not (outcome.follow_ups or outcome.flows or outcome.no_result)
    )


def _charge(outcome: Outcome, row: TaskRow, policy: RetryPolicy, app_version: str | None) -> Change:
    attempts = next_attempt(row)
    errors = append_error(row.errors, f"attempt {attempts}: {outcome.error}")
    exhausted = attempts >= policy.max_attempts or _is_last(outcome, errors, policy)
    if outcome.kind is OutcomeKind.LOST_RUNNING:
        delay = 0.0
    elif outcome.delay is not None:
        delay = outcome.delay
    else:
        delay = (policy.strategy or DEFAULT)(attempts).total_seconds()
    failed, group = grouped(row.type, _attempt_of(outcome, attempts, app_version))
    return Change(
        token=row.token,
        status=TaskStatus.ATTEMPTS_LEFT if exhausted else TaskStatus.ERROR,
        attempts=attempts,
        errors=errors,
        delay=None if exhausted else delay,
        failed=failed,
        group=group,
        is_needed=is_needed(row),
    )


def _is_last(outcome: Outcome, errors: str, policy: RetryPolicy) -> bool:
    """Return whether this attempt ends the task although attempts are left."""
    if outcome.kind is OutcomeKind.CRASHED:
        return policy.max_crashes is not None and crashes_since_reset(errors) >= policy.max_crashes
    return outcome.final or (outcome.kind is OutcomeKind.TIMED_OUT and not policy.retry_timeouts)


def _cancel(outcome: Outcome, row: TaskRow) -> Change:
    errors = append_error(row.errors, f"canceled: {outcome.error}" if outcome.error else "canceled")
    return Change(row.token, TaskStatus.CANCELED, row.attempts, errors=errors, is_needed=is_needed(row))


def _with_attempt(change: Change, outcome: Outcome, row: TaskRow) -> Change:
    """Record a run that is not charged if its process was killed, because its handler had not stopped in time."""
    if outcome.crash is None:
        return change
    return msgspec.structs.replace(change, failed=_attempt_of(outcome, next_attempt(row)))


def _attempt_of(outcome: Outcome, attempt: int, app_version: str | None = None) -> FailedAttempt:
    crash = outcome.crash or CrashEvidence()
    return FailedAttempt(
        attempt=attempt,
        cause=outcome.kind.value,
        error=printable(outcome.error),
        traceback=None if outcome.traceback is None else printable(outcome.traceback),
        worker_pid=outcome.pid or None,
        duration=outcome.duration or None,
        exit_code=crash.exit_code,
        signal=crash.signal,
        max_rss=crash.max_rss or None,
        oom=crash.oom,
        stack=None if crash.stack is None else printable(crash.stack),
        stderr=None if crash.stderr is None else printable(crash.stderr),
        app_version=app_version,
    )


def _count_lost_claim(row: TaskRow) -> Change:
    lost = min(row.lost_claims + 1, MAX_COUNT)
    if lost <= MAX_LOST_CLAIMS:
        return Change(row.token, before_claim(row), row.attempts, lost_claims=lost)
    reason = f"given up: {lost} nodes in a row died holding this task before it started"
    failed, group = grouped(row.type, FailedAttempt(row.attempts, OutcomeKind.LOST_UNSTARTED.value, reason))
    return Change(
        row.token,
        TaskStatus.ATTEMPTS_LEFT,
        row.attempts,
        errors=append_error(row.errors, reason),
        lost_claims=lost,
        failed=failed,
        group=group,
        is_needed=is_needed(row),
    )
