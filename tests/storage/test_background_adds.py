"""Tasks that are added in the background: bounded, drained, logged, and out of the caller's transaction."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import subprocess
import sys
import threading

import pytest
from backends import add

import goque
from goque.errors import ConfigurationError, DatabaseUnavailableError
from goque.queue.background import BackgroundAdds
from goque.queue.manager import TaskQueueManager
from goque.task import Task
from goque.task_filter import TaskFilter


@pytest.fixture
def queue(storage):
    return TaskQueueManager(storage)


def external_ids(storage):
    return {row.external_id for row in storage.find_tasks(TaskFilter(), limit=10_000)}


def test_tasks_are_there_after_the_wait(queue, storage):
    for number in range(250):
        queue.add_task_in_background(Task("mail", external_id=str(number)))
    assert queue.wait_background_adds(timeout=60)
    assert external_ids(storage) == {str(number) for number in range(250)}
    assert queue.wait_background_adds(0)


def test_values_are_those_of_the_moment_of_the_call(queue):
    task = Task("mail", metadata={"own": 1})
    with goque.with_values({"user": 7, "own": 2}):
        queue.add_task_in_background(task)
    queue.wait_background_adds()
    assert queue.get_task(task.id).metadata == {"user": 7, "own": 1}


def test_a_type_has_its_default_priority_there_too(storage):
    queue = TaskQueueManager(storage, default_priorities={"mail": 7}.get)
    awaited = goque.AsyncTaskQueueManager(storage, default_priorities={"mail": 8}.get)
    queue.add_task_in_background(Task("mail", external_id="default"))
    queue.add_task_in_background(Task("mail", external_id="own", priority=0))
    asyncio.run(awaited.add_task_in_background(Task("mail", external_id="awaited")))
    assert queue.wait_background_adds(60)
    assert asyncio.run(awaited.wait_background_adds(60))
    found = {row.external_id: row.priority for row in storage.find_tasks(TaskFilter(), limit=10)}
    assert found == {"default": 7, "own": 0, "awaited": 8}


def test_a_transaction_around_it_is_left_with_a_warning(queue, storage, backend, caplog):
    with contextlib.closing(backend.connect()) as conn, goque.with_tx(conn):
        queue.add_task_in_background(Task("mail", external_id="order-7"))
        assert queue.wait_background_adds(60)
        conn.rollback()
    assert external_ids(storage) == {"order-7"}
    [warning] = caplog.records
    assert warning.levelno == logging.WARNING
    assert "outside of the transaction" in warning.getMessage()
    assert (warning.task_type, "'order-7'" in warning.getMessage()) == ("mail", True)


def test_a_taken_unique_key_is_logged_and_a_debounced_task_is_not_lost(queue, caplog):
    for number in range(3):
        queue.add_task_in_background(Task("mail", {"n": number}, debounce=60, unique_key="later"))
        queue.add_task_in_background(Task("mail", {"n": number}, unique="active", unique_key="k"))
        assert queue.wait_background_adds(60)
    assert sorted(task.payload["n"] for task in queue.get_tasks()) == [0, 2]
    assert len(caplog.records) == 2
    assert all("with unique key 'k' exists already" in record.getMessage() for record in caplog.records)


def test_what_cannot_be_added_is_logged_and_the_rest_is_added(queue, storage, caplog):
    add(storage, external_id="taken")
    hidden = Task("mail", external_id="unencodable")
    hidden.metadata = {"key": object()}
    for task in (Task("mail", external_id="taken"), hidden, Task("mail", external_id="free")):
        queue.add_task_in_background(task)
    assert queue.wait_background_adds(60)
    assert external_ids(storage) == {"taken", "free"}
    told = sorted(record.getMessage() for record in caplog.records)
    assert len(told) == 2
    assert "type 'mail' with external id 'taken' could not be added in the background: a task" in told[0]
    assert "external id 'unencodable' could not be added in the background: metadata" in told[1]


def test_what_is_no_task_is_refused_at_once(queue):
    with pytest.raises(ConfigurationError, match="only a Task"):
        queue.add_task_in_background({"type": "mail"})
    for timeout in (-1, "5", True, float("nan")):
        with pytest.raises(ConfigurationError, match="timeout must be"):
            queue.wait_background_adds(timeout)


class Gate:
    """Inserts nothing until it is opened."""

    def __init__(self):
        self.is_open = threading.Event()
        self.entered = threading.Event()
        self.batches = []

    def __call__(self, tasks):
        self.entered.set()
        assert self.is_open.wait(60)
        self.batches.append(list(tasks))
        return tasks


def test_a_full_line_makes_the_caller_wait():
    gate = Gate()
    adds = BackgroundAdds(gate, most_waiting=2)
    adds.add(Task("mail"))
    assert gate.entered.wait(60)  # the first is being inserted: the line is empty
    adds.add(Task("mail"))
    adds.add(Task("mail"))
    assert not adds.offer(Task("mail"))
    assert not adds.wait(0.01)
    blocked = threading.Thread(target=adds.add, args=(Task("mail"),))
    blocked.start()
    blocked.join(0.05)
    assert blocked.is_alive()
    gate.is_open.set()
    blocked.join(60)
    assert not blocked.is_alive()
    assert adds.wait(60)
    assert sum(map(len, gate.batches)) == 4


def test_an_unreachable_database_loses_a_batch_in_one_try(caplog):
    tries = []

    def refuse(tasks):
        tries.append(len(tasks))
        raise DatabaseUnavailableError("the database is down")

    adds = BackgroundAdds(refuse)
    with adds._changed:  # all are in the line before the thread looks
        for _ in range(3):
            adds.add(Task("mail"))
    assert adds.wait(60)
    assert tries == [3]
    assert [record.getMessage().endswith("the database is down") for record in caplog.records] == [True] * 3


def test_a_bug_is_logged_with_its_traceback(caplog):
    def fail(tasks):
        raise ZeroDivisionError

    adds = BackgroundAdds(fail)
    adds.add(Task("mail"))
    assert adds.wait(60)
    assert caplog.records[0].exc_info is not None


def test_a_child_that_was_forked_amid_adds_leaves_them_to_the_parent_and_has_its_own(queue, storage):
    held = threading.Event()
    original = storage.insert_tasks

    def insert(tasks, **options):
        assert held.wait(60)
        return original(tasks, **options)

    queue.add_task_in_background(Task("mail"))  # the schema is there now
    queue.wait_background_adds()
    storage.insert_tasks = insert
    queue.add_task_in_background(Task("mail", external_id="of the parent"))
    child = os.fork()
    if child == 0:
        try:
            storage.insert_tasks = original
            queue.add_task_in_background(Task("mail", external_id="of the child"))
            queue.wait_background_adds(60)
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert "of the child" in external_ids(storage)
    assert "of the parent" not in external_ids(storage)
    held.set()
    assert queue.wait_background_adds(60)
    assert "of the parent" in external_ids(storage)


def test_closing_waits_for_them(backend, storage):
    with TaskQueueManager(backend.url) as queue:
        queue.add_task_in_background(Task("mail", external_id="last"))
    assert external_ids(storage) == {"last"}


PROGRAM = """
import sys
import goque

queue = goque.TaskQueueManager(sys.argv[1])
for number in range(300):
    queue.add_task_in_background(goque.Task("mail", external_id=str(number)))
"""

IN_A_CHILD = """
import multiprocessing, sys
import goque

queue = goque.TaskQueueManager(sys.argv[1])

def add():
    queue.add_task_in_background(goque.Task("mail", external_id="of the child"))

child = multiprocessing.get_context("fork").Process(target=add)
child.start()
child.join()
"""

AT_EXIT = """
import atexit, sys
import goque

queue = goque.TaskQueueManager(sys.argv[1])
atexit.register(lambda: queue.add_task_in_background(goque.Task("mail", external_id="at exit")))
"""


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        (PROGRAM, {str(number) for number in range(300)}),
        (IN_A_CHILD, {"of the child"}),
        (AT_EXIT, {"at exit"}),
    ],
)
def test_a_program_that_ends_is_drained_first(program, expected, backend, storage):
    done = subprocess.run(
        [sys.executable, "-c", program, backend.url], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert external_ids(storage) == expected


def test_the_asyncio_manager_adds_in_the_background_too(storage, backend):
    queue = goque.AsyncTaskQueueManager(storage)

    async def scenario():
        with goque.with_value("user", 7):
            for number in range(250):
                await queue.add_task_in_background(Task("mail", external_id=str(number)))
        assert await queue.wait_background_adds(60)
        assert len(external_ids(storage)) == 250
        assert (await queue.get_tasks(limit=1))[0].metadata == {"user": 7}
        with pytest.raises(ConfigurationError, match="only a Task"):
            await queue.add_task_in_background("mail")

    asyncio.run(scenario())


def test_a_full_line_does_not_stop_the_loop(storage):
    queue = goque.AsyncTaskQueueManager(storage)
    gate = Gate()
    queue._background = BackgroundAdds(gate, most_waiting=1)

    async def scenario():
        await queue.add_task_in_background(Task("mail"))
        assert await asyncio.to_thread(gate.entered.wait, 60)
        await queue.add_task_in_background(Task("mail"))
        waiting = asyncio.create_task(queue.add_task_in_background(Task("mail")))
        assert not await queue.wait_background_adds(0.01)
        assert not waiting.done()
        gate.is_open.set()
        await waiting
        assert await queue.wait_background_adds(60)

    asyncio.run(scenario())
    assert sum(map(len, gate.batches)) == 3
