"""Which failed attempts are reported to functions of the app, and in how many messages."""

from __future__ import annotations

import pytest

from goque.outcome import MAX_LOST_CLAIMS, Outcome, OutcomeKind, settle
from goque.task_rules.crash_evidence import CrashEvidence
from goque.task_rules.retry_policy import RetryPolicy
from goque_supervisor.ipc.control import AttemptsFailed, Message
from goque_supervisor.ipc.failure_report import FailureReport, Reported, decode_failure
from goque_supervisor.recovery import failure_reports
from goque_supervisor.recovery.failure_reports import FailureReports
from unit.rows import row

KILLED = CrashEvidence(signal=9)
EXITED = CrashEvidence(exit_code=0)


def reported(
    which: Reported, outcome: Outcome, *, attempts: int = 1, lost_claims: int = 0
) -> list[FailureReport]:
    """Report one attempt of a type whose tasks have two, and return what the root was told."""
    told: list[Message] = []
    before = row(status="processing", attempts=attempts, claimed_by="n", lost_claims=lost_claims)
    change = settle(outcome, before, RetryPolicy(max_attempts=2))
    FailureReports(told.append, {"mail": which}).tell([(before, change)])
    return [decode_failure(text) for one in told if isinstance(one, AttemptsFailed) for text in one.failures]


@pytest.mark.parametrize(
    ("outcome", "without_worker"),
    [
        (Outcome(OutcomeKind.FAILED, "boom"), False),
        (Outcome(OutcomeKind.TIMED_OUT, "late"), False),
        (Outcome(OutcomeKind.TIMED_OUT, "late", crash=KILLED), True),
        (Outcome(OutcomeKind.TIMED_OUT, "late", crash=EXITED), True),
        (Outcome(OutcomeKind.CRASHED, "crash", crash=KILLED), True),
        (Outcome(OutcomeKind.LOST_RUNNING, "node lost"), True),
    ],
)
def test_what_no_worker_has_ended_is_reported_once_no_attempt_follows(
    outcome: Outcome, without_worker: bool
) -> None:
    (report,) = reported(Reported.ALL, outcome)
    assert (report.final, report.failed.attempt, report.failed.cause) == (True, 2, outcome.kind)
    assert (report.row.status, report.row.attempts, report.row.claimed_by) == ("attempts_left", 2, None)
    assert len(reported(Reported.WITHOUT_WORKER, outcome)) == without_worker
    (earlier,) = reported(Reported.ALL, outcome, attempts=0)
    assert not earlier.final
    assert reported(Reported.WITHOUT_WORKER, outcome, attempts=0) == []
    assert reported(Reported.NONE, outcome) == []


def test_a_task_that_is_given_up_before_it_started_has_failed_for_good() -> None:
    outcome = Outcome(OutcomeKind.LOST_UNSTARTED)
    (report,) = reported(Reported.WITHOUT_WORKER, outcome, lost_claims=MAX_LOST_CLAIMS)
    assert (report.final, report.failed.cause) == (True, "lost_unstarted")
    assert reported(Reported.ALL, outcome) == []


@pytest.mark.parametrize("kind", [OutcomeKind.DONE, OutcomeKind.CANCELED, OutcomeKind.INTERRUPTED])
def test_other_ends_are_not_reported(kind: OutcomeKind) -> None:
    assert reported(Reported.ALL, Outcome(kind)) == []


def test_types_that_the_app_does_not_have_are_not_reported() -> None:
    told: list[Message] = []
    before = row(type="strange", status="processing")
    change = settle(Outcome(OutcomeKind.LOST_RUNNING, "node lost"), before, RetryPolicy())
    FailureReports(told.append, {"mail": Reported.ALL}).tell([(before, change)])
    assert told == []


def test_many_reports_are_several_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Message] = []
    monkeypatch.setattr(failure_reports, "MAX_MESSAGE", 2_500)
    before = row(status="processing", payload=b'"%s"' % (b"x" * 1_000))
    change = settle(Outcome(OutcomeKind.FAILED, "boom"), before, RetryPolicy())
    FailureReports(told.append, {"mail": Reported.ALL}).tell([(before, change)] * 3)
    assert [len(one.failures) for one in told if isinstance(one, AttemptsFailed)] == [1, 1, 1]


@pytest.mark.parametrize(
    "outcome",
    [
        Outcome(OutcomeKind.CANCELED, "the task was canceled while it ran", crash=KILLED),
        Outcome(OutcomeKind.INTERRUPTED, "killed at the shutdown", crash=KILLED),
    ],
)
def test_a_process_that_was_killed_for_a_cancel_or_a_shutdown_is_no_failure(outcome: Outcome) -> None:
    assert reported(Reported.ALL, outcome) == []
