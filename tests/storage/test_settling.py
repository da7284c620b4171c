from __future__ import annotations

import json
import threading
from concurrent.futures import Future
from datetime import timedelta

import pytest
from backends import START, add, claim, done, move, row_of, run, stale

from goque.task import Task
from goque.task_row import TaskStatus
from goque.task_rules.failed_attempt import FailedAttempt


def test_done_frees_the_task_and_keeps_the_rest(storage, clock):
    task = add(storage)
    [row] = claim(storage)
    clock.advance(1)
    assert storage.settle_if_held([done(row)]) == {row.token}
    settled = row_of(storage, task)
    assert (settled.status, settled.claimed_by, settled.attempts, settled.claims) == ("done", None, 0, 1)
    assert settled.updated_at == START + timedelta(seconds=1)
    assert settled.result is None


def test_a_result_is_the_same_json_again(storage):
    task = add(storage)
    [row] = claim(storage)
    result = '{"text":"é \\"quoted\\" \\u0000 🎉","n":[1,2]}'.encode()
    storage.settle_if_held([done(row, result=result)])
    assert json.loads(row_of(storage, task).result) == json.loads(result)


def test_a_failed_attempt_is_due_again_and_recorded_whole(storage, clock):
    task = add(storage)
    [row] = claim(storage)
    clock.advance(5)
    failed = FailedAttempt(
        attempt=1,
        cause="crash",
        error="boom\nand more",
        traceback="Traceback …",
        worker_pid=42,
        duration=2.5,
        exit_code=None,
        signal=11,
        max_rss=123456789,
        oom=None,
        stack="Current thread …",
        stderr="oops",
    )
    change = move(row, TaskStatus.ERROR, attempts=1, errors="attempt 1: boom\n", delay=600.0, failed=failed)
    assert storage.settle_if_held([change], node="node-1") == {row.token}
    settled = row_of(storage, task)
    assert (settled.status, settled.attempts, settled.errors) == ("error", 1, "attempt 1: boom\n")
    assert settled.next_attempt_at == START + timedelta(seconds=605)
    [attempt] = storage.failed_attempts(task.id)
    assert attempt.failed == failed
    assert attempt.task_id == task.id
    assert attempt.node == "node-1"
    assert attempt.started_at == START + timedelta(seconds=2.5)
    assert attempt.ended_at == START + timedelta(seconds=5)


def test_what_a_move_leaves_out_stays(storage, backend):
    task = add(storage, delay=0)
    backend.execute("UPDATE goque_task SET errors = 'before', result = '1', lost_claims = 3")
    [row] = claim(storage)
    storage.settle_if_held([move(row, TaskStatus.NEW)])
    settled = row_of(storage, task)
    assert (settled.errors, settled.result, settled.lost_claims) == ("before", b"1", 0)
    assert settled.next_attempt_at == task.next_attempt_at


def test_processing_is_marked_where_the_claim_holds(storage):
    tasks = [add(storage), add(storage)]
    rows = claim(storage)
    storage.cancel_unless_finished(tasks[1].id)
    storage.mark_processing([row.token for row in rows])
    storage.mark_processing([])
    assert [row_of(storage, task).status for task in tasks] == ["processing", "canceled"]
    assert storage.settle_if_held([done(rows[0])]) == {rows[0].token}


def test_many_kinds_of_moves_go_in_one_call(storage):
    storage.insert_tasks([Task("mail") for _ in range(40)])
    rows = claim(storage, limit=40)
    changes = [
        done(row, result=b"1" if number % 4 == 2 else None)
        if number % 2 == 0
        else move(row, TaskStatus.ERROR, attempts=1)
        for number, row in enumerate(rows)
    ]
    assert storage.settle_if_held(changes) == {row.token for row in rows}
    assert [(count.status, count.count) for count in storage.count_tasks()] == [("done", 20), ("error", 20)]
    assert storage.settle_if_held([]) == set()


@pytest.mark.parametrize("status", [TaskStatus.DONE, TaskStatus.ERROR, TaskStatus.NEW, TaskStatus.CANCELED])
def test_a_writer_with_an_older_claim_changes_nothing(storage, status):
    task = add(storage)
    [first] = claim(storage)
    storage.settle_if_held([move(first, TaskStatus.NEW)])
    [second] = claim(storage, "node-2")
    before = row_of(storage, task)
    failed = FailedAttempt(attempt=1, cause="failed", error="late")
    assert storage.settle_if_held([move(first, status, failed=failed)]) == set()
    storage.mark_processing([first.token, stale(second)])
    assert row_of(storage, task) == before == second
    assert storage.failed_attempts(task.id) == []


def test_a_writer_with_another_owner_changes_nothing(storage):
    task = add(storage)
    [row] = claim(storage)
    for owner in ("node-2", ""):
        token = row.token._replace(owner=owner)
        assert storage.settle_if_held([move(row, TaskStatus.DONE, token=token)]) == set()
        storage.mark_processing([token])
    assert row_of(storage, task) == row


def test_a_replayed_settle_changes_nothing(storage, clock):
    task = add(storage)
    [row] = claim(storage)
    storage.settle_if_held([done(row)])
    before = row_of(storage, task)
    clock.advance(1)
    assert storage.settle_if_held([done(row), move(row, TaskStatus.ERROR, attempts=1)]) == set()
    assert row_of(storage, task) == before


def test_a_task_canceled_meanwhile_stays_canceled_and_is_let_go(storage, other, clock):
    task = add(storage)
    [row] = claim(storage)
    storage.mark_processing([row.token])
    assert other.cancel_unless_finished(task.id)
    assert row_of(storage, task).claimed_by == "node-1"
    assert storage.claim_news("node-1", "mail").changed == [row.token]
    canceled_at = row_of(storage, task).updated_at
    clock.advance(1)
    assert storage.settle_if_held([done(row)]) == set()
    settled = row_of(storage, task)
    assert (settled.status, settled.claimed_by, settled.updated_at) == ("canceled", None, canceled_at)
    assert storage.claim_news("node-1", "mail").changed == []


@pytest.mark.parametrize("status", ["new", "done", "canceled", "attempts_left", "error"])
def test_what_the_original_did_to_a_held_task_stands(storage, backend, status):
    task = add(storage)
    [row] = claim(storage)
    backend.execute("UPDATE goque_task SET status = :status, attempts = 0", status=status)
    assert storage.settle_if_held([move(row, TaskStatus.ERROR, attempts=1)]) == set()
    settled = row_of(storage, task)
    assert (settled.status, settled.claimed_by, settled.attempts) == (status, None, 0)


def test_lost_moves_do_not_hold_up_the_others(storage):
    tasks = [add(storage) for _ in range(3)]
    rows = claim(storage)
    storage.cancel_unless_finished(tasks[1].id)
    assert storage.settle_if_held([done(row) for row in rows]) == {rows[0].token, rows[2].token}


def test_a_settle_that_waits_for_another_writer_sees_what_it_did(storage, backend):
    """The lost race, written down: a cancel is under way when the settle arrives."""
    tasks = [add(storage) for _ in range(3)]
    rows = claim(storage)
    canceler = backend.connect()
    run(canceler, f"UPDATE goque_task SET status = 'canceled' WHERE id = '{tasks[1].id}'")
    assert len(storage.claimed_by_owner("node-1")) == 3  # readers go on, and see the time before
    settled = Future()
    settling = threading.Thread(
        target=lambda: settled.set_result(storage.settle_if_held([done(row) for row in rows]))
    )
    settling.start()
    settling.join(0.2)  # longer than it takes when nobody is in the way
    assert settling.is_alive()
    canceler.commit()
    canceler.close()
    assert settled.result(30) == {rows[0].token, rows[2].token}
    assert [row_of(storage, task).status for task in tasks] == ["done", "canceled", "done"]
    assert row_of(storage, tasks[1]).claimed_by is None
