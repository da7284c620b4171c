"""What becomes of recorded steps when their task is reset, cleaned or deleted."""

from __future__ import annotations

import asyncio

import pytest
from backends import add, claim, done, move, row_of
from step_questions import KNOWN, ask, left, put_off, record, recorded, sleep, wait

import goque
from goque import Flow
from goque.steps.question import Progress
from goque.storage.sql.recorded_steps import deleting
from goque.task_row import HAS_STEPS, TaskStatus

DONE = [TaskStatus.DONE]


@pytest.fixture
def queue(storage):
    return goque.TaskQueueManager(storage)


@pytest.fixture
def few_at_once(monkeypatch):
    monkeypatch.setattr(deleting, "MOST", 20)


def with_steps(storage, *, task_type="mail", steps=1, end=done):
    """Return a task with a row of each kind that has ended."""
    task = add(storage, task_type)
    [row] = claim(storage, task_type=task_type)
    ask(storage, row, *(record(f"step-{number}", number) for number in range(steps)))
    ask(storage, row, sleep("nap", 60), wait("go", 60))
    storage.signal_task(task.id, "stop", b"1")
    storage.write_progress([(row.token, Progress(0.5))])
    storage.settle_if_held([end(row)])
    return task


def kinds(storage, task):
    return sorted(row.kind for row in storage.steps_of(task.id))


ALL_KINDS = ["progress", "signal", "sleep", "step", "wait"]


def failed(row):
    return move(row, TaskStatus.ERROR, attempts=1, errors="attempt 1: boom\n", delay=600.0)


@pytest.mark.parametrize("has_steps", [True, False])
def test_a_task_that_gets_another_payload_begins_anew(storage, queue, has_steps):
    options = {"unique": "active", "unique_key": "k", "on_conflict": "replace"}
    first = queue.enqueue("mail", {"n": 1}, **options)
    [row] = claim(storage)
    if has_steps:
        ask(storage, row, record("step", 1), sleep("nap", 600))
    storage.settle_if_held([put_off(row, 600)])
    there = queue.enqueue("mail", {"n": 2}, **options)
    assert (there.id, there.inserted) == (first.id, False)
    assert kinds(storage, first) == []
    [again] = claim(storage)
    assert recorded(storage, again) == {}


@pytest.mark.parametrize("end", [done, failed])
def test_a_reset_deletes_the_steps_of_its_task_alone(storage, queue, end):
    task, other = with_steps(storage, end=end), with_steps(storage, end=done)
    assert queue.reset_attempts(task.id)
    assert kinds(storage, task) == []
    assert kinds(storage, other) == ALL_KINDS
    [row] = claim(storage)
    assert recorded(storage, row) == {}
    assert ask(storage, row, record("step-0", 7), sleep("nap", 5), wait("stop", 5)) == [
        KNOWN,
        left(5),
        left(5),
    ]


def test_a_reset_that_keeps_them_goes_on_after_the_recorded_steps(storage, queue):
    task = with_steps(storage, end=failed)
    assert queue.reset_attempts(task.id, keep_steps=True)
    assert row_of(storage, task).attempts == 0
    assert kinds(storage, task) == ALL_KINDS
    [row] = claim(storage)
    assert recorded(storage, row) == {"step-0": 0}


def test_asyncio_resets_do_both(storage, backend):
    task = with_steps(storage, end=failed)

    async def scenario():
        queue = goque.AsyncTaskQueueManager(storage)
        connection = await backend.connect_asyncio()
        assert await queue.reset_attempts(task.id, keep_steps=True, conn=connection)
        await connection.rollback()
        assert await queue.reset_attempts(task.id, conn=connection)
        await connection.commit()
        closing = connection.close()
        if closing is not None:
            await closing

    asyncio.run(scenario())
    assert kinds(storage, task) == []


def test_a_reset_that_the_caller_takes_back_keeps_all(storage, queue, backend):
    task = with_steps(storage)
    connection = backend.connect()
    queue.reset_attempts(task.id, conn=connection)
    connection.rollback()
    connection.close()
    assert kinds(storage, task) == ALL_KINDS
    assert row_of(storage, task).status == "done"


def test_a_task_that_is_new_keeps_its_steps(storage, queue):
    task = with_steps(storage, end=lambda row: put_off(row, 60))
    assert not queue.reset_attempts(task.id)
    assert kinds(storage, task) == ALL_KINDS


def test_a_reset_of_a_task_without_steps_does_not_look_for_any(storage, queue, monkeypatch):
    task = add(storage)
    [row] = claim(storage)
    storage.settle_if_held([done(row)])
    monkeypatch.setattr(deleting.StepDeletes, "all_of", None)
    assert queue.reset_attempts(task.id)


def test_many_steps_are_reset_in_parts(storage, queue, monkeypatch):
    monkeypatch.setattr(deleting, "MOST", 7)
    task = with_steps(storage, steps=50)
    assert queue.reset_attempts(task.id)
    assert kinds(storage, task) == []


def test_the_cleaner_deletes_steps_with_their_tasks(storage, clock, backend):
    plain = add(storage)
    [row] = claim(storage)
    storage.settle_if_held([done(row)])
    old = [with_steps(storage) for _ in range(3)]
    clock.advance(60)
    young = with_steps(storage)
    clock.advance(60)
    assert storage.delete_finished("mail", DONE, 90.0) == 4
    assert storage.get_task(plain.id) is None
    assert [kinds(storage, task) for task in old] == [[]] * 3
    assert kinds(storage, young) == ALL_KINDS
    assert backend.execute("SELECT count(DISTINCT task_id) FROM goque_step") == [(1,)]


def test_tasks_without_steps_are_cleaned_without_a_look_for_any(storage, clock, monkeypatch):
    add(storage)
    [row] = claim(storage)
    storage.settle_if_held([done(row)])
    clock.advance(60)
    with storage._connections as session:
        rows = session.rows
        asked = []
        monkeypatch.setattr(
            session, "rows", lambda sql, params=None: asked.append(sql) or rows(sql, params), raising=False
        )
    assert storage.delete_finished("mail", DONE, 30.0) == 1
    assert not [sql for sql in asked if "goque_step" in sql]


@pytest.mark.parametrize("call", ["cleaner", "people", "flows"])
@pytest.mark.usefixtures("few_at_once")
def test_tasks_with_too_many_steps_for_one_transaction_are_deleted_in_parts(
    storage, queue, clock, backend, call
):
    if call == "flows":
        flow = Flow("large")
        flow.add("mail")
        queue.enqueue_flow(flow)
        [row] = claim(storage)
        ask(storage, row, *(record(f"step-{number}") for number in range(70)))
        storage.settle_if_held([done(row)])
        tasks = flow.tasks
    else:
        tasks = [with_steps(storage, steps=30) for _ in range(3)]
    kept = with_steps(storage, end=failed, steps=30)
    clock.advance(60)
    if call == "cleaner":
        assert storage.delete_finished("mail", DONE, 30.0) == 3
    elif call == "people":
        ids = [task.id for task in tasks]
        assert storage.delete_if_finished([*ids, kept.id]) == set(ids)
    else:
        assert storage.delete_old_flows(lambda task_type, status: 30.0) == 1
    assert [storage.get_task(task.id) for task in tasks] == [None] * len(tasks)
    assert backend.execute("SELECT DISTINCT CAST(task_id AS CHAR(36)) FROM goque_step") == [(kept.id,)]
    assert len(storage.steps_of(kept.id)) == 34


def test_people_delete_steps_with_their_tasks(storage):
    task, other = with_steps(storage), with_steps(storage)
    assert storage.delete_if_finished([task.id]) == {task.id}
    assert kinds(storage, task) == []
    assert kinds(storage, other) == ALL_KINDS


def test_steps_go_with_their_flow(storage, queue, clock):
    flow = Flow("flow")
    first = flow.add("mail")
    flow.add("mail", needs=[first])
    queue.enqueue_flow(flow)
    for _ in range(2):
        [row] = claim(storage)
        ask(storage, row, record("get", 1))
        storage.settle_if_held([done(row, is_needed=True)])
    assert row_of(storage, first).flags & HAS_STEPS
    clock.advance(60)
    assert storage.delete_old_flows(lambda task_type, status: 30.0) == 2
    assert [kinds(storage, task) for task in flow.tasks] == [[], []]


def test_steps_of_a_task_that_somebody_else_has_deleted_are_harmless(storage, backend):
    task = with_steps(storage)
    backend.execute("DELETE FROM goque_task")
    assert kinds(storage, task) == ALL_KINDS
    assert storage.get_task(task.id) is None
    other = with_steps(storage)
    assert storage.delete_if_finished([task.id, other.id]) == {other.id}
    assert kinds(storage, task) == ALL_KINDS  # as the attempts of such a task
