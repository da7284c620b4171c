from __future__ import annotations

import msgspec
import pytest

from goque.outcome import Change, Outcome, OutcomeKind, settle
from goque.retry import static, step
from goque.task_row import TaskStatus
from goque.task_rules.crash_evidence import CrashEvidence, crash_cause, crashes_since_reset
from goque.task_rules.error_lines import MAX_ERRORS_BYTES, append_error, printable
from goque.task_rules.retry_policy import RetryPolicy
from unit.rows import row

POLICY = RetryPolicy(max_attempts=3, strategy=step([10, 20]))
Kind = OutcomeKind


def held(**fields: object):
    return row(**{"status": "processing", "claimed_by": "node-1", "claims": 4, **fields})


@pytest.mark.parametrize(
    ("outcome", "before", "after"),
    [
        # what came of it, the row, then: status, attempts, delay, errors, lost claims
        (Outcome(Kind.DONE), {}, ("done", 0, None, None, 0)),
        (Outcome(Kind.DONE), {"attempts": 2, "lost_claims": 5}, ("done", 2, None, None, 0)),
        (Outcome(Kind.FAILED, "boom"), {}, ("error", 1, 10, "attempt 1: boom\n", 0)),
        (
            Outcome(Kind.FAILED, "boom"),
            {"attempts": 1, "errors": "attempt 1: x\n"},
            ("error", 2, 20, "attempt 1: x\nattempt 2: boom\n", 0),
        ),
        (Outcome(Kind.FAILED, "boom"), {"attempts": 2}, ("attempts_left", 3, None, "attempt 3: boom\n", 0)),
        (Outcome(Kind.FAILED, "boom"), {"attempts": 9}, ("attempts_left", 10, None, "attempt 10: boom\n", 0)),
        (Outcome(Kind.FAILED, "boom", delay=7.0), {}, ("error", 1, 7.0, "attempt 1: boom\n", 0)),
        (Outcome(Kind.FAILED, "boom", delay=0.0), {}, ("error", 1, 0.0, "attempt 1: boom\n", 0)),
        (
            Outcome(Kind.TIMED_OUT, "task processing timeout: 30s"),
            {},
            ("error", 1, 10, "attempt 1: task processing timeout: 30s\n", 0),
        ),
        (
            Outcome(Kind.CRASHED, "worker crashed: exit code 3"),
            {},
            ("error", 1, 10, "attempt 1: worker crashed: exit code 3\n", 0),
        ),
        (Outcome(Kind.FAILED, "boom", final=True), {}, ("attempts_left", 1, None, "attempt 1: boom\n", 0)),
        (Outcome(Kind.LOST_RUNNING, "node lost"), {}, ("error", 1, 0.0, "attempt 1: node lost\n", 0)),
        (
            Outcome(Kind.LOST_RUNNING, "node lost", delay=9.0),
            {"attempts": 2},
            ("attempts_left", 3, None, "attempt 3: node lost\n", 0),
        ),
        (Outcome(Kind.CANCELED, "why"), {}, ("canceled", 0, None, "canceled: why\n", 0)),
        (Outcome(Kind.CANCELED), {"attempts": 1}, ("canceled", 1, None, "canceled\n", 0)),
        (Outcome(Kind.SNOOZED, delay=60.0), {}, ("new", 0, 60.0, None, 0)),
        (Outcome(Kind.SNOOZED, delay=60.0), {"attempts": 1}, ("error", 1, 60.0, None, 0)),
        (Outcome(Kind.UNSTARTED), {"status": "pending"}, ("new", 0, None, None, 0)),
        (Outcome(Kind.UNSTARTED), {"status": "pending", "attempts": 1}, ("error", 1, None, None, 0)),
        (Outcome(Kind.INTERRUPTED), {}, ("new", 0, None, None, 0)),
        (Outcome(Kind.INTERRUPTED), {"attempts": 2}, ("error", 2, None, None, 0)),
        (Outcome(Kind.LOST_UNSTARTED), {"status": "pending"}, ("new", 0, None, None, 1)),
        (Outcome(Kind.LOST_UNSTARTED), {"attempts": 1, "lost_claims": 9}, ("error", 1, None, None, 10)),
    ],
)
def test_an_outcome_becomes_the_move_of_the_contract(outcome, before, after):
    task = held(**before)
    change = settle(outcome, task, POLICY)
    assert (change.status, change.attempts, change.delay, change.errors, change.lost_claims) == after
    assert change.token == task.token
    assert (change.failed is not None) == (change.attempts > task.attempts)


def test_a_result_is_kept_only_of_a_task_that_is_done():
    assert settle(Outcome(Kind.DONE, result=b"[1]"), held(), POLICY).result == b"[1]"
    assert settle(Outcome(Kind.FAILED, "boom", result=b"[1]"), held(), POLICY).result is None


def test_the_eleventh_claim_lost_in_a_row_ends_the_task():
    change = settle(Outcome(Kind.LOST_UNSTARTED), held(lost_claims=10, attempts=1), POLICY)
    assert (change.status, change.attempts, change.lost_claims) == ("attempts_left", 1, 11)
    assert change.errors == "given up: 11 nodes in a row died holding this task before it started\n"
    assert change.failed is not None


def test_max_crashes_counts_crashes_since_the_last_reset():
    policy = RetryPolicy(max_attempts=100, strategy=static(1), max_crashes=2)
    crash = Outcome(Kind.CRASHED, "worker crashed: signal 11 (SIGSEGV)")
    before = "attempt 1: worker crashed: exit code 3\nreset attempts: 2026-11-23T21:02:33.123456Z\n"
    first = settle(crash, held(errors=before), policy)
    assert first.status == "error"
    failed = settle(Outcome(Kind.FAILED, "boom"), held(attempts=1, errors=first.errors), policy)
    assert failed.status == "error"
    assert settle(crash, held(attempts=2, errors=failed.errors), policy).status == "attempts_left"
    assert crashes_since_reset(None) == 0


CRASHES = [
    "attempt 1: worker crashed: signal 11 (SIGSEGV)",
    "attempt 12: worker crashed: exit code 3",
    "attempt 3: worker crashed in step page-17: signal 11 (SIGSEGV)",
    "attempt 3: worker crashed in step a, b: c: exit code 3",
    "attempt 3: worker crashed in step : worker crashed: : exit code 3",
]
NO_CRASHES = [
    "attempt 1: task processing timeout: 5s (in step x: worker crashed: signal 11 (SIGSEGV))",
    "attempt 1: no progress for 60s (in step attempt 2: worker crashed: exit code 3)",
    "attempt 1: ValueError: worker crashed: signal 11 (SIGSEGV)",
    "attempt 1: worker crashed indeed",
    "canceled: needs extract 0198: worker crashed in step a: signal 11 (SIGSEGV)",
    "canceled: worker crashed: exit code 3",
]


@pytest.mark.parametrize(
    ("line", "is_crash"), [*((one, 1) for one in CRASHES), *((one, 0) for one in NO_CRASHES)]
)
def test_a_line_about_a_crash_is_told_from_one_that_quotes_it(line, is_crash):
    assert crashes_since_reset(f"attempt 1: boom\n{line}\nattempt 2: boom\n") == is_crash
    assert crashes_since_reset(f"{line}\nreset attempts: 2026-11-23T21:02:33.123456Z\n") == 0


def test_a_crash_in_a_step_counts_for_max_crashes():
    policy = RetryPolicy(max_attempts=100, max_crashes=2)
    crash = Outcome(Kind.CRASHED, crash_cause(CrashEvidence(signal=11), "SIGSEGV", "odd: name, (1)"))
    first = settle(crash, held(), policy)
    assert first.errors == "attempt 1: worker crashed in step odd: name, (1): signal 11 (SIGSEGV)\n"
    assert settle(crash, held(attempts=1, errors=first.errors), policy).status == "attempts_left"


def test_a_policy_without_a_strategy_falls_back_on_the_default():
    change = settle(Outcome(Kind.FAILED, "boom"), held(attempts=1), RetryPolicy(strategy=None))
    assert change.delay == pytest.approx(60, rel=0.1)


def test_a_failed_attempt_keeps_the_whole_story():
    outcome = Outcome(
        Kind.CRASHED,
        "worker crashed: signal 11 (SIGSEGV)\nsecond line",
        traceback="Traceback",
        duration=1.5,
        pid=42,
        crash=CrashEvidence(signal=11, max_rss=1024, oom="killed", stack="stack\0", stderr="\ud800oops"),
    )
    change = settle(outcome, held(), POLICY)
    failed = change.failed
    assert change.errors == "attempt 1: worker crashed: signal 11 (SIGSEGV)\n"
    assert (failed.attempt, failed.cause, failed.worker_pid, failed.duration) == (1, "crash", 42, 1.5)
    assert failed.error == "worker crashed: signal 11 (SIGSEGV)\nsecond line"
    assert (failed.signal, failed.exit_code, failed.max_rss, failed.oom) == (11, None, 1024, "killed")
    assert (failed.stack, failed.stderr) == ("stack\\x00", "\\ud800oops")


def test_how_a_process_ended_is_said_in_the_words_of_the_contract():
    assert crash_cause(CrashEvidence(signal=11), "SIGSEGV") == "worker crashed: signal 11 (SIGSEGV)"
    assert crash_cause(CrashEvidence(exit_code=3), None) == "worker crashed: exit code 3"
    assert (
        crash_cause(CrashEvidence(signal=40), None, "a, b")
        == "worker crashed in step a, b: signal 40 (unknown)"
    )


def test_errors_take_one_printable_line_a_failure():
    assert append_error(None, "boom") == "boom\n"
    assert append_error("a\n", "b\nc") == "a\nb\n"
    assert append_error("a\n", "") == "a\n\n"
    assert append_error(None, "nul \0 bell \a lone \ud800 é 🎉") == "nul \\x00 bell \\x07 lone \\ud800 é 🎉\n"
    assert append_error("lone \ud800\n", "b") == "lone ?\nb\n"


@pytest.mark.parametrize("char", ["x", "é", "🎉", "\0", "\ud800"])
def test_errors_keep_their_newest_16_kib_in_whole_lines(char):
    errors = None
    for number in range(300):
        errors = append_error(errors, f"attempt {number}: {char * 200}")
    assert len(errors.encode()) <= MAX_ERRORS_BYTES
    assert errors.startswith("attempt ")
    assert errors.splitlines()[-1].startswith("attempt 299: ")
    assert len(append_error(errors, char * 1_000_000).encode()) <= MAX_ERRORS_BYTES


@pytest.mark.parametrize(
    "text", ["x" * 10_000_000, "\0" * 100_000, "🎉" * 100_000, "\ud800" * 100_000, "a\nb\tc", ""]
)
def test_printable_text_is_bounded_and_encodes(text):
    clean = printable(text)
    assert len(clean.encode()) <= MAX_ERRORS_BYTES * 4 + 64
    assert "\0" not in clean


def test_short_text_is_printed_as_it_is():
    assert printable("a\nb\tc é 🎉") == "a\nb\tc é 🎉"


def test_changes_cross_a_wire_unchanged():
    change = settle(Outcome(Kind.FAILED, "boom"), held(), POLICY)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(change), type=Change) == change
    assert change.status is TaskStatus.ERROR


@pytest.mark.parametrize(("kind", "status"), [(Kind.TIMED_OUT, "attempts_left"), (Kind.CRASHED, "error")])
def test_a_type_may_have_its_timeouts_not_retried(kind: Kind, status: str) -> None:
    policy = RetryPolicy(max_attempts=3, retry_timeouts=False)
    assert settle(Outcome(kind, "boom"), held(), policy).status == status


@pytest.mark.parametrize(
    ("kind", "status"), [(Kind.CANCELED, TaskStatus.CANCELED), (Kind.INTERRUPTED, TaskStatus.ERROR)]
)
def test_a_run_that_is_not_charged_is_recorded_only_if_its_process_was_killed(
    kind: Kind, status: TaskStatus
) -> None:
    running = row(status="processing", attempts=2, claimed_by="n")
    killed = CrashEvidence(signal=9, stack="in insist")
    change = settle(Outcome(kind, "it ran on", crash=killed, duration=2.0), running, RetryPolicy())
    assert (change.status, change.attempts) == (status, 2)
    assert change.failed is not None
    assert (change.failed.attempt, change.failed.cause, change.failed.stack) == (3, kind, "in insist")
    assert not change.failed.is_failure
    for outcome in (Outcome(kind, "by its handler"), Outcome(kind)):
        assert settle(outcome, running, RetryPolicy()).failed is None
    neighbor = Outcome(Kind.INTERRUPTED, crash=killed)  # it was ended because of another task
    assert settle(neighbor, running, RetryPolicy()).failed is None


def test_a_charged_attempt_has_a_group_and_the_version_that_ran_it():
    change = settle(Outcome(Kind.FAILED, "KeyError: 1"), held(), POLICY, "1.0")
    assert change.failed.app_version == "1.0"
    assert change.failed.failure_group == change.group.id
    assert (change.group.type, change.group.error_class) == (held().type, "KeyError")
    for uncharged in (Kind.DONE, Kind.CANCELED, Kind.SNOOZED, Kind.UNSTARTED, Kind.INTERRUPTED):
        assert settle(Outcome(uncharged, delay=1.0), held(), POLICY, "1.0").group is None


def test_a_success_that_is_refused_keeps_the_version():
    outcome = Outcome(Kind.DONE, follow_ups=(object(),))
    change = settle(outcome, held(), POLICY, "1.0")
    assert change.success.refused("goque.DuplicateTaskError: x").failed.app_version == "1.0"
