"""Requests for the stacks of running tasks: they reach the node that runs the task, and the answer comes back."""

from __future__ import annotations

import threading
import time
import uuid

import pytest
from stack_node import NODE, TAKEN, answering, begin

from goque import (
    AsyncTaskQueueManager,
    Task,
    TaskNotFoundError,
    TaskQueueManager,
    TaskStateError,
    WaitTimeoutError,
)
from goque.stacks import asking
from goque.stacks.answer import StackAnswer, StackState
from goque.storage.contract import ClaimNews, StackRequest


def ask(storage, row, owner=NODE):
    request = StackRequest(str(uuid.uuid4()), row.id)
    storage.ask_for_stack(request, task_type=row.type, owner=owner)
    return request


def rows_left(backend):
    return backend.execute("SELECT count(*) FROM goque_stack")[0][0]


def test_a_request_reaches_its_node_until_it_is_answered(storage):
    row = begin(storage)
    request = ask(storage, row)
    assert storage.claim_news(NODE) == ClaimNews([], [request])
    assert storage.claim_news(NODE, "another type") == ClaimNews([], [request])
    assert storage.claim_news("node-2") == ClaimNews([], [])
    assert storage.stack_answer(request.id) is None
    storage.answer_stacks([(request.id, "one"), (str(uuid.uuid4()), "of a request that is gone")])
    storage.answer_stacks([(request.id, "another")])
    assert storage.stack_answer(request.id) == "one"
    assert storage.claim_news(NODE) == ClaimNews([], [])


def test_changed_claims_and_requests_come_together(storage):
    canceled, running = begin(storage), begin(storage)
    storage.cancel_unless_finished(canceled.id)
    request = ask(storage, running)
    assert storage.claim_news(NODE) == ClaimNews([canceled.token], [request])


def test_whoever_asks_deletes_what_others_have_left(storage, backend, clock):
    row = begin(storage)
    left = ask(storage, row)
    clock.advance(61)
    request = ask(storage, row)
    assert storage.claim_news(NODE).stack_requests == [request]
    assert storage.stack_answer(left.id) is None
    storage.forget_stack_request(request.id)
    assert rows_left(backend) == 0


def test_the_stack_of_a_running_task_is_returned_and_nothing_is_left_of_the_request(storage, backend):
    row = begin(storage)
    with answering(backend.url) as asked:
        stack = TaskQueueManager(storage).stack(row.id)
    assert asked == [row.id]
    assert (stack.task_id, stack.type, stack.attempt) == (row.id, "resize", 1)
    assert (stack.node, stack.host, stack.worker_pid) == (NODE, "web-1", 4711)
    assert (stack.seconds, stack.step, stack.source) == (12.34, "page-3", "thread")
    assert stack.frames == TAKEN.frames
    assert rows_left(backend) == 0


async def stack_of(url, task_id):
    async with AsyncTaskQueueManager(url) as queue:
        return await queue.stack(task_id)


def test_the_asyncio_manager_returns_the_same(storage, backend):
    import asyncio

    row = begin(storage)
    with answering(backend.url):
        stack = asyncio.run(stack_of(backend.url, row.id))
    assert stack.frames == TAKEN.frames


def test_only_a_running_task_has_a_stack(storage, backend):
    queue = TaskQueueManager(storage)
    waiting = storage.insert_tasks([Task("resize", {}, delay=60)])[0]
    with pytest.raises(TaskStateError, match=rf"task {waiting.id} does not run: it is waiting \(new\)"):
        queue.stack(waiting.id)
    for unknown in ("01a20b6d-f9ad-7bbd-861b-dbe0c9408260", "nonsense", "'; DROP TABLE goque_task; --"):
        with pytest.raises(TaskNotFoundError):
            queue.stack(unknown)
    row = begin(storage)
    backend.execute("UPDATE goque_task SET claimed_by = NULL")
    with pytest.raises(TaskStateError, match="by another library"):
        queue.stack(row.id)
    assert rows_left(backend) == 0


@pytest.mark.parametrize(
    ("answer", "error", "text"),
    [
        (StackAnswer(StackState.NOT_RUNNING, note="it has just ended"), TaskStateError, "it has just ended"),
        (StackAnswer(StackState.SILENT, note="its process is stopped"), WaitTimeoutError, "is stopped"),
        ('{"state": "of a later version"}', WaitTimeoutError, "another version"),
        ("no JSON", WaitTimeoutError, "another version"),
    ],
)
def test_an_answer_without_a_stack_is_an_error(storage, backend, answer, error, text):
    row = begin(storage)
    with answering(backend.url, answer), pytest.raises(error, match=text):
        TaskQueueManager(storage).stack(row.id)
    assert rows_left(backend) == 0


def test_a_node_that_does_not_answer_is_named_within_three_seconds(storage, backend):
    row = begin(storage)
    began = time.monotonic()
    with pytest.raises(
        WaitTimeoutError, match=rf"not answered within 3 s: {NODE} on web-1, pid 42; .* heartbeat"
    ):
        TaskQueueManager(storage).stack(row.id)
    assert time.monotonic() - began < 4
    assert rows_left(backend) == 0


def test_a_task_that_ends_meanwhile_is_no_timeout(storage, backend, monkeypatch):
    monkeypatch.setattr(asking, "WAIT", 30.0)
    row = begin(storage)
    timer = threading.Timer(0.2, lambda: backend.new_storage().cancel_unless_finished(row.id))
    timer.start()
    with pytest.raises(TaskStateError, match="has stopped running meanwhile: it is canceled"):
        TaskQueueManager(storage).stack(row.id)
    timer.join()
