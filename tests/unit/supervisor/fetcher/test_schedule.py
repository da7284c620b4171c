"""When the fetcher's loop goes on: a table of what it has to do, and what it plans."""

from __future__ import annotations

import pytest

from goque_supervisor.fetcher.schedule import (
    BEAT_PERIOD,
    CHANGES_PERIOD,
    INSPECT_PERIOD,
    MIN_SETTLE_BATCH,
    PLACES_PERIOD,
    RELAY_PERIOD,
    SETTLE_PERIOD,
    Load,
    Schedule,
)

NOW = 1000.0


def schedule(**times: float) -> Schedule:
    """Return a schedule whose next times are, unless given, a beat in a second and all else in ten."""
    made = Schedule()
    later = {"claim_at": 10.0, "inspect_at": 10.0, "changes_at": 10.0, "relay_at": 10.0, "beat_at": 1.0}
    for name, seconds in {**later, **times}.items():
        setattr(made, name, NOW + seconds)
    return made


@pytest.mark.parametrize(
    ("times", "load", "seconds"),
    [
        ({}, Load(), 1.0),
        ({"beat_at": -5.0}, Load(), 0.0),
        ({"claim_at": 0.3}, Load(), 1.0),
        ({"claim_at": 0.3}, Load(wants_more=True), 0.3),
        ({"claim_at": -9.0}, Load(wants_more=True), 0.0),
        ({"claim_at": 0.3}, Load(wants_more=True, database_at=NOW + 0.7), 0.7),
        ({"claim_at": 0.3}, Load(wants_more=True, database_at=NOW + 7), 1.0),
        ({"inspect_at": 0.05}, Load(), 1.0),
        ({"inspect_at": 0.05}, Load(is_busy=True), 0.05),
        ({"inspect_at": 0.05}, Load(waiting=1), 0.05),
        ({"settled_at": -0.01}, Load(ended=1, is_busy=True), SETTLE_PERIOD - 0.01),
        ({"settled_at": 0.0}, Load(ended=1, is_busy=True, lacks_places=True), PLACES_PERIOD),
        ({"settled_at": 0.0}, Load(ended=1, is_busy=True, lacks_places=True, has_idle=True), 0.0),
        ({"settled_at": 0.0}, Load(ended=1, is_busy=True, has_idle=True), SETTLE_PERIOD),
        ({"settled_at": -0.01}, Load(ended=1), 0.0),
        ({"settled_at": -0.01}, Load(ended=1, is_busy=True, draining=True), 0.0),
        ({"settled_at": -0.01}, Load(ended=MIN_SETTLE_BATCH, is_busy=True), 0.0),
        ({"settled_at": -9.0}, Load(ended=1, is_busy=True), 0.0),
        ({"settled_at": -9.0}, Load(ended=1, database_at=NOW + 0.5), 0.5),
        ({"settled_at": -0.01}, Load(is_busy=True), 1.0),
        ({}, Load(poll_in=0.2), 0.2),
        ({}, Load(poll_in=2.0), 1.0),
        ({"relay_at": -1.0, "changes_at": -1.0}, Load(), 1.0),
    ],
    ids=[
        "nothing to do: the next beat",
        "a beat is late",
        "workers want nothing",
        "workers want tasks",
        "workers want tasks, and a claim is due",
        "a claim waits for the database",
        "a beat waits for nothing",
        "no worker is busy",
        "a worker is busy",
        "a task waits for a worker",
        "more results are on their way",
        "tasks wait for places, and workers have jobs",
        "tasks wait for places, and a worker has nothing to do",
        "a worker has nothing to do, and no task waits for a place",
        "no more results come",
        "the tree drains",
        "the batch is full",
        "the last batch is long ago",
        "a batch waits for the database",
        "nothing has ended",
        "the watcher asks soon",
        "the watcher asks later than the beat",
        "what is due with the next turn wakes nobody",
    ],
)
def test_the_pause_ends_when_the_first_thing_is_due(
    times: dict[str, float], load: Load, seconds: float
) -> None:
    assert schedule(**times).pause(NOW, load) == pytest.approx(seconds)


def test_a_new_schedule_has_everything_due() -> None:
    fresh = Schedule()
    assert fresh.pause(NOW, Load(wants_more=True)) == 0.0
    assert fresh.is_beat_due(NOW)
    assert fresh.is_relay_due(NOW)
    assert fresh.is_inspection_due(NOW)


@pytest.mark.parametrize(
    ("name", "period"),
    [
        ("is_beat_due", BEAT_PERIOD),
        ("is_relay_due", RELAY_PERIOD),
        ("is_inspection_due", INSPECT_PERIOD),
    ],
)
def test_what_is_periodic_is_due_once_a_period(name: str, period: float) -> None:
    is_due = getattr(Schedule(), name)
    moments = [0.0, period / 2, period, period * 1.5, period * 2.5]
    assert [is_due(NOW + moment) for moment in moments] == [True, False, True, False, True]


def test_a_claim_is_planned_earlier_but_later_only_after_a_claim() -> None:
    planned = schedule(claim_at=0.5)
    planned.claim_within(NOW, 0.7)
    assert planned.claim_at == NOW + 0.5
    planned.claim_within(NOW, 0.2)
    assert planned.claim_at == NOW + 0.2
    planned.claim_after(NOW, 3.0)
    assert planned.claim_at == NOW + 3.0
    planned.claim_now()
    assert planned.pause(NOW, Load(wants_more=True)) == 0.0


def test_an_inspection_is_planned_earlier_but_not_later() -> None:
    planned = schedule(inspect_at=0.5)
    planned.inspect_within(NOW, 0.7)
    assert planned.inspect_at == NOW + 0.5
    planned.inspect_within(NOW, 0.003)
    assert planned.inspect_at == NOW + 0.003
    planned.inspect_now()
    assert planned.is_inspection_due(NOW)
    assert planned.inspect_at == NOW + INSPECT_PERIOD


def test_a_change_of_the_table_is_looked_into_before_the_usual_time() -> None:
    planned = Schedule()
    planned.changes_asked(NOW, 5.0)
    assert planned.changes_at == NOW + 5.0
    planned.table_changed(NOW + 1)
    assert planned.changes_at == NOW + 1 + CHANGES_PERIOD
    planned.table_changed(NOW + 1.1)
    assert planned.changes_at == NOW + 1 + CHANGES_PERIOD
