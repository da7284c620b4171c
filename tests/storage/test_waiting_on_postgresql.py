"""Waiting for the end of a task on PostgreSQL, which tells of it: only of tasks that somebody waits for."""

from __future__ import annotations

import asyncio
import os
import threading

import psycopg
import pytest
from backends import add, claim, done, move

import goque
from goque.queue.manager import TaskQueueManager
from goque.storage import open_storage
from goque.storage.postgresql import finished_listener
from goque.storage.postgresql.finished_listener import FINISHED_CHANNEL, WatchedIds
from goque.task_row import TaskStatus


def wait_until_heard(queue, storage):
    """Start to wait for a task until its end is heard of, not seen by looking, and return the waiter and the task."""
    task = add(storage)
    ended = []

    def pause(seconds, alarm):
        del seconds
        assert alarm._rung.wait(30), "only an alarm ends a pause"

    queue._pause = pause
    thread = threading.Thread(target=lambda: ended.append(queue.wait(task.id, 60)), daemon=True)
    thread.start()
    return thread, ended, task


@pytest.fixture
def fetcher(postgresql):
    """Another process that watches for tasks, as a fetcher does."""
    storage = postgresql.new_storage()
    storage.migrate()
    watcher = storage.watch(["mail"])
    yield storage, watcher
    watcher.close()


@pytest.mark.parametrize("status", [TaskStatus.DONE, TaskStatus.CANCELED, TaskStatus.ATTEMPTS_LEFT])
def test_the_end_is_told_of(postgresql, fetcher, status):
    storage, watcher = fetcher
    waiting = postgresql.new_storage()
    thread, ended, task = wait_until_heard(TaskQueueManager(waiting), storage)
    postgresql.eventually(lambda: (watcher.changed(), storage._dialect.watched.among([task.id]))[1])
    storage.settle_if_held([move(claim(storage)[0], status)])
    thread.join(60)
    assert [task.status for task in ended] == [status]


def test_a_cancel_is_told_of_though_no_fetcher_knows_of_the_wait(postgresql, fetcher):
    storage, _ = fetcher
    waiting = postgresql.new_storage()
    queue = TaskQueueManager(waiting)
    thread, ended, task = wait_until_heard(queue, storage)
    postgresql.eventually(lambda: waiting._dialect._ends._hears)
    queue.cancel_task(task.id)
    thread.join(60)
    assert [task.status for task in ended] == [TaskStatus.CANCELED]


def test_ends_that_nobody_waits_for_notify_nobody(postgresql, fetcher):
    storage, watcher = fetcher
    [(channel,)] = postgresql.execute(FINISHED_CHANNEL)
    with psycopg.connect(postgresql.url, autocommit=True) as listener:
        listener.execute(f'LISTEN "{channel}"')
        for awaited in (False, True):
            task = add(storage)
            if awaited:
                storage._dialect.watched.add(task.id)
            other = add(storage)
            storage.settle_if_held([done(row) for row in claim(storage)])
            heard = [notification.payload for notification in listener.notifies(timeout=0.2)]
            assert heard == ([task.id] if awaited else []), other
    watcher.changed()


def test_a_retry_is_no_end(postgresql, fetcher):
    storage, _ = fetcher
    task = add(storage)
    storage._dialect.watched.add(task.id)
    [(channel,)] = postgresql.execute(FINISHED_CHANNEL)
    with psycopg.connect(postgresql.url, autocommit=True) as listener:
        listener.execute(f'LISTEN "{channel}"')
        storage.settle_if_held([move(claim(storage)[0], TaskStatus.ERROR, attempts=1, delay=9)])
        assert list(listener.notifies(timeout=0.2)) == []


def test_a_wait_survives_the_loss_of_its_connection(postgresql, fetcher):
    storage, watcher = fetcher
    waiting = postgresql.new_storage()
    queue = TaskQueueManager(waiting)
    task = add(storage)
    ended = []
    thread = threading.Thread(target=lambda: ended.append(queue.wait(task.id, 60)), daemon=True)
    thread.start()
    ends = waiting._dialect._ends
    postgresql.eventually(lambda: ends._hears)
    lost = ends._connection
    storage.close()
    waiting._connections.close()
    postgresql.kill_connections()
    postgresql.eventually(lambda: not ends._hears or ends._connection is not lost)
    storage.settle_if_held([done(row) for row in claim(storage)])
    thread.join(60)
    assert [task.status for task in ended] == [TaskStatus.DONE]
    watcher.changed()


def test_the_thread_is_gone_with_its_storage_and_idle_after_a_while(postgresql, monkeypatch):
    monkeypatch.setattr(finished_listener, "LINGER", 0.05)
    storage = postgresql.new_storage()
    storage.migrate()
    ends = storage._dialect._ends

    def threads():
        return [thread for thread in threading.enumerate() if thread.name == "goque-ends-of-tasks"]

    with storage.on_finished(add(storage).id, "mail", lambda: None) as is_told:
        postgresql.eventually(is_told)
        assert len(threads()) == 1
    postgresql.eventually(lambda: threads() == [])
    with storage.on_finished(add(storage).id, "mail", lambda: None) as is_told:
        postgresql.eventually(is_told)
        storage.close()
        assert threads() == []
        assert not is_told()
    assert ends._waiters == []


def test_ids_that_are_awaited_are_bounded_and_forgotten(monkeypatch):
    now = [0.0]
    awaited = WatchedIds(lambda: now[0])
    monkeypatch.setattr(finished_listener, "MAX_AWAITED", 3)
    for name in "abcda":
        awaited.add(name)
    assert awaited.among("abcdx") == ["a", "c", "d"]
    now[0] = 59
    awaited.add("c")
    now[0] = 61
    assert awaited.among("abcd") == ["c"]
    now[0] = 200
    assert awaited.among("c") == []
    assert not awaited


def test_coroutines_are_told_too_by_one_thread_for_all(postgresql, fetcher):
    storage, watcher = fetcher
    queue = goque.AsyncTaskQueueManager(postgresql.new_storage())
    tasks = [add(storage) for _ in range(20)]

    async def pause(seconds, alarm):
        del seconds
        await asyncio.wait_for(alarm._rung.wait(), 30)

    queue._pause = pause

    async def scenario():
        waiting = [asyncio.create_task(queue.wait(task.id, 60)) for task in tasks]
        heard = lambda: (watcher.changed(), len(storage._dialect.watched.among(task.id for task in tasks)))[1]  # noqa: E731 - short
        await asyncio.to_thread(postgresql.eventually, lambda: heard() == 20)
        assert sum(thread.name == "goque-ends-of-tasks" for thread in threading.enumerate()) == 1
        await asyncio.to_thread(
            lambda: storage.settle_if_held([done(row) for row in claim(storage, limit=20)])
        )
        ended = await asyncio.gather(*waiting)
        await queue.close()
        return ended

    assert {task.status for task in asyncio.run(scenario())} == {TaskStatus.DONE}


def test_a_forked_child_waits_on_a_connection_of_its_own(postgresql, fetcher):
    storage, _ = fetcher
    task = add(storage)
    with storage.on_finished(task.id, "mail", lambda: None) as is_told:
        postgresql.eventually(is_told)
        child = os.fork()
        if child == 0:
            code = 1
            try:
                with storage.on_finished(task.id, "mail", lambda: None) as is_told_in_child:
                    postgresql.eventually(is_told_in_child)
                code = 0
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert is_told()


def test_who_does_not_notify_does_not_listen(postgresql):
    postgresql.new_storage().migrate()
    quiet = open_storage(f"{postgresql.url}&notify=off")
    with quiet.on_finished(add(quiet).id, "mail", lambda: None) as is_told:
        assert not is_told()
        assert quiet._dialect._ends._thread is None
    quiet.close()
