"""Files that are not there, not ours, locked, damaged, or swapped under us: one line each."""

from __future__ import annotations

import os
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from backends import SqliteBackend, add, claim, row_of

from goque.errors import DatabaseUnavailableError
from goque.queue.manager import TaskQueueManager
from goque.storage.contract import ANY_PRIORITY, Claim
from goque.storage.sql.session import DatabaseLockedError
from goque.task import Task
from goque.task_row import TaskStatus
from goque_supervisor.fetcher.database import TaskDatabase
from goque_supervisor.fetcher.pool_counters import PoolCounters
from goque_supervisor.fetcher.pool_types import PoolTypes


@pytest.fixture
def backend(tmp_path):
    made = SqliteBackend(tmp_path)
    yield made
    made.close()


def assert_one_line(error, *words):
    text = str(error.value)
    assert "\n" not in text
    assert all(word in text for word in words), text
    assert error.value.exit_code == 3


@pytest.mark.parametrize("content", [b"hello, this is no database at all" * 100, os.urandom(8192)])
def test_another_kind_of_file_is_refused_and_left_alone(backend, content):
    backend.path.write_bytes(content)
    with pytest.raises(DatabaseUnavailableError) as error:
        TaskQueueManager(backend.url).enqueue("mail")
    assert_one_line(error, "is not a SQLite database", str(backend.path))
    assert backend.path.read_bytes() == content


def test_a_missing_directory_is_named(backend):
    with pytest.raises(DatabaseUnavailableError) as error:
        TaskQueueManager(f"sqlite:///{backend.path.parent}/missing/tasks.db").enqueue("mail")
    assert_one_line(error, "cannot be opened", "missing/tasks.db")


def test_a_directory_is_no_database(backend):
    with pytest.raises(DatabaseUnavailableError) as error:
        TaskQueueManager(f"sqlite:///{backend.path.parent}").enqueue("mail")
    assert_one_line(error, "is a directory")


def test_a_damaged_file_is_named(backend):
    storage = backend.new_storage()
    storage.require_schema()
    storage.insert_tasks([Task("mail", {"n": "x" * 500}) for _ in range(2000)])
    storage.close()
    with backend.path.open("r+b") as file:
        file.seek(8192)
        file.write(os.urandom(backend.path.stat().st_size - 8192))
    with pytest.raises(DatabaseUnavailableError) as error:
        storage.count_tasks()
    assert_one_line(error, "is damaged")


@pytest.mark.parametrize("swap", ["delete", "replace"])
def test_a_file_that_is_gone_is_not_written_to_in_silence(backend, swap):
    storage = backend.new_storage()
    storage.require_schema()
    add(storage)
    if swap == "replace":
        Path(shutil.copy(backend.path, f"{backend.path}.copy")).replace(backend.path)
    else:
        backend.path.unlink()
    for call in (lambda: add(storage), lambda: claim(storage), storage.ping, storage.count_tasks):
        with pytest.raises(DatabaseUnavailableError) as error:
            call()
        assert_one_line(error, "was deleted or replaced")
    assert backend.path.exists() == (swap == "replace")


def test_after_a_close_the_file_that_is_there_is_opened(backend):
    storage = backend.new_storage()
    storage.require_schema()
    storage.close()
    for suffix in ("", "-wal", "-shm"):
        backend.path.with_name(backend.path.name + suffix).unlink(missing_ok=True)
    storage.require_schema()
    add(storage)
    assert len(claim(storage)) == 1


@pytest.fixture
def locked(backend):
    """A database that another writer holds; our own patience is cut short."""
    storage = backend.new_storage(patience=0.1, lock_slice=0.02)
    storage.require_schema()
    task = add(storage)
    blocker = backend.connect()
    blocker.execute("BEGIN IMMEDIATE")
    yield storage, task, blocker
    blocker.close()


def test_a_locked_database_is_said_so_after_the_wait(locked):
    storage, task, _ = locked
    calls = [
        lambda: add(storage),
        lambda: storage.insert_tasks([Task("mail"), Task("mail")]),
        lambda: storage.cancel_unless_finished(task.id),
        lambda: claim(storage),
    ]
    for call in calls:
        with pytest.raises(DatabaseLockedError) as error:
            call()
        assert_one_line(error, "is locked by another writer; try again")


def test_a_claim_waits_for_another_writer_no_longer_than_it_was_told(backend):
    storage = backend.new_storage(lock_slice=60)
    storage.require_schema()
    add(storage)
    with closing(backend.connect()) as blocker, ThreadPoolExecutor(1) as thread:
        blocker.execute("BEGIN IMMEDIATE")
        claiming = thread.submit(storage.claim_due, "mail", "node-1", 1, timeout=0.05)
        try:
            with pytest.raises(DatabaseLockedError):
                claiming.result(15)
        finally:
            blocker.rollback()
    assert len(claim(storage)) == 1
    with storage._connections as session:
        assert session.rows("PRAGMA busy_timeout") == [(60_000,)]


def test_a_fetcher_waits_for_another_writer_no_longer_than_its_fetch_timeout(backend, tmp_path):
    storage = backend.new_storage(lock_slice=60)
    storage.require_schema()
    add(storage)
    types = PoolTypes([{"type": "mail"}])
    counters = PoolCounters({"mail": str(tmp_path / "counters")}, types)
    reports: list[object] = []
    database = TaskDatabase(storage, types, 0.05, counters, reports.append)
    with closing(backend.connect()) as blocker, ThreadPoolExecutor(1) as thread:
        blocker.execute("BEGIN IMMEDIATE")
        claiming = thread.submit(database.claim, [Claim("mail", ANY_PRIORITY, 1)], "node-1")
        try:
            assert claiming.result(15) is None
            assert "is locked by another writer" in str(reports)
        finally:
            blocker.rollback()


def test_readers_go_on_while_a_writer_holds_the_database(locked):
    storage, task, _ = locked
    assert row_of(storage, task).status == "new"
    assert storage.seconds_until_due("mail") == 0


def test_an_application_waits_out_several_slices(locked, backend):
    _, _, blocker = locked
    storage = backend.new_storage(patience=30, lock_slice=0.02)
    added = threading.Thread(target=add, args=(storage,))
    added.start()
    added.join(0.2)  # ten slices of waiting
    assert added.is_alive()
    blocker.rollback()
    added.join(30)
    assert [count.count for count in storage.count_tasks()] == [2]


def test_nothing_due_and_nothing_to_delete_take_no_write_lock(locked):
    storage, _, blocker = locked
    blocker.execute("UPDATE goque_task SET next_attempt_at = '2099-01-01T00:00:00.000000Z'")
    blocker.commit()
    blocker.execute("BEGIN IMMEDIATE")
    assert claim(storage) == []
    assert storage.delete_finished("mail", [TaskStatus.DONE], 3600) == 0


def test_the_text_of_instants_has_six_digits_and_a_z(backend):
    storage = backend.new_storage()
    storage.require_schema()
    add(storage)
    [times] = backend.execute("SELECT created_at, next_attempt_at FROM goque_task")
    assert times == ("2026-11-23T21:02:33.123456Z", "2026-11-23T21:02:33.123456Z")


def test_the_log_is_written_ahead_and_synced_in_full(backend):
    storage = backend.new_storage()
    storage.require_schema()
    with storage._connections as session:
        assert session.rows("PRAGMA journal_mode") == [(b"wal",)]
        assert session.rows("PRAGMA synchronous") == [(2,)]
