"""Types with `cleaner_updated_at_time_ago=0`: a success deletes its task, unless somebody may still read something."""

from __future__ import annotations

import threading

import pytest
from backends import add, claim, done, move, row_of

import goque
from goque.options import ProcessorOptions
from goque.outcome import Change, Outcome, OutcomeKind, settle
from goque.storage.contract import policy_of
from goque.task_row import IS_WAITED_FOR, TaskRow, TaskStatus

OPTIONS = ProcessorOptions(cleaner_updated_at_time_ago=0)


def ended_well(row: TaskRow) -> Change:
    return settle(Outcome(OutcomeKind.DONE), row, OPTIONS.retry_policy)


def test_a_success_deletes_its_task(storage):
    tasks = [add(storage) for _ in range(3)]
    rows = claim(storage, limit=3)
    assert storage.settle_if_held([ended_well(row) for row in rows]) == {row.token for row in rows}
    assert [storage.get_task(task.id) for task in tasks] == [None, None, None]


def test_a_stale_success_deletes_nothing(storage):
    task = add(storage)
    [row] = claim(storage)
    storage.cancel_unless_finished(task.id)
    assert storage.settle_if_held([ended_well(row)]) == set()
    settled = row_of(storage, task)
    assert (settled.status, settled.claimed_by) == ("canceled", None)


def test_one_stale_claim_does_not_keep_the_others(storage):
    tasks = [add(storage) for _ in range(3)]
    rows = claim(storage, limit=3)
    storage.cancel_unless_finished(tasks[1].id)
    kept = next(row for row in rows if row.id == tasks[1].id)
    written = storage.settle_if_held([ended_well(row) for row in rows])
    assert written == {row.token for row in rows if row is not kept}
    assert row_of(storage, tasks[1]).status == "canceled"


def test_a_task_that_has_failed_before_stays_with_its_attempts(storage, clock):
    task = add(storage)
    [row] = claim(storage)
    storage.settle_if_held(
        [settle(Outcome(OutcomeKind.FAILED, "boom"), row, OPTIONS.retry_policy)], node="node-1"
    )
    clock.advance(3600)
    [again] = claim(storage)
    assert storage.settle_if_held([ended_well(again)]) == {again.token}
    assert row_of(storage, task).status == "done"
    assert len(storage.failed_attempts(task.id)) == 1


def test_a_task_with_a_result_stays(storage):
    task = add(storage)
    [row] = claim(storage)
    change = settle(Outcome(OutcomeKind.DONE, result=b"7"), row, OPTIONS.retry_policy)
    assert storage.settle_if_held([change]) == {row.token}
    assert row_of(storage, task).result == b"7"


def test_a_task_that_is_waited_for_stays(storage):
    storage.publish_types([policy_of("mail", OPTIONS)])
    task = add(storage)
    [row] = claim(storage)
    storage.keep_for_waiter(task.id, "mail")
    assert row_of(storage, task).flags == IS_WAITED_FOR
    assert storage.settle_if_held([ended_well(row)]) == {row.token}
    assert row_of(storage, task).status == "done"


def test_a_type_that_keeps_its_tasks_takes_no_note_of_who_waits(storage):
    storage.publish_types([policy_of("mail", ProcessorOptions())])
    task = add(storage)
    storage.keep_for_waiter(task.id, "mail")
    assert not row_of(storage, task).flags


def test_batches_of_both_kinds_are_written_as_a_whole(storage):
    tasks = [add(storage) for _ in range(4)]
    rows = claim(storage, limit=4)
    changes = [
        ended_well(rows[0]),
        done(rows[1]),
        move(rows[2], TaskStatus.ERROR, attempts=1, errors="attempt 1: boom\n", delay=1.0),
        ended_well(rows[3]),
    ]
    assert storage.settle_if_held(changes, node="node-1") == {row.token for row in rows}
    left = {row.id: storage.get_task(row.id) for row in rows}
    assert [left[row.id] and left[row.id].status for row in rows] == [None, "done", "error", None]
    assert len(tasks) == 4


def test_a_task_of_a_flow_stays_until_the_flow_is_cleaned(storage):
    flow = goque.Flow("pair")
    first = flow.add("mail")
    flow.add("mail", needs=[first])
    queue = goque.TaskQueueManager(storage)
    queue.enqueue_flow(flow)
    [row] = claim(storage)
    assert storage.settle_if_held([ended_well(row)]) == {row.token}
    assert row_of(storage, first).status == "done"


def test_wait_returns_a_task_of_a_type_that_deletes_what_is_done(storage):
    storage.publish_types([policy_of("mail", OPTIONS)])
    queue = goque.TaskQueueManager(storage)
    task = add(storage)
    [row] = claim(storage)
    found: list[goque.Task] = []
    waiting = threading.Thread(target=lambda: found.append(queue.wait(task.id, timeout=30)))
    waiting.start()
    while not row_of(storage, task).flags:
        pass
    assert storage.settle_if_held([ended_well(row)]) == {row.token}
    waiting.join(30)
    assert [one.status for one in found] == [goque.TaskStatus.DONE]


def test_a_call_of_wait_that_comes_too_late_says_so(storage):
    queue = goque.TaskQueueManager(storage)
    task = add(storage)
    [row] = claim(storage)
    storage.settle_if_held([ended_well(row)])
    with pytest.raises(goque.TaskNotFoundError):
        queue.wait(task.id, timeout=1)
