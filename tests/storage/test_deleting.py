"""People delete tasks: only those that are terminal and that nobody holds, with their attempts."""

from __future__ import annotations

import threading

import pytest
from backends import add, claim, done, move, row_of

from goque.task_filter import TaskFilter
from goque.task_row import TaskStatus
from goque.task_rules.failed_attempt import FailedAttempt

MISSING = "01a22953-b68c-73dc-932d-9b9f241b0bc8"


def ended(storage, status):
    """Return a task that a node has brought to its end."""
    task = add(storage)
    [row] = claim(storage)
    failed = FailedAttempt(attempt=1, cause="error", error="boom")
    storage.settle_if_held([move(row, status, attempts=1, errors="attempt 1: boom\n", failed=failed)])
    return task


@pytest.mark.parametrize("status", ["done", "canceled", "attempts_left"])
def test_a_finished_task_goes_with_its_attempts(storage, status):
    task, other = ended(storage, TaskStatus(status)), ended(storage, TaskStatus(status))
    assert storage.delete_if_finished([task.id]) == {task.id}
    assert storage.get_task(task.id) is None
    assert storage.failed_attempts(task.id) == []
    assert row_of(storage, other).status == status
    assert len(storage.failed_attempts(other.id)) == 1
    assert storage.delete_if_finished([task.id]) == set()


@pytest.mark.parametrize("status", ["new", "pending", "processing", "error"])
def test_a_task_that_has_not_ended_stays(storage, status):
    task = add(storage)
    if status != "new":
        [row] = claim(storage)
        if status == "processing":
            storage.mark_processing([row.token])
        if status == "error":
            storage.settle_if_held([move(row, TaskStatus.ERROR, attempts=1, delay=600)])
    before = row_of(storage, task)
    assert before.status == status
    assert storage.delete_if_finished([task.id]) == set()
    assert row_of(storage, task) == before


def test_a_canceled_task_stays_until_its_handler_has_stopped(storage):
    task = add(storage)
    [row] = claim(storage)
    storage.cancel_unless_finished(task.id)
    assert storage.delete_if_finished([task.id]) == set()
    storage.settle_if_held([done(row)])
    assert storage.delete_if_finished([task.id]) == {task.id}


def test_several_are_deleted_at_once_and_the_others_left(storage):
    gone = [ended(storage, TaskStatus.DONE) for _ in range(5)]
    waiting = add(storage)
    wanted = [*(task.id for task in gone), waiting.id, MISSING, "no id", "' OR 1=1 --", gone[0].id]
    assert storage.delete_if_finished(wanted) == {task.id for task in gone}
    assert [row.id for row in storage.find_tasks(TaskFilter(), limit=10)] == [waiting.id]
    assert storage.delete_if_finished([]) == set()


def test_two_who_delete_the_same_tasks_share_them(storage, other):
    tasks = [ended(storage, TaskStatus.DONE).id for _ in range(40)]
    found = {}

    def delete(name, through, order):
        found[name] = through.delete_if_finished(order)

    threads = [
        threading.Thread(target=delete, args=("first", storage, tasks)),
        threading.Thread(target=delete, args=("second", other, tasks[::-1])),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert found["first"] | found["second"] == set(tasks)
    assert not found["first"] & found["second"]


def test_a_task_that_was_reset_is_not_deleted(storage, clock):
    task = ended(storage, TaskStatus.ATTEMPTS_LEFT)
    clock.advance(3600)
    storage.reset_unless_claimed(task.id)
    assert storage.delete_if_finished([task.id]) == set()


def test_what_an_unanswered_try_deleted_counts_as_deleted(storage, monkeypatch):
    task, kept = ended(storage, TaskStatus.DONE), add(storage)
    run = storage._run

    def run_and_lose_the_first_answer(work, policy):
        run(work, policy)
        return run(work, policy)

    monkeypatch.setattr(storage, "_run", run_and_lose_the_first_answer)
    assert storage.delete_if_finished([task.id, kept.id]) == {task.id}
