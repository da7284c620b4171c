"""Handlers that record a step in a transaction of their own are killed at each point, on every backend."""

from __future__ import annotations

import contextlib

import pytest
from backends import run

import goque
from goque import ConfigurationError, Task
from goque.testing import goque_kill_at_every_step


@pytest.fixture
def queue(storage, backend):
    backend.execute("CREATE TABLE charges (amount INTEGER)")
    return goque.TaskQueueManager(storage)


@pytest.fixture
def kill(queue, backend):
    def kill(handler, payload=None, **options):
        return goque_kill_at_every_step(
            handler,
            payload,
            state=lambda: backend.execute("SELECT count(*) FROM charges")[0][0],
            reset=lambda: backend.execute("DELETE FROM charges"),
            queue=queue,
            **options,
        )

    return kill


POINTS = [
    "before step 'price'",
    "after step 'price', before it was recorded",
    "after step 'price' was recorded",
    "before step 'charge'",
    "in the transaction of step 'charge', before it was recorded there",
    "in the transaction of step 'charge', after it was recorded there",
    "before step 'receipt'",
    "after step 'receipt', before it was recorded",
    "after step 'receipt' was recorded",
    "after the handler had ended, before its end was recorded",
]


def test_a_step_in_the_transaction_of_its_rows_leaves_them_once(kill, backend, storage):
    def handler(task):
        price = task.step("price", lambda: 7)
        with contextlib.closing(backend.connect()) as connection:
            task.step(
                "charge", run, connection, f"INSERT INTO charges VALUES ({price})", conn=connection, type=None
            )
            connection.commit()
        task.step("receipt", lambda: "sent")

    assert kill(handler) == POINTS
    assert storage.count_tasks() == []
    assert storage.nodes() == []


def test_a_commit_of_its_own_before_the_record_is_found(kill, backend):
    def charge(connection):
        run(connection, "INSERT INTO charges VALUES (7)")
        connection.commit()

    def handler(task):
        with contextlib.closing(backend.connect()) as connection:
            task.step("charge", charge, connection, conn=connection)
            connection.commit()

    wanted = r"killed in the transaction of step 'charge', before it was recorded there(?s:.*): 1\nafter the kill: 2"
    with pytest.raises(AssertionError, match=wanted):
        kill(handler)


def test_a_transaction_that_is_taken_back_takes_the_record_along(kill, backend):
    def handler(task):
        with contextlib.closing(backend.connect()) as connection:
            task.step("charge", lambda: 1, conn=connection)
            connection.rollback()
        return 1

    assert len(kill(handler)) == 4


async def charge_awaited(backend, step):
    conn = await backend.connect_asyncio()
    try:
        await step(conn)
        await conn.commit()
    finally:
        closing = conn.close()
        if closing is not None:
            await closing


async def insert_awaited(conn):
    cursor = conn.cursor()
    cursor = await cursor if hasattr(cursor, "__await__") else cursor
    await cursor.execute("INSERT INTO charges VALUES (7)")


def test_an_asyncio_transaction_is_killed_too(kill, backend):
    async def handler(task):
        await charge_awaited(backend, lambda conn: task.astep("charge", insert_awaited, conn, conn=conn))

    assert kill(handler) == [
        "before step 'charge'",
        "in the transaction of step 'charge', before it was recorded there",
        "in the transaction of step 'charge', after it was recorded there",
        "after the handler had ended, before its end was recorded",
    ]


def test_an_asyncio_transaction_is_drained(queue, backend):
    registry = goque.Registry(strict=False)

    @registry.processor("charge")
    async def charge(task):
        await charge_awaited(backend, lambda conn: task.astep("charge", insert_awaited, conn, conn=conn))

    queue.enqueue("charge")
    (run,) = queue.drain_inline(registry)
    assert run.raise_for_error().steps == {"charge": None}
    assert backend.execute("SELECT count(*) FROM charges")[0][0] == 1


def test_without_a_state_the_steps_in_the_table_are_compared(queue):
    def handler(task):
        task.step("first", lambda: 1)
        return task.attempts

    with pytest.raises(AssertionError, match=r"after the kill: \{'returned': 1, 'steps': \{'first': 1\}\}"):
        goque_kill_at_every_step(handler, queue=queue)


def test_other_tasks_of_the_type_are_left_alone(queue, storage):
    other = queue.enqueue("handler")
    with pytest.raises(ConfigurationError, match="no other due task of type 'handler'"):
        goque_kill_at_every_step(lambda task: None, Task("handler"), queue=queue)
    assert queue.get_task(other.id).status == "new"
    assert queue.get_task(other.id).attempts == 0
    assert [task.id for task in queue.get_tasks()] == [other.id]
