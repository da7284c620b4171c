"""Runs whose process was killed for a cancel or a shutdown: they are on record, and no failure."""

from __future__ import annotations

import msgspec
from backends import add, claim, done, move, row_of

from goque.task_row import TaskStatus
from goque.task_rules.failed_attempt import FailedAttempt

KILLED = FailedAttempt(
    attempt=1, cause="canceled", error="canceled while it ran", signal=9, stack="in insist"
)


def canceled(storage, other):
    """Return a claim whose task somebody has canceled."""
    add(storage)
    [row] = claim(storage)
    storage.mark_processing([row.token])
    other.cancel_unless_finished(row.id)
    return row


def stopped(row, failed=KILLED):
    return move(row, TaskStatus.CANCELED, attempts=row.attempts, failed=failed)


def test_a_canceled_task_keeps_the_last_stack_of_its_process(storage, other):
    row = canceled(storage, other)
    assert storage.settle_if_held([stopped(row)], node="node-1") == set()
    assert storage.settle_if_held([stopped(row)], node="node-1") == set(), "a try whose answer was lost"
    [attempt] = storage.failed_attempts(row.id)
    assert (attempt.node, attempt.failed) == ("node-1", KILLED)
    assert (row_of(storage, row).status, row_of(storage, row).claimed_by) == ("canceled", None)


def test_only_a_killed_run_is_recorded_where_somebody_else_has_moved_the_task(storage, other):
    rows = [canceled(storage, other) for _ in range(3)]
    failure = msgspec.structs.replace(KILLED, cause="timeout")
    changes = [
        stopped(rows[0], None),
        move(rows[1], TaskStatus.ERROR, attempts=1, failed=failure),
        done(rows[2]),
    ]
    assert storage.settle_if_held(changes, node="node-1") == set()
    assert [storage.failed_attempts(row.id) for row in rows] == [[], [], []]


def test_an_interrupted_run_is_recorded_with_the_release(storage):
    add(storage)
    [row] = claim(storage)
    failed = msgspec.structs.replace(KILLED, cause="interrupted")
    change = move(row, TaskStatus.NEW, attempts=0, failed=failed)
    assert storage.settle_if_held([change], node="node-1") == {row.token}
    [attempt] = storage.failed_attempts(row.id)
    assert attempt.failed == failed
    assert row_of(storage, row).attempts == 0


def test_the_list_of_failures_has_failures_only(storage, other):
    storage.settle_if_held([stopped(canceled(storage, other))], node="node-1")
    add(storage)
    [row] = claim(storage)
    failure = msgspec.structs.replace(KILLED, cause="timeout")
    storage.settle_if_held([move(row, TaskStatus.ERROR, attempts=1, failed=failure)], node="node-1")
    assert [line.cause for line in storage.failures()] == ["timeout"]
