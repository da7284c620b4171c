"""Counters in files that outlive who counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from goque.identifiers import new_task_id
from goque.outcome import Outcome, OutcomeKind, settle
from goque.task import Task
from goque.task_row import TaskRow
from goque.task_rules.retry_policy import RetryPolicy
from goque_supervisor.metrics.counters import DURATIONS, Counters, CountersByType, read_counters


def row(attempts: int = 0, payload: bytes = b"{}") -> TaskRow:
    moment = Task("mail").created_at
    return TaskRow(
        new_task_id(),
        "mail",
        "x",
        payload,
        "pending",
        attempts,
        None,
        None,
        moment,
        None,
        moment,
        claimed_by="n",
    )


def end(counters: Counters, outcome: Outcome, task: TaskRow | None = None, *, written: bool = True) -> None:
    task = task or row()
    counters.settled(settle(outcome, task, RetryPolicy(max_attempts=2)), outcome, task, written=written)


def test_ends_of_runs_are_counted_by_the_status_they_led_to(tmp_path: Path) -> None:
    counters = Counters(tmp_path / "a.counters", "mail")
    end(counters, Outcome(OutcomeKind.DONE, duration=0.002))
    end(counters, Outcome(OutcomeKind.DONE, duration=1000.0), row(payload=b"x" * 5000))
    end(counters, Outcome(OutcomeKind.FAILED, "boom", undecodable=True, duration=0.5))
    end(counters, Outcome(OutcomeKind.FAILED, "boom", duration=0.5), row(attempts=1))
    end(counters, Outcome(OutcomeKind.INTERRUPTED))
    end(counters, Outcome(OutcomeKind.UNSTARTED))
    end(counters, Outcome(OutcomeKind.DONE), written=False)
    counts = read_counters(tmp_path)["mail"]
    assert (counts["processed:done"], counts["processed:error"], counts["processed:attempts_left"]) == (
        2,
        1,
        1,
    )
    assert (counts["decode_errors"], counts["stale_writes"]) == (1, 1)
    runs = counts.buckets("processing")
    assert (runs[0], runs[1], runs[DURATIONS.index(0.5)], runs[-2], runs[-1]) == (0, 1, 3, 3, 4)
    assert counts["processing:sum"] == pytest.approx(1001.002)
    assert counts.buckets("payload")[:3] == [3, 3, 4]
    assert (counts.buckets("attempts")[:2], counts["attempts:sum"]) == ([1, 2], 3)


def test_the_next_process_goes_on_where_the_last_one_died(tmp_path: Path) -> None:
    Counters(tmp_path / "a.counters", "mail").count("fetched", 3)
    second = Counters(tmp_path / "a.counters", "mail")
    second.count("fetched", 4)
    assert read_counters(tmp_path)["mail"]["fetched"] == 7


def test_what_several_roles_count_of_a_type_is_summed(tmp_path: Path) -> None:
    Counters(tmp_path / "mail.fetcher.counters", "mail").count("fetched", 3)
    counters = CountersByType(
        {"mail": str(tmp_path / "m.counters"), "unregistered": str(tmp_path / "u.counters")}
    )
    counters["mail"].count("cleaned", 2)
    counters["stranger"].count("cleaned", 5)
    counters[None].count("cleaned", 6)
    read = read_counters(tmp_path)
    assert (read["mail"]["fetched"], read["mail"]["cleaned"]) == (3, 2)
    assert read["unregistered"]["cleaned"] == 11
    assert set(read) == {"mail", "unregistered"}


def test_an_answer_of_the_database_is_of_the_process_that_got_it(tmp_path: Path) -> None:
    first = Counters(tmp_path / "a.counters", "mail")
    first.database_answered()
    assert read_counters(tmp_path)["mail"].database_answered_at > 0
    Counters(tmp_path / "a.counters", "mail")
    assert read_counters(tmp_path)["mail"].database_answered_at == 0


def test_a_file_that_is_being_made_is_read_as_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.counters").write_bytes(b"")
    (tmp_path / "b.counters").write_bytes(b"\xff" * 100)
    assert read_counters(tmp_path) == {}


def test_without_a_file_counting_goes_on_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    counters = Counters(tmp_path / "missing" / "a.counters", "mail")
    counters.count("fetched")
    assert "cannot count what happens" in caplog.text


def test_successes_that_are_counted_together_count_as_one_by_one(tmp_path: Path) -> None:
    runs = [(0.0, b"{}"), (0.002, b"x" * 5000), (1000.0, b"x" * 100)]
    together, single = (
        Counters(tmp_path / "a.counters", "together"),
        Counters(tmp_path / "b.counters", "single"),
    )
    together.succeeded([seconds for seconds, _payload in runs], [len(payload) for _seconds, payload in runs])
    for seconds, payload in runs:
        end(single, Outcome(OutcomeKind.DONE, duration=seconds), row(payload=payload))
    counts = read_counters(tmp_path)
    assert counts["together"] == counts["single"]
    assert counts["together"]["processed:done"] == 3
