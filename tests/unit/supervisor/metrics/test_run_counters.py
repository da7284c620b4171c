"""The runs of a type, counted for the table."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from goque.describe.run_counts import RunCounts, bucket_of
from goque.outcome import Change, Outcome, OutcomeKind, settle
from goque.task_row import TaskRow, TaskStatus
from goque.task_rules.retry_policy import RetryPolicy
from goque_supervisor.metrics.counters import Counters, read_counters
from goque_supervisor.metrics.run_counters import RunCounters, read_run_counters

NOW = datetime(2026, 11, 23, tzinfo=UTC)
ROW = TaskRow("1", "mail", "x", b"{}", TaskStatus.PROCESSING, 0, None, None, NOW, NOW, NOW)


def ended(kind: OutcomeKind, seconds: float) -> tuple[Change, Outcome]:
    outcome = Outcome(kind, "boom", duration=seconds)
    return settle(outcome, ROW, RetryPolicy()), outcome


def test_runs_are_counted_by_their_end_and_by_their_times(tmp_path: Path) -> None:
    counters = RunCounters(tmp_path / "mail.counters", "mail")
    assert read_run_counters(tmp_path) == {}
    counters.settled(*ended(OutcomeKind.DONE, 0.5), 2.0)
    counters.settled(*ended(OutcomeKind.DONE, 0.5), None)
    counters.settled(*ended(OutcomeKind.FAILED, 60.0), 2.0)
    counters.settled(*ended(OutcomeKind.UNSTARTED, 0.0), 9.0)
    counters.settled(*ended(OutcomeKind.SNOOZED, 1.0), 0.25)
    assert read_run_counters(tmp_path) == {
        "mail": RunCounts(
            {"done": 2, "error": 1},
            {bucket_of(0.5): 2, bucket_of(60.0): 1},
            {bucket_of(2.0): 2, bucket_of(0.25): 1},
        )
    }


def test_they_are_kept_by_the_next_process_and_are_no_metrics(tmp_path: Path) -> None:
    Counters(tmp_path / "mail.counters", "mail")
    for _process in range(2):
        RunCounters(tmp_path / "mail.counters", "mail").settled(*ended(OutcomeKind.DONE, 1.0), 1.0)
    RunCounters(tmp_path / "other.counters", "mail").settled(*ended(OutcomeKind.DONE, 1.0), 1.0)
    assert read_run_counters(tmp_path)["mail"].ends == {"done": 3}
    assert set(read_counters(tmp_path)) == {"mail"}
    assert not any(read_counters(tmp_path)["mail"].values())


def test_successes_that_are_counted_together_count_as_one_by_one(tmp_path: Path) -> None:
    durations, waits = [0.5, 0.0003, 60.0, 0.5, 1e9], [2.0, 0.0, 0.25, 7e6]
    together, one_by_one = tmp_path / "together", tmp_path / "one by one"
    for directory in (together, one_by_one):
        directory.mkdir()
    RunCounters(together / "a.counters", "mail").succeeded(durations, waits)
    single = RunCounters(one_by_one / "a.counters", "mail")
    for number, duration in enumerate(durations):
        single.settled(*ended(OutcomeKind.DONE, duration), waits[number] if number < len(waits) else None)
    assert read_run_counters(together) == read_run_counters(one_by_one)
