"""What the log says of the end of a run."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

import pytest

from goque.describe.run_end import log_outcome
from goque.options import ProcessorOptions
from goque.outcome import Outcome, OutcomeKind, settle
from goque.task_row import TaskRow
from goque.task_rules.crash_evidence import CrashEvidence

OPTIONS = ProcessorOptions(max_attempts=3, max_crashes=1)
STACK = """Stack (most recent call first):
  File "/srv/app/tasks.py", line 12 in insist
  File "/srv/app/tasks.py", line 7 in crawl
  and 9 frames of goque, which called the handler"""
KILLED = CrashEvidence(signal=9, stack=STACK)
WHERE = " in insist (/srv/app/tasks.py, line 12)"
IGNORED = "the handler did not stop within timeout_grace=2, so its process was killed"
TIMEOUT = "task processing timeout: 30s"
AT_SHUTDOWN = "its process was killed, because it still ran at the end of the shutdown"
NOW = datetime(2026, 11, 23, tzinfo=UTC)


QUIET = ProcessorOptions(max_attempts=3, verbose=False)


def row(attempts: int) -> TaskRow:
    return TaskRow("an-id", "t", "key", b"{}", "processing", attempts, None, b"{}", NOW, None, NOW)


@pytest.mark.parametrize(
    ("outcome", "attempts", "written", "line"),
    [
        (Outcome(OutcomeKind.DONE), 0, True, "DEBUG done"),
        (
            Outcome(OutcomeKind.FAILED, "boom\nmore", delay=4.5),
            0,
            True,
            "WARNING attempt 1 of 3 failed: boom; next in 4.5s",
        ),
        (
            Outcome(OutcomeKind.FAILED, "boom"),
            2,
            True,
            "ERROR attempt 3 of 3 failed: boom; no attempt is left",
        ),
        (
            Outcome(OutcomeKind.CRASHED, "worker crashed: exit code 3"),
            0,
            True,
            "ERROR attempt 1 of 3 failed: worker crashed: exit code 3; max_crashes=1 is reached: not retried",
        ),
        (
            Outcome(OutcomeKind.FAILED, "boom", final=True),
            0,
            True,
            "ERROR attempt 1 of 3 failed: boom; not retried, because of retry_on or no_retry_on",
        ),
        (
            Outcome(OutcomeKind.TIMED_OUT, TIMEOUT, crash=KILLED),
            2,
            True,
            f"ERROR attempt 3 of 3 failed: {TIMEOUT}; {IGNORED}{WHERE}; no attempt is left",
        ),
        (
            Outcome(OutcomeKind.TIMED_OUT, TIMEOUT, delay=4.5, crash=CrashEvidence(signal=9)),
            0,
            True,
            f"WARNING attempt 1 of 3 failed: {TIMEOUT}; {IGNORED}; next in 4.5s",
        ),
        (
            Outcome(OutcomeKind.TIMED_OUT, TIMEOUT, delay=4.5),
            0,
            True,
            f"WARNING attempt 1 of 3 failed: {TIMEOUT}; next in 4.5s",
        ),
        (Outcome(OutcomeKind.SNOOZED, delay=5.0), 0, True, "DEBUG snoozed for 5s"),
        (Outcome(OutcomeKind.CANCELED, "sold out"), 0, True, "INFO canceled by its handler: sold out"),
        (Outcome(OutcomeKind.CANCELED), 0, True, "INFO canceled by its handler"),
        (
            Outcome(OutcomeKind.INTERRUPTED),
            1,
            True,
            "INFO interrupted and requeued without charging an attempt: now error",
        ),
        (
            Outcome(OutcomeKind.INTERRUPTED, AT_SHUTDOWN, crash=KILLED),
            0,
            True,
            f"INFO interrupted and requeued without charging an attempt: now new; {AT_SHUTDOWN}{WHERE}",
        ),
        (
            Outcome(OutcomeKind.INTERRUPTED, crash=KILLED),
            0,
            True,
            "INFO interrupted and requeued without charging an attempt: now new",
        ),
        (
            Outcome(OutcomeKind.CANCELED, "the task was canceled while it ran", crash=KILLED),
            0,
            False,
            f"INFO canceled while it ran: {IGNORED}{WHERE}",
        ),
        (
            Outcome(OutcomeKind.CANCELED, "the task was canceled while it ran"),
            0,
            False,
            "INFO canceled while it ran: its handler was stopped",
        ),
        (
            Outcome(OutcomeKind.DONE),
            0,
            False,
            "INFO another process changed its status during the run: this result (done) is ignored",
        ),
    ],
)
def test_one_line_says_how_a_run_ended_and_what_follows(
    caplog: pytest.LogCaptureFixture,
    outcome: Outcome,
    attempts: int,
    written: bool,
    line: str,
) -> None:
    claimed = row(attempts)
    with caplog.at_level(logging.DEBUG, "goque.fetcher"):
        log_outcome(
            claimed, outcome, settle(outcome, claimed, OPTIONS.retry_policy), OPTIONS, written=written
        )
    (record,) = caplog.records
    assert f"{record.levelname} {record.getMessage()}" == line
    assert (record.__dict__["task_id"], record.__dict__["attempt"]) == ("an-id", attempts + 1)


def test_a_task_that_never_began_is_not_worth_a_line(caplog: pytest.LogCaptureFixture) -> None:
    outcome = Outcome(OutcomeKind.UNSTARTED)
    claimed = row(0)
    with caplog.at_level(logging.DEBUG, "goque.fetcher"):
        log_outcome(claimed, outcome, settle(outcome, claimed, OPTIONS.retry_policy), OPTIONS, written=True)
    assert caplog.records == []


@pytest.mark.parametrize(
    ("outcome", "attempts", "told"),
    [
        (Outcome(OutcomeKind.DONE), 0, False),
        (Outcome(OutcomeKind.FAILED, "boom"), 0, False),
        (Outcome(OutcomeKind.INTERRUPTED), 0, False),
        (Outcome(OutcomeKind.FAILED, "boom"), 2, True),
        (Outcome(OutcomeKind.CRASHED, "worker crashed: exit code 3", crash=CrashEvidence(3)), 0, True),
    ],
)
def test_without_verbose_only_what_needs_somebody_is_told(
    caplog: pytest.LogCaptureFixture, outcome: Outcome, attempts: int, told: bool
) -> None:
    caplog.set_level(logging.DEBUG, "goque")
    claimed = row(attempts)
    log_outcome(claimed, outcome, settle(outcome, claimed, QUIET.retry_policy), QUIET, written=True)
    assert bool(caplog.records) == told
