"""Rows as the Go library writes them, and rows that no library should write."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from backends import add, claim, done, move, row_of
from go_schema import ID, ORIGINAL

from goque.task import Task
from goque.task_row import TaskStatus

WRITTEN = datetime(2026, 11, 23, 21, 2, 33, tzinfo=UTC)


def insert_as_original(backend, **fields):
    """Write a row as the original's AddTask does: every column of its own, whole seconds where it has them."""
    row = {
        "id": ID,
        "type": "mail",
        "external_id": "internal-5f0c5bd1-3b3c-4a53-9d68-0a1b2c3d4e5f",
        "payload": '{"n": 1}',
        "status": "new",
        "attempts": 0,
        "errors": None,
        "metadata": "{}",
        "created_at": backend.time(WRITTEN),
        "updated_at": None,
        "next_attempt_at": backend.time(WRITTEN),
    } | fields
    names = ", ".join(row)
    backend.execute(
        f"INSERT INTO goque_task ({names}) VALUES ({', '.join(f':{name}' for name in row)})", **row
    )


def update_as_original(backend, **fields):
    """Change a row as the original's UpdateTask does: its own columns, and no word of an owner."""
    row = {"updated_at": backend.time(WRITTEN)} | fields
    backend.execute(
        f"UPDATE goque_task SET {', '.join(f'{name} = :{name}' for name in row)} WHERE id = :id", **row, id=ID
    )


def read_as_original(backend):
    columns = (
        "id, type, external_id, payload, status, attempts, errors, metadata, created_at, updated_at,"
        " next_attempt_at"
    )
    [row] = backend.execute(f"SELECT {columns} FROM goque_task")
    return dict(zip(columns.replace(" ", "").split(","), row, strict=True))


@pytest.mark.parametrize("taken_over", [False, True], ids=["own table", "its table"])
@pytest.mark.parametrize("metadata", ["{}", None, '{"traceparent": "00-ab"}'])
def test_a_row_of_the_original_is_read_run_and_cleaned(backend, taken_over, metadata):
    if taken_over:
        backend.script(ORIGINAL[backend.name])
        backend.execute("DELETE FROM goque_task")
    storage = backend.new_storage()
    storage.migrate()
    insert_as_original(backend, metadata=metadata)
    task = Task.from_row(storage.get_task(ID))
    assert (task.payload, task.created_at, task.updated_at) == ({"n": 1}, WRITTEN, None)
    assert task.metadata == ({"traceparent": "00-ab"} if metadata and len(metadata) > 2 else {})
    [row] = claim(storage)
    assert (row.id, row.claims, row.priority, row.status) == (ID, 1, 0, "pending")
    storage.mark_processing([row.token])
    assert storage.settle_if_held([done(row)]) == {row.token}
    assert storage.delete_finished(None, [TaskStatus.DONE], -1) == 1


def test_a_failed_row_of_the_original_keeps_its_errors(storage, backend):
    insert_as_original(backend, status="error", attempts=1, errors="attempt 1: boom\n")
    [row] = claim(storage)
    assert (row.attempts, row.errors) == (1, "attempt 1: boom\n")
    failed = move(row, TaskStatus.ERROR, attempts=2, errors=f"{row.errors}attempt 2: bang\n", delay=60)
    storage.settle_if_held([failed])
    seen = read_as_original(backend)
    assert (seen["status"], seen["attempts"]) == ("error", 2)
    assert seen["errors"] == "attempt 1: boom\nattempt 2: bang\n"


def test_a_row_of_ours_is_one_that_the_original_can_read(storage, backend):
    task = add(storage)
    seen = read_as_original(backend)
    assert str(seen["id"]) == task.id == task.id.lower()
    assert (seen["status"], seen["attempts"], seen["errors"], seen["updated_at"]) == ("new", 0, None, None)
    assert seen["metadata"] in ({}, "{}")
    assert seen["external_id"].startswith("internal-")
    assert seen["created_at"] == seen["next_attempt_at"]


def test_a_claim_of_the_original_keeps_ours_away(storage, backend, clock):
    insert_as_original(backend)
    update_as_original(backend, status="pending")
    assert claim(storage) == []
    update_as_original(backend, status="processing")
    assert claim(storage) == []
    assert storage.seconds_until_due("mail") is None
    clock.advance(100)
    assert [row.id for row in storage.unowned_claims(60)] == [ID]
    update_as_original(backend, status="done")
    assert storage.unowned_claims(60) == []


@pytest.mark.parametrize("status", ["canceled", "done", "new"])
def test_what_the_original_does_to_a_task_that_ours_runs_stands(storage, backend, status):
    insert_as_original(backend)
    [row] = claim(storage)
    storage.mark_processing([row.token])
    update_as_original(backend, status=status, attempts=0, next_attempt_at=backend.time(WRITTEN))
    assert storage.claim_news("node-1", "mail").changed == [row.token]
    assert claim(storage, "node-2") == []
    assert storage.settle_if_held([done(row)]) == set()
    assert (row_of(storage, row).status, row_of(storage, row).claimed_by) == (status, None)
    assert len(claim(storage, "node-2")) == (status == "new")


def test_the_original_takes_back_what_ours_gave_back(storage, backend):
    insert_as_original(backend)
    [row] = claim(storage)
    storage.settle_if_held([move(row, TaskStatus.NEW)])
    update_as_original(backend, status="pending")
    update_as_original(backend, status="processing")
    assert storage.settle_if_held([done(row)]) == set()
    assert row_of(storage, row).status == "processing"


def test_one_external_id_is_one_task_for_both(storage, backend):
    insert_as_original(backend, external_id="order-7")
    assert storage.insert_tasks([Task("mail", external_id="order-7")], on_conflict="skip") == []
