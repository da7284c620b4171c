"""Enqueueing inside the application's own transaction, through every driver and through SQLAlchemy."""

from __future__ import annotations

import contextlib
import sqlite3

import pytest
import sqlalchemy
from backends import add, run
from sqlalchemy.orm import Session

import goque
from goque.errors import ConfigurationError, DatabaseUnavailableError, DuplicateTaskError, SchemaError
from goque.queue.manager import TaskQueueManager
from goque.task import Task
from goque.task_filter import TaskFilter


@pytest.fixture
def conn(storage, backend):
    del storage
    backend.execute("CREATE TABLE orders (id INTEGER)")
    with contextlib.closing(backend.connect()) as connection:
        yield connection


@pytest.fixture
def queue(storage):
    return TaskQueueManager(storage)


def orders(backend):
    return backend.execute("SELECT count(*) FROM orders")[0][0]


def tasks(storage):
    return sum(count.count for count in storage.count_tasks())


def test_a_task_is_there_when_the_caller_commits(queue, conn, storage, backend):
    run(conn, "INSERT INTO orders VALUES (7)")
    task = queue.enqueue("mail", conn=conn)
    assert storage.get_task(task.id) is None
    assert queue.get_task(task.id, conn=conn).id == task.id
    conn.commit()
    assert storage.get_task(task.id) is not None
    assert orders(backend) == 1


def test_a_task_goes_when_the_caller_rolls_back(queue, conn, storage, backend):
    run(conn, "INSERT INTO orders VALUES (7)")
    task = queue.enqueue("mail", conn=conn)
    queue.add_tasks([Task("mail") for _ in range(3)], conn=conn)
    conn.rollback()
    assert storage.get_task(task.id) is None
    assert tasks(storage) == orders(backend) == 0


def test_a_first_statement_of_goques_begins_the_transaction_that_the_driver_would(queue, conn, storage):
    task = queue.enqueue("mail", conn=conn)
    queue.add_tasks([Task("mail") for _ in range(3)], conn=conn)
    conn.rollback()
    assert storage.get_task(task.id) is None
    assert tasks(storage) == 0


def test_a_connection_without_transactions_commits_at_once(queue, backend, storage):
    with contextlib.closing(backend.connect_autocommit()) as connection:
        task = queue.enqueue("mail", conn=connection)
        queue.add_tasks([Task("mail"), Task("mail")], conn=connection)
        with pytest.raises(DuplicateTaskError):
            queue.add_tasks([Task("mail"), Task("mail", external_id=task.external_id)], conn=connection)
    assert storage.get_task(task.id) is not None
    assert tasks(storage) == 3


def test_a_duplicate_leaves_the_transaction_usable(queue, conn, storage, backend):
    add(storage, external_id="taken")
    run(conn, "INSERT INTO orders VALUES (7)")
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
    assert tasks(storage) == 3
    assert orders(backend) == 1


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


def test_times_and_texts_are_read_through_the_callers_connection(queue, conn, storage):
    task = queue.enqueue("mail", {"é": "日本 🎉 %s"}, delay=60, metadata={"a": "ü"}, conn=conn)
    found = queue.get_task(task.id, conn=conn)
    assert (found.payload, found.metadata) == ({"é": "日本 🎉 %s"}, {"a": "ü"})
    assert found.next_attempt_at == task.next_attempt_at
    assert found.created_at == task.created_at
    conn.commit()
    assert queue.get_task(task.id).next_attempt_at == task.next_attempt_at


def test_the_callers_row_factory_is_left_as_it_was(queue, conn, backend):
    backend.rows_as_mappings(conn)
    task = queue.enqueue("mail", conn=conn)
    assert queue.get_task(task.id, conn=conn).type == "mail"
    cursor = conn.cursor()
    cursor.execute("SELECT type FROM goque_task")
    assert cursor.fetchone()["type"] == "mail"


def test_what_is_no_connection_is_refused(queue, backend):
    with pytest.raises(ConfigurationError, match=f"must be a {backend.driver} connection"):
        queue.enqueue("mail", conn=object())


def test_a_connection_that_is_closed_is_one_line(queue, storage, backend):
    del storage
    conn = backend.connect()
    conn.close()
    for call in (
        lambda: queue.enqueue("mail", conn=conn),
        lambda: queue.get_tasks(conn=conn),
        lambda: queue.add_tasks([Task("mail"), Task("mail")], conn=conn),
    ):
        with pytest.raises(DatabaseUnavailableError) as refusal:
            call()
        assert "clos" in str(refusal.value)
        assert "\n" not in str(refusal.value)


def test_an_engine_is_no_connection_and_can_give_one(queue, engine):
    with pytest.raises(ConfigurationError, match=r"give the Connection or Session .*engine\.connect\(\)"):
        queue.enqueue("mail", conn=engine)


def test_a_duplicate_tells_of_on_conflict(queue):
    first = queue.enqueue("mail", external_id="a")
    with pytest.raises(DuplicateTaskError) as refusal:
        queue.enqueue("mail", external_id="a")
    assert str(refusal.value) == (
        f"a task of type 'mail' with external id 'a' exists already, with the id {first.id} and the status new; "
        "use another external id, or on_conflict='skip'"
    )
    with pytest.raises(DuplicateTaskError, match="or on_conflict='skip'"):
        queue.add_tasks([Task("mail", external_id="a"), Task("mail", external_id="b")])


@pytest.fixture
def engine(storage, backend):
    del storage
    backend.execute("CREATE TABLE orders (id INTEGER)")
    made = sqlalchemy.create_engine(backend.sqlalchemy_url)
    yield made
    made.dispose()


@pytest.fixture(params=["driver", "connection", "session"])
def any_kind(request, conn, backend):
    """The driver's connection, and what SQLAlchemy wraps around one."""
    if request.param == "driver":
        yield conn
        return
    engine = sqlalchemy.create_engine(backend.sqlalchemy_url)
    with Session(engine) if request.param == "session" else engine.connect() as wrapped:
        yield wrapped
    engine.dispose()


def test_a_database_without_goques_tables_is_one_line(queue, any_kind, backend):
    for table in ("goque_attempt", "goque_task"):
        backend.execute(f"DROP TABLE {table}")
    task_id = Task("mail").id
    for call in (
        lambda: queue.enqueue("mail", conn=any_kind),
        lambda: queue.add_tasks([Task("mail"), Task("mail")], conn=any_kind),
        lambda: queue.get_task(task_id, conn=any_kind),
        lambda: queue.get_tasks(conn=any_kind),
        lambda: queue.cancel_task(task_id, conn=any_kind),
        lambda: queue.reset_attempts(task_id, conn=any_kind),
    ):
        with pytest.raises(SchemaError, match="lacks goque's tables") as refusal:
            call()
        assert "\n" not in str(refusal.value)
        any_kind.rollback()


def test_a_callers_transaction_is_told_of_missing_tables_at_once_and_makes_none(backend):
    backend.execute("CREATE TABLE orders (id INTEGER)")
    queue = TaskQueueManager(backend.new_storage())
    with contextlib.closing(backend.connect()) as connection:
        run(connection, "INSERT INTO orders VALUES (7)")
        with pytest.raises(SchemaError, match="goque migrate"):
            queue.enqueue("mail", conn=connection)
    assert backend.new_storage().schema_state() == "missing"


INSERT_ORDER = sqlalchemy.text("INSERT INTO orders VALUES (7)")


def test_sqlalchemys_connection_shares_its_transaction(queue, engine, storage, backend):
    with engine.connect() as connection:
        task = queue.enqueue("mail", conn=connection)  # before any statement of the application's
        connection.execute(INSERT_ORDER)
        queue.add_tasks([Task("mail"), Task("mail")], conn=connection)
        assert storage.get_task(task.id) is None
        connection.commit()
    assert tasks(storage) == 3
    with engine.connect() as connection, goque.with_tx(connection):
        connection.execute(INSERT_ORDER)
        queue.enqueue("mail")
        connection.rollback()
    assert tasks(storage) == 3
    assert orders(backend) == 1


def test_sqlalchemys_session_shares_its_transaction(queue, engine, storage, backend):
    add(storage, external_id="taken")
    with Session(engine) as session, goque.with_tx(session):
        session.execute(INSERT_ORDER)
        with pytest.raises(DuplicateTaskError):
            queue.enqueue("mail", external_id="taken")
        task = queue.enqueue("mail")
        session.commit()
    assert queue.get_task(task.id).id == task.id
    with Session(engine) as session:
        queue.enqueue("mail", conn=session)
        session.rollback()
    assert tasks(storage) == 2
    assert orders(backend) == 1


def test_sqlites_text_factory_is_left_as_it_was(sqlite):
    storage = sqlite.new_storage()
    storage.migrate()
    with contextlib.closing(sqlite.connect()) as connection:
        connection.text_factory = str
        task = storage.insert_tasks([Task("mail")], conn=connection)[0]
        assert storage.get_task(task.id, conn=connection).type == "mail"
        assert connection.text_factory is str
        assert connection.in_transaction


def test_a_connection_of_another_database_is_refused(postgresql):
    storage = postgresql.new_storage()
    storage.migrate()
    with (
        contextlib.closing(sqlite3.connect(":memory:")) as connection,
        pytest.raises(ConfigurationError, match=r"must be a psycopg connection.*it is a sqlite3.Connection"),
    ):
        storage.insert_tasks([Task("mail")], conn=connection)
