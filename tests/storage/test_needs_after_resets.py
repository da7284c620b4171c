"""A task that is reset looks anew at how the tasks that it needs have ended, on every backend."""

from __future__ import annotations

import pytest

import goque


@pytest.fixture
def registry():
    made = goque.Registry()
    answering = []

    @made.processor("part", max_attempts=1)
    def part(number: int) -> int:
        if number == 1 and not answering:
            answering.append(number)
            raise ConnectionError("no answer")
        return number

    made.add_processor("join", lambda task: [need.result for need in task.needs], store_result=True)
    return made


@pytest.fixture
def queue(storage):
    return goque.TaskQueueManager(storage)


@pytest.fixture
def flow(queue):
    made = goque.Flow("parts")
    parts = [made.add("part", number) for number in (1, 2, 3)]
    join = made.add("join", needs=parts)
    made.add("join", needs=[join])
    return queue.enqueue_flow(made)


def test_after_a_need_that_failed_first(registry, queue, flow):
    queue.drain_inline(registry)
    assert [task.status for task in flow_now(queue, flow)] == [
        "attempts_left",
        "done",
        "done",
        "canceled",
        "canceled",
    ]
    queue.reset_attempts(flow.tasks[0].id)
    queue.drain_inline(registry)
    assert [task.status for task in flow_now(queue, flow)] == ["done"] * 5
    assert flow_now(queue, flow)[3].result == [1, 2, 3]


def test_after_somebody_canceled_the_task_that_wants_them(registry, queue, flow):
    *parts, join, last = flow.tasks
    queue.cancel_task(join.id)
    queue.drain_inline(registry)
    queue.reset_attempts(parts[0].id)
    queue.drain_inline(registry)
    assert [task.status for task in flow_now(queue, flow)] == ["done"] * 3 + ["canceled"] * 2
    queue.reset_attempts(join.id)
    queue.drain_inline(registry)
    assert [task.status for task in flow_now(queue, flow)] == ["done"] * 5
    assert queue.get_task(last.id).result == [[1, 2, 3]]


def test_a_join_that_is_reset_after_a_need_of_it_waits_for_that_again(registry, queue, flow):
    queue.drain_inline(registry)
    queue.reset_attempts(flow.tasks[0].id)
    queue.drain_inline(registry)
    part, join = flow.tasks[1], flow.tasks[3]
    queue.reset_attempts(part.id)
    queue.reset_attempts(join.id)
    assert queue.get_task(join.id).status == "blocked"
    runs = queue.drain_inline(registry)
    assert [run.task.id for run in runs] == [part.id, join.id]
    assert queue.get_task(join.id).result == [1, 2, 3]


def test_nothing_is_left_to_be_found_unseen(registry, storage, queue, flow):
    queue.drain_inline(registry)
    assert storage.go_on_with_flows() == 0


def flow_now(queue, flow):
    return queue.get_flow(flow.id).tasks
