"""Priorities: the highest first, and 100,000 tasks of the highest level that are not due yet cost a claim nothing."""

from __future__ import annotations

import json

import pytest
from backends import START, add, claim, row_of
from test_claiming import policy
from test_mysql_plans import rows_read
from test_sqlite_plans import steps_of
from undone_claims import undo_claims

import goque
from goque.storage.postgresql.session import BEGIN
from goque.storage.postgresql.statements import NOTIFYING_STATEMENTS
from goque.storage.sql.claiming.claim_cursor import MIN_CLAIM
from goque.storage.sql.claiming.unclaimable import EMPTY_CLAIMS
from goque.storage.sql.placeholders import percent_placeholders
from goque.task import Task
from goque.task_rules.checks import MAX_PRIORITY, MIN_PRIORITY

FUTURE = {
    "sqlite": """
        INSERT INTO goque_task (id, type, external_id, payload, status, attempts, metadata, created_at,
                                next_attempt_at, priority)
        WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < :count)
        SELECT 'future-' || n, 'mail', 'future-' || n, '{}', 'new', 0, '{}', '2026-11-23T21:02:33.000000Z',
               strftime('%Y-%m-%dT%H:%M:%S.000000Z', '2027-01-01', n || ' seconds'), 100
        FROM numbers""",
    "postgresql": """
        INSERT INTO goque_task (id, type, external_id, payload, status, attempts, metadata, created_at,
                                next_attempt_at, priority)
        SELECT CAST(md5('future-' || n) AS uuid), 'mail', 'future-' || n, '{}', 'new', 0, '{}', now(),
               timestamptz '2027-01-01' + n * interval '1 second', 100
        FROM generate_series(1, :count) AS n""",
    "mysql": """
        INSERT INTO goque_task (id, type, external_id, payload, status, attempts, metadata, created_at,
                                next_attempt_at, priority)
        WITH RECURSIVE numbers (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n < 319)
        SELECT uuid(), 'mail', concat('future-', tens.n, '-', ones.n), '{}', 'new', 0, '{}', now(6),
               timestampadd(SECOND, tens.n * 320 + ones.n, '2027-01-01'), 100
        FROM numbers AS tens, numbers AS ones
        LIMIT :count""",
}


def pages(storage, backend):
    """Return how many pages PostgreSQL looks at to find the levels, the wait, and ten tasks to claim."""
    touched = 0
    now = storage_now(backend)
    params = {
        "task_type": "mail",
        "owner": "node-1",
        "priority": None,
        "top": None,
        "since": None,
        "limit": 10,
    }
    params |= {"now": now, "clock": now, "types": '["mail"]', "past": "[]"}
    with backend.connect() as connection:
        connection.execute(BEGIN)
        for name in ("next_due", "due_levels", "claim_due"):
            sql = getattr(NOTIFYING_STATEMENTS, name)
            [(plan,)] = connection.execute(
                percent_placeholders(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql}"), params
            ).fetchall()
            told = plan if isinstance(plan, list) else json.loads(plan)
            touched += told[0]["Plan"]["Shared Hit Blocks"] + told[0]["Plan"]["Shared Read Blocks"]
        connection.rollback()
    return touched


def storage_now(backend):
    return backend.clock.now.isoformat()


def effort(backend, storage):
    """Return how much a claim of ten tasks makes the database do, in its own measure."""

    def look_and_claim():
        assert storage.seconds_until_due("mail") == 0
        assert {(level.priority, level.seconds == 0) for level in storage.due_levels(["mail"])} == {
            (100, False),
            (0, True),
        }
        assert {row.priority for row in claim(storage, limit=10)} == {0}

    if backend.name == "sqlite":
        return steps_of(storage, look_and_claim)
    if backend.name == "postgresql":
        touched = pages(storage, backend)
        look_and_claim()
        return touched
    before = rows_read(storage)
    look_and_claim()
    return rows_read(storage) - before


@pytest.mark.fault(32)
def test_a_claim_stays_flat_with_100_000_future_tasks_of_the_highest_level(backend, storage):
    storage.insert_tasks([Task("mail") for _ in range(40)])
    backend.execute(FUTURE[backend.name], count=100)
    claim(storage, limit=1)
    few = effort(backend, storage)
    backend.execute("DELETE FROM goque_task WHERE priority = 100")
    backend.execute(FUTURE[backend.name], count=100_000)
    many = effort(backend, storage)
    assert many <= few * 2 + 10, (few, many)


def test_every_level_is_claimed_in_its_turn(storage):
    levels = [0, MAX_PRIORITY, -3, MIN_PRIORITY, 7, 7]
    for level in levels:
        add(storage, priority=level)
    assert [claim(storage, limit=1)[0].priority for _ in levels] == sorted(levels, reverse=True)


@pytest.mark.parametrize("wrong", [101, -101, 1.0, "7", True])
def test_a_priority_out_of_range_is_refused_and_named(storage, wrong):
    queue = goque.TaskQueueManager(storage)
    with pytest.raises(goque.ConfigurationError, match="priority must be a whole number from -100 to 100"):
        queue.enqueue("mail", priority=wrong)
    with pytest.raises(goque.ConfigurationError, match="priority must be"):
        goque.Registry().add_processor("mail", goque.noop_task_processor, priority=wrong)


# -- claims of one priority ----------------------------------------------------------------


@pytest.mark.parametrize("priority", [9, 0, -9])
def test_a_claim_of_one_priority_takes_no_other(storage, clock, priority):
    ids = {level: [add(storage, priority=level, delay=delay).id for delay in (2, 1)] for level in (9, 0, -9)}
    clock.advance(2)
    rows = claim(storage, priority=priority)
    assert [row.id for row in rows] == ids[priority][::-1]
    assert rows == [row_of(storage, row) for row in rows]
    assert claim(storage, priority=priority) == []
    assert len(claim(storage)) == 4


@pytest.mark.parametrize("priority", [8, 1, -10])
def test_a_claim_of_a_priority_that_no_task_has_takes_nothing(storage, priority):
    for level in (9, 0, -9):
        add(storage, priority=level)
    assert claim(storage, priority=priority) == []


def test_a_claim_of_one_priority_takes_what_is_due_and_no_more_than_its_limit(storage):
    add(storage, priority=5, delay=1)
    due = {add(storage, priority=5).id for _ in range(3)}
    first, second = claim(storage, priority=5, limit=2), claim(storage, priority=5, limit=2)
    assert (len(first), len(second)) == (2, 1)
    assert {row.id for row in first + second} == due


def test_a_claim_of_one_priority_takes_nothing_of_a_paused_type(storage):
    add(storage, priority=5)
    storage.publish_types([policy("mail")])
    storage.pause_type("mail")
    assert claim(storage, priority=5) == []
    storage.resume_type("mail")
    assert len(claim(storage, priority=5)) == 1


def test_streams_of_claims_of_each_priority_and_of_all_take_everything_once_and_in_order(storage):
    tasks = {
        priority: [Task("mail", run_at=START, priority=priority) for _ in range(4 * MIN_CLAIM - 7)]
        for priority in (2, 1, 0)
    }
    for some in tasks.values():
        storage.insert_tasks(some)
    claimed = []
    for priority in (1, 0, None, 2, 0, 1, None, 0):
        rows = claim(storage, priority=priority, limit=MIN_CLAIM)
        assert {row.priority for row in rows} == ({2} if priority is None else {priority})
        assert len(rows) == MIN_CLAIM
        claimed += rows
    while rows := claim(storage, limit=MIN_CLAIM):
        claimed += rows
    assert len({row.id for row in claimed}) == len(claimed) == 3 * (4 * MIN_CLAIM - 7)


def test_a_full_claim_of_one_priority_hides_nothing_from_a_claim_of_all(storage):
    storage.insert_tasks([Task("mail") for _ in range(2 * MIN_CLAIM)])
    urgent = add(storage, priority=1)
    assert len(claim(storage, priority=0, limit=MIN_CLAIM)) == MIN_CLAIM
    assert claim(storage, limit=MIN_CLAIM)[0].id == urgent.id


def test_a_claim_of_one_priority_past_tasks_that_cannot_be_claimed_takes_no_other(storage, backend):
    add(storage, external_id="stuck-5", priority=5)
    add(storage, external_id="stuck-0", priority=0)
    good = {level: [add(storage, priority=level).id for _ in range(2)] for level in (9, 5, 0, -9)}
    undo_claims(backend)
    for _ in range(EMPTY_CLAIMS):
        claim(storage, priority=5, limit=1)
    assert {row.id for row in claim(storage, priority=0)} == set(good[0])
    assert {row.id for row in claim(storage, priority=9)} == set(good[9])
    assert claim(storage, priority=7) == []
    left = set(good[5] + good[-9])
    assert {row.id for row in claim(storage)} <= left
