from __future__ import annotations

from datetime import timedelta

import pytest
from backends import START, add, claim, row_of

from goque.storage.contract import TypePolicy
from goque.storage.sql.claiming.claim_cursor import MIN_CLAIM
from goque.task import Task


def policy(task_type: str, **fields: object) -> TypePolicy:
    known = {"max_attempts": 5, "strategy": None, "max_crashes": None}
    ages = {"cleaner_age": 60.0, "cleaner_keep_failed": 600.0, "healer_age": 60.0}
    return TypePolicy(type=task_type, **{**known, **ages, **fields})


def test_a_claim_shows_owner_number_and_status(storage, clock):
    task = add(storage)
    clock.advance(1)
    [row] = claim(storage)
    assert row == row_of(storage, task)
    assert (row.id, row.status, row.claimed_by, row.claims) == (task.id, "pending", "node-1", 1)
    assert row.updated_at == START + timedelta(seconds=1)
    assert row.token == (task.id, 1, "node-1")


def test_a_claimed_task_is_claimed_once(storage, other):
    add(storage)
    assert len(claim(storage)) == 1
    assert claim(other, "node-2") == []


def test_higher_priorities_come_first_and_then_the_longest_due(storage, clock):
    order = []
    for priority, delay in [(0, 3), (5, 2), (0, 1), (-5, 0), (5, 1)]:
        order.append((priority, delay, add(storage, priority=priority, delay=delay).id))
    clock.advance(10)
    expected = [task_id for _, _, task_id in sorted(order, key=lambda entry: (-entry[0], entry[1]))]
    assert [row.id for row in claim(storage)] == expected


def test_a_limit_takes_the_best(storage):
    low, high = add(storage, priority=-100), add(storage, priority=100)
    assert [row.id for row in claim(storage, limit=1)] == [high.id]
    assert [row.id for row in claim(storage, limit=1)] == [low.id]
    assert claim(storage, limit=1) == []
    assert claim(storage, limit=0) == []


def test_a_limit_takes_the_longest_due_and_not_the_first_inserted(storage, clock):
    later, sooner = add(storage, delay=2), add(storage, delay=1)
    clock.advance(10)
    assert [row.id for row in claim(storage, limit=1)] == [sooner.id]
    assert [row.id for row in claim(storage, limit=1)] == [later.id]


def test_a_task_is_due_at_its_instant_and_not_a_microsecond_before(storage, clock):
    add(storage, delay=1)
    clock.advance(0.999999)
    assert claim(storage) == []
    clock.advance(0.000001)
    assert len(claim(storage)) == 1


def test_future_tasks_of_a_high_priority_hide_nothing_below(storage):
    storage.insert_tasks([Task("mail", priority=9, delay=3600) for _ in range(500)])
    due = add(storage, priority=1)
    assert [row.id for row in claim(storage)] == [due.id]


def test_other_types_stay_where_they_are(storage):
    add(storage, "sms")
    assert claim(storage) == []


def test_a_paused_type_claims_nothing_until_it_goes_on(storage, backend):
    add(storage)
    storage.publish_types([policy("mail")])
    backend.execute("UPDATE goque_type SET paused = 1")
    assert claim(storage) == []
    assert storage.seconds_until_due("mail") is None
    storage.publish_types([policy("mail", max_attempts=9)])
    assert storage.type_policies()["mail"].paused
    assert claim(storage) == []
    backend.execute("UPDATE goque_type SET paused = 0")
    assert len(claim(storage)) == 1


def test_the_wait_is_that_of_the_earliest_unclaimed_task(storage, clock):
    assert storage.seconds_until_due("mail") is None
    add(storage, delay=60, priority=5)
    add(storage, delay=30, priority=-5)
    assert storage.seconds_until_due("mail") == pytest.approx(30)
    clock.advance(40)
    assert storage.seconds_until_due("mail") == 0
    claim(storage)
    assert storage.seconds_until_due("mail") == pytest.approx(20)


def test_an_owner_finds_what_it_holds(storage):
    tasks = [add(storage), add(storage, "sms")]
    claim(storage)
    claim(storage, task_type="sms")
    assert [row.id for row in storage.claimed_by_owner("node-1")] == [task.id for task in tasks]
    assert [row.id for row in storage.claimed_by_owner("node-1", "sms")] == [tasks[1].id]
    assert len(storage.claimed_by_owner("node-1", limit=1)) == 1
    assert storage.claimed_by_owner("node-2") == []


def stream(storage, count, **options):
    """Add tasks that are due one after the other, as a backlog is."""
    now = START - timedelta(hours=1)
    tasks = [Task("mail", run_at=now + timedelta(seconds=number), **options) for number in range(count)]
    storage.insert_tasks(tasks)
    return [task.id for task in tasks]


def claim_ids(storage, limit=MIN_CLAIM):
    return [row.id for row in claim(storage, limit=limit)]


def test_a_stream_of_full_claims_takes_everything_once_and_in_order(storage):
    ids = [
        task_id for priority in (1, 0) for task_id in stream(storage, 3 * MIN_CLAIM - 7, priority=priority)
    ]
    claimed = []
    while found := claim_ids(storage):
        claimed += found
    assert claimed == ids


def test_a_claim_in_a_stream_that_is_not_full_leaves_nothing_behind(storage):
    waiting = stream(storage, 2 * MIN_CLAIM)
    assert claim_ids(storage) == waiting[:MIN_CLAIM]
    earlier = add(storage, run_at=START - timedelta(hours=2)).id
    urgent = add(storage, priority=1).id
    assert claim_ids(storage, 2 * MIN_CLAIM) == [urgent, earlier, *waiting[MIN_CLAIM:]]


def test_what_comes_before_the_place_of_a_stream_waits_no_longer_than_a_moment(storage):
    waiting = stream(storage, 5 * MIN_CLAIM)
    assert claim_ids(storage) == waiting[:MIN_CLAIM]
    urgent = add(storage, priority=1).id
    if position := storage._cursor._positions.get(("mail", None)):
        position.until = float("inf")
        assert claim_ids(storage) == waiting[MIN_CLAIM : 2 * MIN_CLAIM]
        position.until = 0.0
    assert claim_ids(storage)[0] == urgent


def test_a_trickle_begins_at_the_head_each_time(storage):
    waiting = stream(storage, 2 * MIN_CLAIM)
    assert claim_ids(storage, MIN_CLAIM - 1) == waiting[: MIN_CLAIM - 1]
    urgent = add(storage, priority=1).id
    assert claim_ids(storage)[0] == urgent


def test_a_paused_type_is_not_claimed_in_the_middle_of_a_stream(storage):
    stream(storage, 2 * MIN_CLAIM)
    claim_ids(storage)
    storage.publish_types([policy("mail")])
    assert storage.pause_type("mail")
    assert claim_ids(storage) == []
