"""Rows in a SQLite file: text that two libraries write, and rows as nobody should write them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from backends import START, add, claim, done, row_of
from go_schema import ID

from goque import Registry, TaskQueueManager
from goque.task import Task

INSERT = """
    INSERT INTO goque_task (id, type, external_id, payload, status, attempts, metadata, created_at,
                            next_attempt_at)
    VALUES (:id, 'mail', :id, '{"n": 1}', 'new', 0, NULL, :created_at, :due_at)"""


@pytest.fixture
def backend(sqlite):
    return sqlite


def insert(backend, due_at, task_id=ID, created_at="2026-11-23T21:02:33Z"):
    backend.execute(INSERT, id=task_id, created_at=created_at, due_at=due_at)


def test_whole_seconds_and_missing_metadata_are_read(storage, backend):
    insert(backend, "2026-11-23T21:02:33Z")
    row = storage.get_task(ID)
    assert row.created_at == datetime(2026, 11, 23, 21, 2, 33, tzinfo=UTC)
    assert row.updated_at is None
    assert Task.from_row(row).metadata == {}
    assert Task.from_row(row).payload == {"n": 1}


def test_a_row_with_the_tables_own_default_times_is_read_and_run(storage, backend):
    backend.execute(
        "INSERT INTO goque_task"
        " (id, type, external_id, payload, status, attempts, created_at, next_attempt_at)"
        " VALUES (:id, 'mail', 'x', '{}', 'new', 0, '2026-11-23 21:02:33', '2026-11-23 21:02:33')",
        id=ID,
    )
    [row] = claim(storage)
    assert row.created_at == row.next_attempt_at == datetime(2026, 11, 23, 21, 2, 33, tzinfo=UTC)


@pytest.mark.parametrize(
    ("due_at", "now", "due"),
    [
        ("2026-11-23T21:02:33Z", "2026-11-23T21:02:33.000000Z", True),
        ("2026-11-23T21:02:33Z", "2026-11-23T21:02:33.000001Z", True),
        ("2026-11-23T21:02:33Z", "2026-11-23T21:02:32.999999Z", False),
        ("2026-11-23T21:02:33.5Z", "2026-11-23T21:02:33.499999Z", False),
        ("2026-11-23T21:02:33.500000Z", "2026-11-23T21:02:33.500000Z", True),
        ("2026-11-23T21:02:33.500000Z", "2026-11-23T21:02:33.000000Z", False),
        ("2026-11-23T21:02:33.000000Z", "2026-11-23T21:02:33.000000Z", True),
        ("2026-11-23T21:02:34Z", "2026-11-23T21:02:33.999999Z", False),
        ("2026-11-23 21:02:33", "2026-11-23T21:02:33.000000Z", True),
    ],
)
def test_due_is_exact_for_both_ways_to_write_an_instant(storage, backend, due_at, now, due):
    insert(backend, due_at)
    backend.clock.now = datetime.fromisoformat(now)
    assert len(claim(storage)) == due
    storage.seconds_until_due("mail")


HOSTILE = {
    "payload that is no JSON": "payload = 'not json'",
    "payload that is no UTF-8": "payload = CAST(x'ff00fe' AS TEXT)",
    "payload that is a blob": "payload = x'ff00fe'",
    "payload that is a number": "payload = 12",
    "payload with a NUL": "payload = 'a' || char(0) || 'b'",
    "deep payload": "payload = replace(hex(zeroblob(5000)), '0', '[')",
    "metadata that is no JSON": "metadata = CAST(x'ff' AS TEXT)",
    "errors that are no UTF-8": "errors = CAST(x'626f6f6dff' AS TEXT)",
    "errors that are a number": "errors = 1",
    "external id that is no UTF-8": "external_id = CAST(x'ff' AS TEXT)",
    "external id that is a blob": "external_id = x'ff'",
    "result that is no UTF-8": "result = CAST(x'ff' AS TEXT)",
    "times that are none": "created_at = 'yesterday', updated_at = x'ff'",
    "times that are numbers": "created_at = 1764000000, updated_at = 1.5",
    "a time out of range": "created_at = '9999-99-99T99:99:99Z', updated_at = '0001-01-01T00:00:00+14:00'",
    "attempts that are text": "attempts = 'many', lost_claims = 'some'",
}


@pytest.mark.parametrize("assignments", HOSTILE.values(), ids=HOSTILE.keys())
def test_whatever_a_row_holds_it_is_read_claimed_and_settled(storage, backend, assignments):
    hostile, healthy = add(storage), add(storage)
    backend.execute(f"UPDATE goque_task SET {assignments} WHERE id = :id", id=hostile.id)
    assert storage.get_task(hostile.id).id == hostile.id
    rows = claim(storage)
    assert {row.id for row in rows} == {hostile.id, healthy.id}
    assert all(isinstance(row.payload, bytes) for row in rows)
    assert storage.settle_if_held([done(row) for row in rows]) == {row.token for row in rows}
    assert storage.reset_unless_claimed(hostile.id)


def test_bytes_that_are_no_utf_8_stay_in_the_payload(storage, backend):
    task = add(storage)
    backend.execute(
        "UPDATE goque_task SET payload = CAST(x'ff00fe' AS TEXT), errors = CAST(x'626f6f6dff' AS TEXT)"
    )
    row = row_of(storage, task)
    assert row.payload == b"\xff\x00\xfe"
    assert row.errors == "boom�"


def test_an_instant_is_utc_whatever_offset_it_was_written_with(storage, backend):
    insert(backend, "2026-11-23T21:02:33Z", created_at="2026-11-23T22:02:33.123456+01:00")
    assert storage.get_task(ID).created_at == START


@pytest.mark.parametrize("text", ["'{\"a\":'", "CAST(x'7b00' AS TEXT)", "CAST(x'ff' AS TEXT)", "'[1]'"])
def test_a_task_with_broken_metadata_says_that_its_metadata_is_broken(storage, backend, text):
    registry = Registry()
    registry.add_processor("mail", lambda _: None)
    add(storage)
    backend.execute(f"UPDATE goque_task SET metadata = {text}")
    (run,) = TaskQueueManager(storage).drain_inline(registry)
    assert "metadata " in run.errors
    assert "payload" not in run.errors
