"""Which attempt a replay runs, which failure it is compared with, and what the comparison says."""

from __future__ import annotations

import pytest

from goque import Task
from goque.cli.replay.many import Verdict, summary_of, verdict_of
from goque.cli.replay.tasks import as_last_attempt, failure_in_errors
from goque.execution.inline import row_of
from goque.options import ProcessorOptions
from goque.outcome import Outcome, OutcomeKind
from goque.task_row import TaskRow
from goque.task_rules.failed_attempt import FailedAttempt
from goque_supervisor.replay.result import Replayed


def row(status: str = "new", attempts: int = 0, errors: str | None = None) -> TaskRow:
    made = row_of(Task("mail", 1), attempts)
    made.status, made.errors, made.claims = status, errors, 1
    return made


@pytest.mark.parametrize(
    ("status", "attempts", "replayed"),
    [
        ("new", 0, 0),
        ("error", 2, 1),
        ("attempts_left", 5, 4),
        ("attempts_left", 0, 0),
        ("done", 2, 2),
        ("canceled", 1, 1),
    ],
)
def test_the_attempt_that_failed_last_runs_again(status: str, attempts: int, replayed: int) -> None:
    found = as_last_attempt(row(status, attempts))
    assert (found.attempts, found.status, found.claimed_by) == (replayed, "pending", "replay")
    assert found.claims > 1  # a run of the first claim would not look for recorded steps


@pytest.mark.parametrize(
    ("errors", "failure"),
    [
        (None, None),
        ("reset attempts: 2026\n", None),
        ("attempt 1: a\nattempt 2: KeyError: 'b'\n", (2, "failed", "KeyError: 'b'")),
        (
            "attempt 3: worker crashed: signal 11 (SIGSEGV)\n",
            (3, "crash", "worker crashed: signal 11 (SIGSEGV)"),
        ),
        (
            "attempt 3: worker crashed in step a: exit code 3\n",
            (3, "crash", "worker crashed in step a: exit code 3"),
        ),
        ("attempt 1: task processing timeout: 30s\n", (1, "timeout", "task processing timeout: 30s")),
    ],
)
def test_without_a_recorded_attempt_the_errors_tell(
    errors: str | None, failure: tuple[int, str, str] | None
) -> None:
    found = failure_in_errors(row(errors=errors))
    assert (found and (found.attempt, found.cause, found.error)) == failure


BEFORE = FailedAttempt(1, "failed", "KeyError: 'a'")


@pytest.mark.parametrize(
    ("outcome", "verdict"),
    [
        (Outcome(OutcomeKind.DONE), Verdict.FIXED),
        (Outcome(OutcomeKind.FAILED, "KeyError: 'b'"), Verdict.SAME),
        (Outcome(OutcomeKind.FAILED, "ValueError: 'a'"), Verdict.NEW),
        (Outcome(OutcomeKind.CRASHED, "worker crashed: exit code 3"), Verdict.NEW),
        (Outcome(OutcomeKind.UNSTARTED, "no process"), Verdict.NEW),
        (Outcome(OutcomeKind.SNOOZED, delay=3.0), Verdict.PUT_OFF),
        (Outcome(OutcomeKind.WAITING), Verdict.PUT_OFF),
        (Outcome(OutcomeKind.CANCELED), Verdict.CANCELED),
    ],
)
def test_the_verdict_on_a_replay(outcome: Outcome, verdict: Verdict) -> None:
    assert verdict_of(Replayed(row(), outcome, ProcessorOptions()), BEFORE) is verdict


def test_a_failure_without_one_before_is_new() -> None:
    replayed = Replayed(row(), Outcome(OutcomeKind.FAILED, "KeyError: 'a'"), ProcessorOptions())
    assert verdict_of(replayed, None) is Verdict.NEW


def test_the_summary_names_what_there_is_and_always_the_three() -> None:
    from collections import Counter

    assert summary_of(Counter({Verdict.FIXED: 1})).startswith(
        "1 task replayed: 1 fixed, 0 same failure, 0 new failure;"
    )
    assert ", 2 put off;" in summary_of(Counter({Verdict.PUT_OFF: 2}))
