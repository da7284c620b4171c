"""Enqueueing inside the application's own transaction."""

from __future__ import annotations

import contextlib
import sqlite3

import pytest
from backends import add

import goque
from goque.errors import ConfigurationError, DuplicateTaskError, SchemaError
from goque.manager import TaskQueueManager
from goque.task import Task, TaskFilter


@pytest.fixture
def conn(storage, backend):
    del storage
    with contextlib.closing(backend.connect()) as connection:
        connection.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY)")
        connection.commit()
        yield connection


@pytest.fixture
def queue(storage):
    return TaskQueueManager(storage)


def test_a_task_is_there_when_the_caller_commits(queue, conn, storage):
    conn.execute("INSERT INTO orders DEFAULT VALUES")
    task = queue.enqueue("mail", conn=conn)
    assert storage.get_task(task.id) is None
    assert queue.get_task(task.id, conn=conn).id == task.id
    conn.commit()
    assert storage.get_task(task.id) is not None


def test_a_task_goes_when_the_caller_rolls_back(queue, conn, storage, backend):
    conn.execute("INSERT INTO orders DEFAULT VALUES")
    task = queue.enqueue("mail", conn=conn)
    queue.add_tasks([Task("mail") for _ in range(3)], conn=conn)
    conn.rollback()
    assert storage.get_task(task.id) is None
    assert storage.count_tasks() == []
    assert backend.execute("SELECT count(*) FROM orders") == [(0,)]


def test_a_first_statement_of_goques_begins_the_transaction_that_python_would(queue, conn, storage):
    task = queue.enqueue("mail", conn=conn)
    assert conn.in_transaction
    queue.add_tasks([Task("mail") for _ in range(3)], conn=conn)
    conn.rollback()
    assert storage.get_task(task.id) is None
    assert storage.count_tasks() == []


def test_a_connection_without_transactions_commits_at_once(queue, backend, storage):
    with contextlib.closing(sqlite3.connect(backend.path, isolation_level=None)) as connection:
        task = queue.enqueue("mail", conn=connection)
        queue.add_tasks([Task("mail"), Task("mail")], conn=connection)
        assert not connection.in_transaction
    assert storage.get_task(task.id) is not None
    assert sum(count.count for count in storage.count_tasks()) == 3


def test_a_duplicate_leaves_the_transaction_usable(queue, conn, storage, backend):
    add(storage, external_id="taken")
    conn.execute("INSERT INTO orders DEFAULT VALUES")
    with pytest.raises(DuplicateTaskError):
        queue.enqueue("mail", external_id="taken", conn=conn)
    with pytest.raises(DuplicateTaskError):
        queue.add_tasks([Task("mail"), Task("mail", external_id="taken"), Task("mail")], conn=conn)
    kept = queue.enqueue("mail", external_id="free", conn=conn)
    skipped = queue.add_tasks(
        [Task("mail", external_id="taken"), Task("mail")], on_conflict="skip", conn=conn
    )
    conn.commit()
    assert len(skipped) == 1
    assert storage.get_task(kept.id) is not None
    assert sum(count.count for count in storage.count_tasks()) == 3
    assert backend.execute("SELECT count(*) FROM orders") == [(1,)]


def test_cancel_reset_and_search_see_the_transaction(queue, conn, storage):
    with goque.with_tx(conn):
        task = queue.enqueue("mail")
        assert queue.cancel_task(task.id)
        assert queue.reset_attempts(task.id)
        assert [found.id for found in queue.get_tasks(TaskFilter(task_type="mail"))] == [task.id]
        with goque.without_tx():
            assert queue.get_tasks() == []
    conn.rollback()
    assert storage.get_task(task.id) is None


def test_the_callers_settings_are_left_as_they_were(queue, conn):
    conn.row_factory = sqlite3.Row
    conn.text_factory = str
    task = queue.enqueue("mail", conn=conn)
    assert queue.get_task(task.id, conn=conn).type == "mail"
    assert conn.text_factory is str
    assert conn.execute("SELECT type FROM goque_task").fetchone()["type"] == "mail"


def test_a_database_without_goques_tables_is_one_line(queue, tmp_path):
    with (
        contextlib.closing(sqlite3.connect(tmp_path / "elsewhere.db")) as connection,
        pytest.raises(SchemaError, match="lacks goque's tables") as refusal,
    ):
        queue.enqueue("mail", conn=connection)
    assert "\n" not in str(refusal.value)


def test_what_is_no_connection_is_refused(queue):
    with pytest.raises(ConfigurationError, match="sqlite3 connection"):
        queue.enqueue("mail", conn=object())


class PooledConnection:
    def __init__(self, connection):
        self.driver_connection = connection


class AlchemyConnection:
    """Shaped like SQLAlchemy's Connection, as far as unwrapping looks."""

    def __init__(self, connection):
        self.connection = PooledConnection(connection)
        self.begun = 0

    def in_transaction(self):
        return self.begun > 0

    def begin(self):
        self.begun += 1

    def exec_driver_sql(self, sql):
        raise AssertionError(sql)


class AlchemySession:
    """Shaped like SQLAlchemy's Session."""

    def __init__(self, connection):
        self._connection = connection

    def connection(self):
        return self._connection

    def get_bind(self):
        raise AssertionError


class DjangoConnection:
    """Shaped like django.db.connection."""

    def __init__(self, connection):
        self._later = connection
        self.connection = None

    def ensure_connection(self):
        self.connection = self._later


def test_wrapped_connections_are_unwrapped(queue, conn, storage):
    alchemy = AlchemyConnection(conn)
    tasks = [
        queue.enqueue("mail", conn=alchemy),
        queue.enqueue("mail", conn=AlchemySession(alchemy)),
        queue.enqueue("mail", conn=DjangoConnection(conn)),
    ]
    assert alchemy.begun == 1
    conn.commit()
    assert all(storage.get_task(task.id) for task in tasks)
