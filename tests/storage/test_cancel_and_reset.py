from __future__ import annotations

from datetime import timedelta

import pytest
from backends import START, add, claim, done, move, row_of

from goque.errors import TaskNotFoundError, TaskStateError
from goque.task_row import TaskStatus
from goque.task_rules.error_lines import MAX_ERRORS_BYTES


def in_status(storage, status):
    """Bring a task into a status by the moves that lead there."""
    task = add(storage)
    if status == "new":
        return task
    [row] = claim(storage)
    if status == "processing":
        storage.mark_processing([row.token])
    elif status == "canceled":
        storage.cancel_unless_finished(task.id)
        storage.settle_if_held([done(row)])
    elif status != "pending":
        storage.settle_if_held(
            [move(row, TaskStatus(status), attempts=2, errors="attempt 2: boom\n", delay=600)]
        )
    assert row_of(storage, task).status == status
    return task


@pytest.mark.parametrize("status", ["new", "error"])
def test_a_waiting_task_is_canceled_and_never_claimed(storage, clock, status):
    task = in_status(storage, status)
    clock.advance(1000)
    assert storage.cancel_unless_finished(task.id)
    canceled = row_of(storage, task)
    assert (canceled.status, canceled.updated_at) == ("canceled", START + timedelta(seconds=1000))
    assert claim(storage) == []


@pytest.mark.parametrize("status", ["pending", "processing"])
def test_a_held_task_is_canceled_at_once_and_its_owner_told(storage, status):
    task = in_status(storage, status)
    assert storage.cancel_unless_finished(task.id)
    canceled = row_of(storage, task)
    assert (canceled.status, canceled.claimed_by) == ("canceled", "node-1")
    assert storage.claim_news("node-1", "mail").changed == [canceled.token]
    assert storage.claim_news("node-1").changed == [canceled.token]
    assert storage.claim_news("node-1", "sms").changed == storage.claim_news("node-2").changed == []


@pytest.mark.parametrize("status", ["done", "canceled", "attempts_left"])
def test_a_terminal_task_stays_as_it_is(storage, clock, status):
    task = in_status(storage, status)
    before = row_of(storage, task)
    clock.advance(1)
    assert not storage.cancel_unless_finished(task.id)
    assert row_of(storage, task) == before


@pytest.mark.parametrize("status", ["error", "done", "canceled", "attempts_left"])
def test_a_reset_makes_a_task_new_and_due_now(storage, clock, status):
    task = in_status(storage, status)
    errors = row_of(storage, task).errors or ""
    clock.advance(1)
    assert storage.reset_unless_claimed(task.id)
    reset = row_of(storage, task)
    assert (reset.status, reset.attempts, reset.lost_claims, reset.result) == ("new", 0, 0, None)
    assert reset.next_attempt_at == reset.updated_at == START + timedelta(seconds=1)
    assert reset.errors == errors + "reset attempts: 2026-11-23T21:02:34.123456Z\n"
    assert [row.id for row in claim(storage)] == [task.id]


def test_a_reset_of_a_new_task_changes_nothing(storage, clock):
    task = in_status(storage, "new")
    before = row_of(storage, task)
    clock.advance(1)
    assert not storage.reset_unless_claimed(task.id)
    assert row_of(storage, task) == before


@pytest.mark.parametrize("status", ["pending", "processing"])
def test_a_held_task_is_not_reset(storage, status):
    task = in_status(storage, status)
    before = row_of(storage, task)
    with pytest.raises(TaskStateError, match=f"is {status} and held by node-1"):
        storage.reset_unless_claimed(task.id)
    assert row_of(storage, task) == before


def test_a_canceled_task_is_not_reset_under_its_handler(storage):
    task = add(storage)
    [row] = claim(storage)
    storage.cancel_unless_finished(task.id)
    with pytest.raises(TaskStateError, match="is canceled and held by node-1"):
        storage.reset_unless_claimed(task.id)
    storage.settle_if_held([done(row)])
    assert storage.reset_unless_claimed(task.id)


def test_a_task_that_the_original_runs_is_not_reset(storage, backend):
    task = add(storage)
    backend.execute("UPDATE goque_task SET status = 'processing'")
    with pytest.raises(TaskStateError, match="is processing and claimed"):
        storage.reset_unless_claimed(task.id)


def test_the_claim_number_survives_a_reset_so_that_the_old_claim_stays_void(storage):
    task = in_status(storage, "new")
    [first] = claim(storage)
    storage.settle_if_held([done(first)])
    storage.reset_unless_claimed(task.id)
    [second] = claim(storage)
    assert second.claims == 2
    assert storage.settle_if_held([done(first)]) == set()
    assert row_of(storage, task) == second


def test_errors_keep_their_newest_lines(storage, backend):
    task = in_status(storage, "attempts_left")
    line = "x" * 99 + "\n"
    backend.execute("UPDATE goque_task SET errors = :errors", errors=line * 600)
    storage.reset_unless_claimed(task.id)
    errors = row_of(storage, task).errors
    assert len(errors) <= MAX_ERRORS_BYTES
    assert errors.startswith(line)
    assert errors.endswith("Z\n")


def test_unknown_ids_are_said_so(storage):
    for call in (storage.cancel_unless_finished, storage.reset_unless_claimed):
        with pytest.raises(TaskNotFoundError, match="unknown"):
            call("unknown")
