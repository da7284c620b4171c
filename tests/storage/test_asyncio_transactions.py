"""Enqueueing inside the application's own transaction on an asyncio connection, of each driver and of SQLAlchemy."""

from __future__ import annotations

import asyncio
import contextlib

import psycopg
import pytest
import sqlalchemy
from backends import add, row_of
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

import goque
from goque.errors import ConfigurationError, DuplicateTaskError, SchemaError, TaskNotFoundError
from goque.task import Task
from goque.task_filter import TaskFilter


class Opened:
    """An asyncio connection, or what SQLAlchemy wraps around one."""

    def __init__(self, conn, execute):
        self.conn = conn
        self.execute = execute
        self.commit = conn.commit
        self.rollback = conn.rollback


@contextlib.asynccontextmanager
async def of_the_driver(backend, *, autocommit=False):
    conn = await backend.connect_asyncio(autocommit=autocommit)

    async def execute(sql):
        cursor = conn.cursor()
        cursor = await cursor if hasattr(cursor, "__await__") else cursor
        await cursor.execute(sql)

    try:
        yield Opened(conn, execute)
    finally:
        closing = conn.close()
        if closing is not None:
            await closing


@contextlib.asynccontextmanager
async def sqlalchemy_engine(backend):
    engine = create_async_engine(backend.sqlalchemy_asyncio_url)
    try:
        yield engine
    finally:
        await engine.dispose()


@contextlib.asynccontextmanager
async def of_sqlalchemy(backend):
    async with sqlalchemy_engine(backend) as engine, engine.connect() as conn:
        yield Opened(conn, lambda sql: conn.execute(sqlalchemy.text(sql)))


@contextlib.asynccontextmanager
async def session_of_sqlalchemy(backend):
    async with sqlalchemy_engine(backend) as engine, AsyncSession(engine) as session:
        yield Opened(session, lambda sql: session.execute(sqlalchemy.text(sql)))


@pytest.fixture(params=[of_the_driver, of_sqlalchemy, session_of_sqlalchemy])
def opened(request, storage, backend):
    """Make a connection within a scenario: `async with opened() as own`."""
    del storage
    backend.execute("CREATE TABLE orders (id INTEGER)")
    return lambda: request.param(backend)


@pytest.fixture
def queue(storage):
    return goque.AsyncTaskQueueManager(storage)


def orders(backend):
    return backend.execute("SELECT count(*) FROM orders")[0][0]


def tasks(storage):
    return sum(count.count for count in storage.count_tasks())


def test_a_task_is_there_when_the_caller_commits(opened, queue, storage, backend):
    async def scenario():
        async with opened() as own:
            await own.execute("INSERT INTO orders VALUES (7)")
            task = await queue.enqueue("mail", conn=own.conn)
            assert storage.get_task(task.id) is None
            assert (await queue.get_task(task.id, conn=own.conn)).id == task.id
            await own.commit()
            assert (await queue.get_task(task.id)).created_at == task.created_at

    asyncio.run(scenario())
    assert (tasks(storage), orders(backend)) == (1, 1)


def test_a_task_goes_when_the_caller_rolls_back(opened, queue, storage, backend):
    async def scenario():
        async with opened() as own:
            await queue.enqueue("mail", conn=own.conn)  # before any statement of the application's
            await own.execute("INSERT INTO orders VALUES (7)")
            await queue.add_tasks([Task("mail") for _ in range(3)], conn=own.conn)
            await own.rollback()

    asyncio.run(scenario())
    assert (tasks(storage), orders(backend)) == (0, 0)


def test_a_duplicate_leaves_the_transaction_usable(opened, queue, storage, backend):
    add(storage, external_id="taken")

    async def scenario():
        async with opened() as own:
            await own.execute("INSERT INTO orders VALUES (7)")
            with pytest.raises(DuplicateTaskError):
                await queue.enqueue("mail", external_id="taken", conn=own.conn)
            with pytest.raises(DuplicateTaskError):
                await queue.add_tasks(
                    [Task("mail"), Task("mail", external_id="taken"), Task("mail")], conn=own.conn
                )
            await queue.enqueue("mail", external_id="free", conn=own.conn)
            skipped = await queue.add_tasks(
                [Task("mail", external_id="taken"), Task("mail")], on_conflict="skip", conn=own.conn
            )
            await own.commit()
            assert len(skipped) == 1

    asyncio.run(scenario())
    assert (tasks(storage), orders(backend)) == (3, 1)


def test_cancel_reset_and_search_see_the_transaction(opened, queue, storage):
    async def scenario():
        async with opened() as own:
            with goque.with_tx(own.conn):
                task = await queue.enqueue("mail", {"é": "日本 🎉 %s"}, delay=60, metadata={"a": "ü"})
                assert await queue.cancel_task(task.id)
                assert not await queue.cancel_task(task.id)
                assert await queue.reset_attempts(task.id)
                [found] = await queue.get_tasks(TaskFilter(ids=[task.id], updated_at_time_ago=0))
                assert (found.payload, found.metadata) == ({"é": "日本 🎉 %s"}, {"a": "ü"})
                assert found.created_at == task.created_at
                with goque.without_tx():
                    assert await queue.get_tasks() == []
            await own.rollback()

    asyncio.run(scenario())
    assert tasks(storage) == 0


def test_each_asyncio_task_has_its_own_transaction(opened, queue, storage):
    async def enqueue(number, barrier):
        async with opened() as own:
            with goque.with_tx(own.conn), goque.with_value("number", number):
                await barrier.wait()
                await queue.enqueue("mail", {"n": number}, external_id=f"order-{number}")
            await (own.commit() if number % 2 else own.rollback())

    async def scenario():
        barrier = asyncio.Barrier(2)
        await asyncio.gather(*(enqueue(number, barrier) for number in range(2)))

    asyncio.run(scenario())
    [row] = storage.find_tasks(TaskFilter(), limit=10)
    assert (row.external_id, Task.from_row(row).metadata) == ("order-1", {"number": 1})


def test_a_connection_without_transactions_commits_at_once(queue, storage, backend):
    async def scenario():
        async with of_the_driver(backend, autocommit=True) as own:
            task = await queue.enqueue("mail", conn=own.conn)
            await queue.add_tasks([Task("mail"), Task("mail")], conn=own.conn)
            with pytest.raises(DuplicateTaskError):
                await queue.add_tasks(
                    [Task("mail"), Task("mail", external_id=task.external_id)], conn=own.conn
                )

    asyncio.run(scenario())
    assert tasks(storage) == 3


def test_a_database_without_goques_tables_is_one_line(opened, queue, storage, backend):
    for table in ("goque_attempt", "goque_task"):
        backend.execute(f"DROP TABLE {table}")
    task_id = Task("mail").id

    async def scenario():
        async with opened() as own:
            for call in (
                queue.enqueue("mail", conn=own.conn),
                queue.add_tasks([Task("mail"), Task("mail")], conn=own.conn),
                queue.get_task(task_id, conn=own.conn),
                queue.get_tasks(conn=own.conn),
                queue.cancel_task(task_id, conn=own.conn),
                queue.reset_attempts(task_id, conn=own.conn),
            ):
                with pytest.raises(SchemaError, match="lacks goque's tables") as refusal:
                    await call
                assert "\n" not in str(refusal.value)
                await own.rollback()

    asyncio.run(scenario())


def test_a_synchronous_manager_says_which_one_takes_asyncio_connections(opened, storage):
    async def scenario():
        async with opened() as own:
            with pytest.raises(ConfigurationError, match=r"enqueue with goque\.AsyncTaskQueueManager"):
                goque.TaskQueueManager(storage).enqueue("mail", conn=own.conn)
            with goque.with_tx(own.conn), pytest.raises(ConfigurationError, match="an asyncio connection"):
                goque.TaskQueueManager(storage).add_tasks([Task("mail"), Task("mail")])

    asyncio.run(scenario())
    assert tasks(storage) == 0


def test_an_asyncio_connection_of_another_database_is_refused(queue, backend, postgresql, sqlite):
    other = sqlite if backend.name == "postgresql" else postgresql

    async def scenario():
        async with of_the_driver(other) as own:
            with pytest.raises(ConfigurationError, match=f"must be a {backend.asyncio_driver} connection"):
                await queue.enqueue("mail", conn=own.conn)

    asyncio.run(scenario())


def test_a_canceled_enqueue_leaves_psycopgs_connection_to_the_caller(postgresql):
    storage = postgresql.new_storage()
    storage.migrate()
    queue = goque.AsyncTaskQueueManager(storage)
    held = add(storage, external_id="held")

    async def scenario():
        async with of_the_driver(postgresql) as own:
            with psycopg.connect(postgresql.url) as holder:
                holder.execute("SELECT 1 FROM goque_task WHERE id = %s FOR UPDATE", (held.id,))
                waiting = asyncio.create_task(queue.cancel_task(held.id, conn=own.conn))
                await asyncio.to_thread(postgresql.wait_until_somebody_waits)
                waiting.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await waiting
            await own.rollback()
            await queue.enqueue("mail", conn=own.conn)
            await own.commit()

    asyncio.run(scenario())
    assert tasks(storage) == 2


def test_unique_keys_in_a_callers_asyncio_transaction(backend, storage):
    queue = goque.AsyncTaskQueueManager(storage)

    async def scenario():
        async with of_the_driver(backend) as own:
            first = await queue.enqueue("mail", unique="active", unique_key="k", conn=own.conn)
            with pytest.raises(DuplicateTaskError) as refusal:
                await queue.enqueue("mail", unique="active", unique_key="k", conn=own.conn)
            assert refusal.value.existing_id == first.id
            there = await queue.enqueue(
                "mail", {"n": 2}, unique="active", unique_key="k", on_conflict="replace", conn=own.conn
            )
            assert (there.id, there.inserted) == (first.id, False)
            waiting = [
                await queue.enqueue("mail", debounce=30, unique_key="d", conn=own.conn) for _ in range(2)
            ]
            assert len({task.id for task in waiting}) == 1
            inserted = await queue.add_tasks(
                [Task("mail", unique="active", unique_key=key) for key in ("j", "k")],
                on_conflict="skip",
                conn=own.conn,
            )
            assert [task.unique_key for task in inserted] == ["a:j"]
            await own.commit()
            return first

    first = asyncio.run(scenario())
    assert tasks(storage) == 3
    assert row_of(storage, first).payload.replace(b" ", b"") == b'{"n":2}'


def test_an_asyncio_snapshot_that_is_older_than_the_holder(postgresql):
    storage = postgresql.new_storage()
    storage.migrate()
    queue = goque.AsyncTaskQueueManager(storage)

    async def scenario():
        async with of_the_driver(postgresql, autocommit=True) as own:
            await own.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
            await own.execute("SELECT count(*) FROM goque_task")
            first = await queue.enqueue("mail", unique="active", unique_key="k")
            there = await queue.enqueue(
                "mail", unique="active", unique_key="k", on_conflict="skip", conn=own.conn
            )
            assert (there.id, there.inserted) == (first.id, False)
            await queue.enqueue("mail", conn=own.conn)
            await own.execute("COMMIT")

    asyncio.run(scenario())
    assert tasks(storage) == 2


def test_a_flow_is_there_or_not_with_the_callers_asyncio_transaction(opened, queue, storage, backend):
    needed = add(storage)
    other = goque.Flow("taken")
    other.add("mail", external_id=needed.external_id)
    kept, dropped = goque.Flow("kept"), goque.Flow("dropped")
    for flow in (kept, dropped):
        flow.add("mail", needs=[flow.add("mail"), needed.id])

    async def scenario():
        async with opened() as own:
            await queue.enqueue_flow(dropped, conn=own.conn)
            assert (await queue.get_flow(dropped.id, conn=own.conn)).status == "open"
            await own.rollback()
        async with opened() as own:
            with pytest.raises(DuplicateTaskError):
                await queue.enqueue_flow(other, conn=own.conn)
            await queue.enqueue_flow(kept, conn=own.conn)
            await own.commit()
        with pytest.raises(TaskNotFoundError):
            await queue.get_flow(dropped.id)
        with pytest.raises(goque.WaitTimeoutError):
            await queue.wait_flow(kept.id, timeout=0)
        async with opened() as own:
            assert await queue.cancel_flow(kept.id, conn=own.conn) == 2
            await own.commit()
        return await queue.wait_flow(kept.id, timeout=10)

    state = asyncio.run(scenario())
    assert (state.name, state.status, len(state.tasks)) == ("kept", "failed", 2)
