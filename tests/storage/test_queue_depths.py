"""What waits and what runs, counted without a look at what is finished."""

from __future__ import annotations

from backends import add, claim, done, move

from goque.handlers.flow import Flow
from goque.storage.contract import QueueDepth
from goque.task_row import TaskStatus


def depths(storage):
    return [(depth.type, depth.status, depth.count) for depth in storage.queue_depths()]


def test_an_empty_table_has_no_depth(storage):
    assert storage.queue_depths() == []


def test_only_what_is_not_terminal_is_counted(storage):
    for _ in range(9):
        add(storage)
    rows = claim(storage, limit=8)
    ends = (TaskStatus.DONE, TaskStatus.CANCELED, TaskStatus.ATTEMPTS_LEFT, TaskStatus.ERROR)
    storage.settle_if_held([move(row, status) for row, status in zip(rows, ends, strict=False)])
    storage.mark_processing([row.token for row in rows[4:6]])
    storage.cancel_unless_finished(rows[7].id)
    add(storage, "sms", delay=60)
    assert depths(storage) == [
        ("mail", "error", 1),
        ("mail", "new", 1),
        ("mail", "pending", 1),
        ("mail", "processing", 2),
        ("sms", "new", 1),
    ]


def test_blocked_tasks_are_counted_and_nobody_waits_because_of_them(storage, clock):
    flow = Flow("orders")
    first = flow.add("mail", 1)
    for number in range(3):
        flow.add("sms" if number else "mail", number, needs=[first])
    storage.insert_flow(flow.plan())
    clock.advance(25)
    assert depths(storage) == [("mail", "blocked", 1), ("mail", "new", 1), ("sms", "blocked", 2)]
    assert {depth.type: depth.waited for depth in storage.queue_depths()} == {"mail": 25.0, "sms": 0.0}


def test_claims_without_an_owner_are_counted_as_well(storage, backend):
    add(storage)
    claim(storage)
    backend.execute("UPDATE goque_task SET claimed_by = NULL")
    add(storage)
    claim(storage, "node-2")
    assert storage.queue_depths() == [QueueDepth("mail", "pending", 2)]


def test_the_longest_wait_counts_from_the_time_a_task_became_due(storage, clock):
    add(storage, delay=10)
    add(storage, delay=30, priority=7)
    assert [depth.waited for depth in storage.queue_depths()] == [0.0]
    clock.advance(25)
    assert [depth.waited for depth in storage.queue_depths()] == [15.0]
    [row] = claim(storage)
    storage.settle_if_held([done(row)])
    assert [depth.waited for depth in storage.queue_depths()] == [0.0]
    clock.advance(25)
    assert storage.queue_depths() == [QueueDepth("mail", "new", 1, 20.0)]


def test_a_failed_task_waits_again_from_its_next_attempt_on(storage, clock):
    add(storage)
    [row] = claim(storage)
    storage.settle_if_held([move(row, TaskStatus.ERROR, delay=60.0)])
    clock.advance(61)
    assert storage.queue_depths() == [QueueDepth("mail", "error", 1, 1.0)]
