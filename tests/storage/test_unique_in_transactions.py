"""Unique keys in the application's own transactions, and what two sessions do to each other."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from backends import SERVERS, claim, row_of, run

import goque
from goque.errors import DuplicateTaskError
from goque.queue.manager import TaskQueueManager
from goque.task import Task
from goque.task_row import TaskStatus

BEGIN = {
    "postgresql": "BEGIN ISOLATION LEVEL REPEATABLE READ",
    "mysql": "START TRANSACTION WITH CONSISTENT SNAPSHOT",
}


@pytest.fixture
def queue(storage):
    return TaskQueueManager(storage)


@pytest.fixture
def conn(storage, backend) -> Iterator[Any]:
    del storage
    with contextlib.closing(backend.connect()) as connection:
        yield connection


@pytest.fixture
def old_snapshot(storage, backend) -> Iterator[Any]:
    """A transaction whose snapshot is older than all that is committed from now on."""
    del storage
    with contextlib.closing(backend.connect_autocommit()) as connection:
        run(connection, BEGIN[backend.name])
        run(connection, "SELECT count(*) FROM goque_task")
        yield connection


on_servers = pytest.mark.parametrize("backend", SERVERS, indirect=True)
"""SQLite has one writer, and refuses every write of a transaction whose snapshot is old."""


def enqueue(queue, **options):
    return queue.enqueue("mail", options.pop("payload", {"n": 1}), unique_key="k", **options)


def tasks(storage):
    return sum(count.count for count in storage.count_tasks())


def test_a_rollback_gives_the_key_back(queue, conn):
    first = enqueue(queue, unique="active", conn=conn)
    assert first.inserted
    with pytest.raises(DuplicateTaskError) as refusal:
        enqueue(queue, unique="active", conn=conn)
    assert refusal.value.existing_id == first.id
    conn.rollback()
    assert enqueue(queue, unique="active").inserted


def test_a_taken_key_leaves_the_transaction_usable(queue, conn, storage):
    first = enqueue(queue, unique="active")
    with pytest.raises(DuplicateTaskError):
        enqueue(queue, unique="active", conn=conn)
    assert enqueue(queue, unique="active", on_conflict="skip", conn=conn).id == first.id
    replaced = enqueue(queue, payload={"n": 2}, unique="active", on_conflict="replace", conn=conn)
    assert (replaced.id, replaced.inserted) == (first.id, False)
    with pytest.raises(DuplicateTaskError):
        queue.add_tasks([Task("mail"), Task("mail", unique="active", unique_key="k")], conn=conn)
    assert enqueue(queue, debounce=30, max_wait=60, conn=conn).id == first.id
    queue.enqueue("mail", conn=conn)
    conn.commit()
    assert tasks(storage) == 2


def test_a_bulk_replacement_by_external_id_takes_new_keys_in_a_callers_transaction(queue, conn, storage):
    ids = [
        queue.enqueue("mail", external_id=f"order-{n}", unique="active", unique_key=f"old-{n}").id
        for n in (1, 2)
    ]
    tasks = [Task("mail", external_id=f"order-{n}", unique="active", unique_key=f"new-{n}") for n in (1, 2)]
    assert [task.id for task in queue.add_tasks(tasks, on_conflict="replace", conn=conn)] == ids
    conn.commit()
    assert [storage.get_task(task_id).unique_key for task_id in ids] == ["a:new-1", "a:new-2"]


def test_a_replacement_goes_with_the_callers_rollback(queue, conn):
    first = enqueue(queue, unique="active")
    enqueue(queue, payload={"n": 2}, unique="active", on_conflict="replace", conn=conn)
    conn.rollback()
    assert queue.get_task(first.id).payload == {"n": 1}


@on_servers
def test_replace_by_external_id_meets_a_key_that_is_newer_than_the_snapshot(queue, old_snapshot, backend):
    first = queue.enqueue("mail", {"n": 1}, external_id="order-7")
    run(old_snapshot, "ROLLBACK")
    run(old_snapshot, BEGIN[backend.name])
    run(old_snapshot, "SELECT count(*) FROM goque_task")
    enqueue(queue, unique="active")
    with pytest.raises(DuplicateTaskError, match="unique key 'k'"):
        enqueue(queue, external_id="order-7", unique="active", on_conflict="replace", conn=old_snapshot)
    queue.enqueue("mail", {"n": 3}, conn=old_snapshot)
    run(old_snapshot, "COMMIT")
    assert queue.get_task(first.id).unique_key is None


def test_with_tx_joins_too(queue, conn, storage):
    with goque.with_tx(conn):
        enqueue(queue, debounce=30)
        enqueue(queue, payload={"n": 2}, debounce=30)
    conn.rollback()
    assert tasks(storage) == 0


@on_servers
def test_a_snapshot_that_is_older_than_the_holder(queue, old_snapshot, storage):
    first = enqueue(queue, unique="active", external_id="order-7")
    with pytest.raises(DuplicateTaskError) as refusal:
        enqueue(queue, unique="active", conn=old_snapshot)
    assert refusal.value.existing_id == first.id
    there = enqueue(queue, unique="active", on_conflict="skip", conn=old_snapshot)
    assert (there.id, there.inserted) == (first.id, False)
    by_id = queue.enqueue("mail", external_id="order-7", on_conflict="skip", conn=old_snapshot)
    assert (by_id.id, by_id.inserted) == (first.id, False)
    inserted = queue.add_tasks(
        [Task("mail", unique="active", unique_key=key) for key in ("j", "k", "l")],
        on_conflict="skip",
        conn=old_snapshot,
    )
    assert [task.unique_key for task in inserted] == ["a:j", "a:l"]
    with pytest.raises(DuplicateTaskError) as refusal:
        queue.add_tasks([Task("mail"), Task("mail", unique="active", unique_key="k")], conn=old_snapshot)
    assert refusal.value.existing_id == first.id
    queue.enqueue("mail", conn=old_snapshot)
    run(old_snapshot, "COMMIT")
    assert tasks(storage) == 4


@on_servers
def test_a_replacement_in_an_old_snapshot_is_made_or_refused(queue, old_snapshot, backend):
    first = enqueue(queue, unique="waiting")
    if backend.name == "mysql":  # it writes to rows that the snapshot does not show
        there = enqueue(queue, payload={"n": 2}, unique="waiting", on_conflict="replace", conn=old_snapshot)
        assert there.id == first.id
    else:
        with pytest.raises(DuplicateTaskError) as refusal:
            enqueue(queue, payload={"n": 2}, unique="waiting", on_conflict="replace", conn=old_snapshot)
        assert refusal.value.existing_id == first.id
    run(old_snapshot, "COMMIT")
    assert queue.get_task(first.id).payload == ({"n": 2} if backend.name == "mysql" else {"n": 1})


@on_servers
@pytest.mark.parametrize("ends_with", ["commit", "rollback"])
def test_a_key_that_another_open_transaction_holds_is_waited_for(queue, backend, ends_with):
    with (
        contextlib.closing(backend.connect()) as conn,
        ThreadPoolExecutor(1) as thread,
        contextlib.closing(TaskQueueManager(backend.new_storage())) as other,
    ):
        first = enqueue(queue, unique="active", conn=conn)
        second = thread.submit(enqueue, other, unique="active", on_conflict="skip")
        backend.wait_until_somebody_waits()
        assert not second.done()
        getattr(conn, ends_with)()
        there = second.result()
    assert (there.id == first.id) == (ends_with == "commit")
    assert there.inserted == (ends_with == "rollback")


CLAIM_BEHIND = """
    UPDATE goque_task SET status = 'pending', claimed_by = 'node-1', claims = 1
    WHERE type = 'mail'"""


@on_servers
@pytest.mark.parametrize("unique", ["waiting", "active"])
def test_a_claim_comes_before_a_replacement(queue, backend, unique):
    first = enqueue(queue, unique=unique)
    with (
        contextlib.closing(backend.connect()) as claiming,
        ThreadPoolExecutor(1) as thread,
        contextlib.closing(TaskQueueManager(backend.new_storage())) as other,
    ):
        run(claiming, CLAIM_BEHIND)
        second = thread.submit(enqueue, other, payload={"n": 2}, unique=unique, on_conflict="replace")
        backend.wait_until_somebody_waits()
        claiming.commit()
        if unique == "waiting":
            assert second.result().inserted
        else:
            with pytest.raises(DuplicateTaskError) as refusal:
                second.result()
            assert refusal.value.existing_id == first.id
    assert queue.get_task(first.id).payload == {"n": 1}


@on_servers
def test_a_duplicate_in_an_open_transaction_holds_up_no_claim(queue, conn, storage):
    first = enqueue(queue, unique="waiting")
    assert enqueue(queue, unique="waiting", on_conflict="skip", conn=conn).id == first.id
    [row] = claim(storage)
    assert row.id == first.id
    conn.rollback()


@on_servers
def test_a_reset_waits_for_the_key_and_goes_on_without_it(queue, backend, storage):
    first = enqueue(queue, unique="active")
    assert queue.cancel_task(first.id)
    with (
        contextlib.closing(backend.connect()) as conn,
        ThreadPoolExecutor(1) as thread,
        contextlib.closing(TaskQueueManager(backend.new_storage())) as other,
    ):
        enqueue(queue, unique="active", conn=conn)
        reset = thread.submit(other.reset_attempts, first.id)
        backend.wait_until_somebody_waits()
        conn.commit()
        assert reset.result()
    row = row_of(storage, first)
    assert (row.status, row.unique_key) == (TaskStatus.NEW, None)


def test_a_reset_in_the_callers_transaction_leaves_it_usable(queue, conn, storage):
    first = enqueue(queue, unique="active")
    queue.cancel_task(first.id)
    enqueue(queue, unique="active")
    assert queue.reset_attempts(first.id, conn=conn)
    queue.enqueue("mail", conn=conn)
    conn.commit()
    assert row_of(storage, first).unique_key is None
    assert tasks(storage) == 3
