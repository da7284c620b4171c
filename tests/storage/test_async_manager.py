"""The asyncio manager on goque's own connections and on synchronous ones: threads, and a loop that never waits."""

from __future__ import annotations

import asyncio
import contextlib
import os
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy
from backends import SERVERS, add, run

import goque
from goque.errors import ConfigurationError, DuplicateTaskError, SchemaError, TaskNotFoundError
from goque.task import Task
from goque.task_filter import TaskFilter
from goque.task_row import TaskStatus


@pytest.fixture
def queue(storage):
    return goque.AsyncTaskQueueManager(storage)


def test_each_call_does_what_its_synchronous_twin_does(queue, storage):
    async def scenario():
        task = await queue.enqueue(
            "mail", {"to": "a@b.c"}, external_id="order-7", priority=5, metadata={"a": 1}
        )
        found = await queue.get_task(task.id)
        assert (found.payload, found.external_id, found.priority) == ({"to": "a@b.c"}, "order-7", 5)
        assert (await queue.get_task(task.id)).status == "new"
        with pytest.raises(DuplicateTaskError):
            await queue.add_task(Task("mail", external_id="order-7"))
        assert len(await queue.add_tasks([Task("mail"), Task("mail")])) == 2
        assert await queue.cancel_task(task.id)
        assert await queue.reset_attempts(task.id)
        assert len(await queue.get_tasks(TaskFilter(status=TaskStatus.NEW), limit=2)) == 2
        with pytest.raises(TaskNotFoundError):
            await queue.get_task("unknown")
        with pytest.raises(ConfigurationError, match="limit"):
            await queue.get_tasks(limit=0)

    asyncio.run(scenario())
    assert sum(count.count for count in storage.count_tasks()) == 3


def test_it_opens_its_database_and_closes_it(backend, storage):
    async def scenario():
        async with goque.AsyncTaskQueueManager(backend.url) as queue:
            task = await queue.enqueue("mail")
        return queue, task

    queue, task = asyncio.run(scenario())
    assert queue._storage._connections._session is None
    assert storage.get_task(task.id) is not None
    assert repr(queue).startswith("<AsyncTaskQueueManager ")


def test_the_loop_goes_on_while_the_database_makes_it_wait(queue, storage, backend):
    add(storage)  # the schema and the connection are there

    async def scenario():
        with contextlib.closing(backend.connect()) as holder:
            storage.insert_tasks([Task("mail", external_id="order-7")], conn=holder)
            waiting = asyncio.create_task(queue.enqueue("mail", external_id="order-7"))
            for _ in range(100):
                await asyncio.sleep(0)
            assert not waiting.done()  # another writer holds the place, and this line is reached
            holder.rollback()
            return await waiting

    assert asyncio.run(scenario()).external_id == "order-7"


def test_values_of_the_context_travel(queue):
    async def enqueue(user):
        with goque.with_value("user", user):
            await asyncio.sleep(0)
            return await queue.enqueue("mail")

    async def scenario():
        made = await asyncio.gather(*(enqueue(number) for number in range(8)))
        return [(await queue.get_task(task.id)).metadata for task in made]

    assert asyncio.run(scenario()) == [{"user": number} for number in range(8)]


@pytest.fixture
def engine(storage, backend):
    del storage
    backend.execute("CREATE TABLE orders (id INTEGER)")
    made = sqlalchemy.create_engine(backend.sqlalchemy_url)
    yield made
    made.dispose()


def test_a_synchronous_connection_is_used_in_a_thread(queue, engine, storage):
    async def scenario():
        with engine.connect() as conn:
            with goque.with_tx(conn):
                await queue.enqueue("mail")
                await queue.add_tasks([Task("mail"), Task("mail")])
            assert storage.count_tasks() == []
            conn.commit()

    asyncio.run(scenario())
    assert sum(count.count for count in storage.count_tasks()) == 3


def test_a_canceled_call_leaves_the_callers_connection_only_when_it_is_done_with_it(postgresql):
    storage = postgresql.new_storage()
    storage.migrate()
    queue = goque.AsyncTaskQueueManager(storage)
    held = add(storage)

    async def scenario():
        with (
            contextlib.closing(postgresql.connect()) as conn,
            contextlib.closing(postgresql.connect()) as holder,
        ):
            run(holder, f"SELECT 1 FROM goque_task WHERE id = '{held.id}' FOR UPDATE")
            waiting = asyncio.create_task(queue.cancel_task(held.id, conn=conn))
            await asyncio.to_thread(postgresql.wait_until_somebody_waits)
            waiting.cancel()
            waiting.cancel()
            await asyncio.wait([waiting], timeout=0.05)
            assert not waiting.done()
            holder.rollback()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            conn.rollback()

    asyncio.run(scenario())
    assert storage.get_task(held.id).status == "new"


def test_a_sqlite3_connection_that_keeps_to_its_thread_is_refused(sqlite):
    storage = sqlite.new_storage()
    storage.migrate()
    queue = goque.AsyncTaskQueueManager(storage)

    async def scenario():
        with contextlib.closing(sqlite.connect()) as conn:
            for call in (queue.enqueue("mail", conn=conn), queue.get_tasks(conn=conn)):
                with pytest.raises(ConfigurationError, match="check_same_thread=False, or through aiosqlite"):
                    await call

    asyncio.run(scenario())


def test_what_is_no_connection_is_refused(queue, backend):
    with pytest.raises(ConfigurationError, match=f"must be a {backend.driver} connection"):
        asyncio.run(queue.enqueue("mail", conn=object()))


@pytest.mark.parametrize("backend", SERVERS, indirect=True)
def test_a_missing_schema_is_one_line(backend):
    async def scenario():
        async with goque.AsyncTaskQueueManager(backend.url) as queue:
            with pytest.raises(SchemaError, match="goque migrate"):
                await queue.enqueue("mail")

    asyncio.run(scenario())


def test_a_forked_child_has_threads_of_its_own(queue, storage):
    asyncio.run(queue.enqueue("mail", external_id="parent"))
    child = os.fork()
    if child == 0:
        try:
            asyncio.run(queue.enqueue("mail", external_id="child"))
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    asyncio.run(queue.enqueue("mail", external_id="parent again"))
    rows = storage.find_tasks(TaskFilter(), limit=10)
    assert {row.external_id for row in rows} == {"parent", "child", "parent again"}


def test_several_loops_share_a_manager(queue, storage):
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: asyncio.run(queue.enqueue("mail")), range(4)))
    assert sum(count.count for count in storage.count_tasks()) == 4
