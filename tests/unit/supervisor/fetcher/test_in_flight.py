"""How late a task started: by the database's clock until its claim, by this machine's from there on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from goque.outcome import Outcome, OutcomeKind
from goque.task_row import TaskRow
from goque_supervisor.fetcher.in_flight import ClaimedTask, InFlight

DUE = datetime(2026, 11, 23, tzinfo=UTC)


def row(claimed_after: float | None) -> TaskRow:
    claimed = None if claimed_after is None else DUE + timedelta(seconds=claimed_after)
    return TaskRow("1", "mail", "x", b"{}", "pending", 0, None, None, DUE, claimed, DUE)


def ended(claimed_after: float | None, *, claimed_at: float, ended_at: float, took: float) -> ClaimedTask:
    outcome = Outcome(OutcomeKind.DONE, duration=took)
    return ClaimedTask(row(claimed_after), outcome=outcome, claimed_at=claimed_at, ended_at=ended_at)


@pytest.mark.parametrize(
    ("claimed_after", "took", "waited"),
    [(2.0, 3.0, 2.5), (0.0, 3.5, 0.0), (-1.0, 3.0, 0.5), (2.0, 99.0, 2.0)],
)
def test_both_parts_of_the_wait_are_added(claimed_after: float, took: float, waited: float) -> None:
    assert ended(claimed_after, claimed_at=100.0, ended_at=103.5, took=took).waited == pytest.approx(waited)


def test_what_another_fetcher_has_claimed_or_has_no_outcome_is_not_known() -> None:
    assert ended(2.0, claimed_at=0.0, ended_at=103.5, took=1.0).waited is None
    assert ended(None, claimed_at=100.0, ended_at=103.5, took=1.0).waited is None
    assert ClaimedTask(row(1.0), claimed_at=100.0).waited is None


def test_a_claim_and_an_end_are_timed() -> None:
    in_flight = InFlight(lambda _task: True, lambda _task_type: False)
    in_flight.add([row(0.0)])
    [task] = in_flight.by_id.values()
    in_flight.end(task, Outcome(OutcomeKind.DONE))
    assert 0 < task.claimed_at <= task.ended_at
    in_flight.take_over([row(0.0)])
    assert in_flight.by_id["1"].claimed_at == 0
