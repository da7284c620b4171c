"""Waiting for the end of a task."""

from __future__ import annotations

import asyncio
import contextlib
import threading

import pytest
from backends import add, claim, done, move

import goque
from goque.errors import ConfigurationError, TaskNotFoundError, WaitTimeoutError
from goque.queue.manager import TaskQueueManager
from goque.task import Task
from goque.task_row import TaskStatus


@pytest.fixture
def queue(storage):
    return TaskQueueManager(storage)


def wait_in_a_thread(queue, task):
    """Start to wait, and return once the waiter has seen that the task has not ended."""
    looked, ended = threading.Event(), []
    pause = queue._pause

    def say_so_and_pause(seconds, alarm):
        looked.set()
        pause(seconds, alarm)

    queue._pause = say_so_and_pause
    thread = threading.Thread(target=lambda: ended.append(queue.wait(task.id, 60)))
    thread.start()
    assert looked.wait(60)
    return thread, ended


def test_it_returns_the_task_that_has_ended_with_its_result(queue, storage, other):
    task = add(storage)
    thread, ended = wait_in_a_thread(queue, task)
    [row] = claim(other)
    other.settle_if_held([done(row, result=b'{"n":1}')])
    thread.join(60)
    assert [(task.status, task.result) for task in ended] == [(TaskStatus.DONE, {"n": 1})]


@pytest.mark.parametrize("status", [TaskStatus.CANCELED, TaskStatus.ATTEMPTS_LEFT])
def test_every_end_counts(queue, storage, status):
    task = add(storage)
    storage.settle_if_held([move(claim(storage)[0], status)])
    assert queue.wait(task.id).status == status


def test_a_task_that_does_not_end_in_time_goes_on(queue, storage):
    task = add(storage)
    claim(storage)
    for kind in (TimeoutError, WaitTimeoutError, goque.GoqueError):
        with pytest.raises(kind, match=rf"task {task.id} is still pending after 0\.01s"):
            queue.wait(task.id, 0.01)
    with pytest.raises(WaitTimeoutError, match="after 0s"):
        queue.wait(task.id, 0)


def test_it_looks_outside_of_the_callers_transaction(queue, storage, backend):
    with contextlib.closing(backend.connect()) as conn, goque.with_tx(conn):
        task = queue.enqueue("mail")
        with pytest.raises(TaskNotFoundError):
            queue.wait(task.id, 0.01)
        conn.commit()
        queue.cancel_task(task.id)
        with pytest.raises(WaitTimeoutError):
            queue.wait(task.id, 0.01)
        conn.commit()
        assert queue.wait(task.id, 60).status == TaskStatus.CANCELED


def test_what_cannot_be_waited_for_is_said(queue):
    with pytest.raises(TaskNotFoundError):
        queue.wait(Task("mail").id)
    with pytest.raises(TaskNotFoundError):
        queue.wait("unknown", timeout=5)
    for timeout in (-1, "5", True, float("nan"), float("inf")):
        with pytest.raises(ConfigurationError, match="timeout must be"):
            queue.wait(Task("mail").id, timeout)


def test_asyncio_waits_without_stopping_the_loop(storage, other):
    queue = goque.AsyncTaskQueueManager(storage)
    tasks = [add(storage) for _ in range(3)]

    async def scenario():
        waiting = asyncio.gather(*(queue.wait(task.id, 60) for task in tasks))
        await asyncio.sleep(0)
        await asyncio.to_thread(lambda: other.settle_if_held([done(row) for row in claim(other)]))
        return await waiting

    assert [task.status for task in asyncio.run(scenario())] == [TaskStatus.DONE] * 3
    with pytest.raises(WaitTimeoutError):
        asyncio.run(queue.wait(add(storage).id, 0.01))
