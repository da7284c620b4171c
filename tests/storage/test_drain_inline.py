"""Draining the queue in this process, on every backend: the same moves and records as a tree's."""

from __future__ import annotations

import asyncio
import logging
import math
from datetime import UTC, datetime, timedelta

import pytest

import goque
from goque import ConfigurationError, GoqueError, Task, TaskStatus
from goque.testing import assert_enqueued, assert_not_enqueued, enqueue_due_jobs, frozen_time

START = datetime(2026, 11, 23, 21, tzinfo=UTC)


@pytest.fixture
def registry():
    return goque.Registry()


@pytest.fixture
def queue(storage):
    return goque.TaskQueueManager(storage)


def test_all_that_is_due_is_run_and_recorded(registry, queue, storage):
    registry.add_processor("sum", lambda task: sum(task.payload), store_result=True)
    queue.add_tasks([Task("sum", [1, 2]), Task("sum", [3, 4])])
    later = queue.enqueue("sum", [5], delay=60)
    other = queue.enqueue("other")
    runs = queue.drain_inline(registry)
    assert [(run.status, run.result, run.returned) for run in runs] == [("done", 3, 3), ("done", 7, 7)]
    for run in runs:
        kept = queue.get_task(run.task.id)
        assert (kept.status, kept.result, kept.attempts, kept.claimed_by, kept.claims) == (
            "done",
            run.result,
            0,
            None,
            1,
        )
    assert {queue.get_task(task.id).status for task in (later, other)} == {TaskStatus.NEW}
    assert queue.drain_inline(registry) == []


def test_a_failure_is_charged_recorded_and_put_off(registry, queue, storage, caplog):
    def handler(task):
        raise ValueError("boom\nand more")

    registry.add_processor("mail", handler, retry=goque.retry.static(60), max_attempts=2)
    task = queue.enqueue("mail")
    caplog.set_level(logging.WARNING, "goque")
    (run,) = queue.drain_inline(registry)
    kept = queue.get_task(task.id)
    assert (kept.status, kept.attempts, kept.errors) == ("error", 1, "attempt 1: ValueError: boom\n")
    assert kept.next_attempt_at - kept.updated_at == timedelta(seconds=60)
    (attempt,) = storage.failed_attempts(task.id)
    assert (attempt.failed.cause, attempt.failed.error) == ("failed", "ValueError: boom\nand more")
    assert "in handler" in attempt.failed.traceback
    assert "goque/execution/inline.py" not in attempt.failed.traceback
    assert (run.error.args, run.written) == (("boom\nand more",), True)
    assert "attempt 1 of 2 failed: ValueError: boom; next in 60s" in caplog.text


@pytest.mark.parametrize("seconds", [math.inf, math.nan, -1])
def test_rate_limited_for_ever_fails_its_attempt_and_puts_nothing_off(registry, queue, seconds):
    def handler(task):
        if task.payload == "refused":
            raise goque.RateLimited(seconds)

    registry.add_processor("call", handler, retry=goque.retry.static(60))
    task = queue.enqueue("call", "refused")
    other = queue.enqueue("call", "fine")
    assert sorted(run.status for run in queue.drain_inline(registry)) == ["done", "error"]
    kept = queue.get_task(task.id)
    assert (kept.status, kept.attempts) == ("error", 1)
    assert kept.errors == (
        "attempt 1: goque.ConfigurationError: retry_after of RateLimited must be 0 or more seconds and under "
        f"100 years, not {seconds!r}\n"
    )
    assert kept.next_attempt_at - kept.updated_at == timedelta(seconds=60)
    assert queue.get_task(other.id).status == "done"


def test_a_rate_and_rate_limited_put_off_what_is_left_until_the_clock_comes_there(registry, queue):
    def handler(task):
        if task.payload == "refused" and clock.now < START + timedelta(seconds=100):
            raise goque.RateLimited(100)

    registry.add_processor("mail", handler, rate=goque.Rate(1, per=60, burst=2))
    registry.add_processor("call", handler, limit_key=lambda payload: payload)
    with frozen_time(queue, at=START) as clock:
        queue.add_tasks([Task("mail", "fine") for _ in range(3)])
        registry.prepare_tasks(
            calls := [Task("call", "refused"), Task("call", "refused"), Task("call", "fine")]
        )
        queue.add_tasks(calls)
        ran = [(run.task.type, run.task.payload) for run in queue.drain_inline(registry)]
        assert sorted(ran) == [("call", "fine"), ("call", "refused"), ("mail", "fine"), ("mail", "fine")]
        clock.advance(61)
        assert [run.task.type for run in queue.drain_inline(registry)] == ["mail"]
        clock.advance(40)
        assert [run.status for run in queue.drain_inline(registry)] == ["done", "done"]


def test_what_handlers_enqueue_is_run_too_and_retries_that_are_due(registry, queue):
    ran = []

    def first(task):
        ran.append(f"first {task.attempts}")
        if task.attempts < 2:
            raise goque.RetryTask("again", delay=0)
        queue.enqueue("second")

    registry.add_processor("second", lambda task: ran.append("second"))
    registry.add_processor("first", first)
    queue.enqueue("first")
    assert len(queue.drain_inline(registry)) == 4
    assert ran == ["first 0", "first 1", "first 2", "second"]


def test_only_the_types_that_are_asked_for_are_run(registry, queue):
    registry.add_processor("a", lambda task: None)
    registry.add_processor("b", lambda task: None)
    queue.add_tasks([Task("a"), Task("b")])
    assert [run.task.type for run in queue.drain_inline(registry, types=["b"])] == ["b"]
    with pytest.raises(ConfigurationError, match="no processor is registered for type 'c'"):
        queue.drain_inline(registry, types=["c"])
    with pytest.raises(ConfigurationError, match="types must be a list of task types, not 'a'"):
        queue.drain_inline(registry, types="a")


def test_priorities_come_first_and_paused_types_stay(registry, queue):
    ran = []
    registry.add_processor("mail", lambda task: ran.append(task.payload))
    queue.enqueue("mail", "low")
    queue.enqueue("mail", "high", priority=5)
    queue.drain_inline(registry)
    assert ran == ["high", "low"]
    queue.pause_type("mail")
    queue.enqueue("mail", "paused")
    assert queue.drain_inline(registry) == []
    queue.resume_type("mail")
    assert len(queue.drain_inline(registry)) == 1


def test_a_handler_sees_its_row_in_processing_and_may_cancel_it(registry, queue):
    seen = []

    def handler(task):
        seen.append(queue.get_task(task.id).status)
        queue.cancel_task(task.id)

    registry.add_processor("mail", handler)
    task = queue.enqueue("mail")
    (run,) = queue.drain_inline(registry)
    assert seen == [TaskStatus.PROCESSING]
    kept = queue.get_task(task.id)
    assert (run.status, run.written, kept.status, kept.claimed_by) == ("canceled", False, "canceled", None)


def test_a_test_that_ends_in_a_handler_gives_the_task_back(registry, queue, storage):
    def handler(task):
        raise KeyboardInterrupt

    registry.add_processor("mail", handler)
    task = queue.enqueue("mail")
    with pytest.raises(KeyboardInterrupt):
        queue.drain_inline(registry)
    kept = queue.get_task(task.id)
    assert (kept.status, kept.attempts, kept.claimed_by) == (TaskStatus.NEW, 0, None)
    assert storage.nodes() == []


def test_a_task_that_is_always_due_again_meets_the_limit(registry, queue):
    def handler(task):
        raise goque.Snooze(0)

    registry.add_processor("mail", handler)
    task = queue.enqueue("mail")
    with pytest.raises(GoqueError, match=r"has run 3 tasks, and one of type 'mail' is still due"):
        queue.drain_inline(registry, limit=3)
    assert queue.get_task(task.id).claimed_by is None


def test_tasks_that_are_being_added_in_the_background_are_waited_for(registry, queue):
    registry.add_processor("mail", lambda task: None)
    queue.add_task_in_background(Task("mail"))
    assert len(queue.drain_inline(registry)) == 1


def test_async_handlers_of_one_drain_share_a_loop_and_asyncio_callers_await_it(registry, storage):
    loops = []

    async def handler(task):
        loops.append(asyncio.get_running_loop())

    async def test():
        queue = goque.AsyncTaskQueueManager(storage)
        await queue.add_tasks([Task("mail"), Task("mail")])
        return await queue.drain_inline(registry)

    registry.add_processor("mail", handler)
    assert [run.status for run in asyncio.run(test())] == ["done", "done"]
    assert loops[0] is loops[1]


def test_frozen_time_decides_what_is_due(registry, queue, backend):
    def handler(task):
        if not task.attempts:
            raise ValueError("boom")

    registry.add_processor("mail", handler, retry=goque.retry.static(60))
    live = goque.TaskQueueManager(backend.url)
    with frozen_time(live, at=datetime(2031, 5, 1, 12, tzinfo=UTC)) as clock:
        task = live.enqueue("mail", delay=3600)
        assert task.created_at == clock.now
        assert live.drain_inline(registry) == []
        clock.advance(3600)
        assert [run.status for run in live.drain_inline(registry)] == ["error"]
        clock.advance(timedelta(seconds=59))
        assert live.drain_inline(registry) == []
        clock.advance(1)
        assert [run.status for run in live.drain_inline(registry)] == ["done"]
        assert live.get_task(task.id).updated_at == clock.now
        clock.move_to(datetime(2030, 1, 1, tzinfo=UTC))
        assert live.enqueue("mail").created_at.year == 2030
    assert abs(live.enqueue("mail").created_at - datetime.now(UTC)) < timedelta(minutes=5)
    live.close()


def test_a_scheduler_round_enqueues_each_due_slot_once(registry, queue):
    registry.add_processor("report", lambda task: None, priority=3)
    registry.add_periodic_job(
        goque.cron_job(
            "hourly", "0 * * * *", lambda slot: Task("report", {"of": slot.isoformat()}), misfire="all"
        )
    )
    noon = datetime(2026, 11, 25, 12, 0, 1, tzinfo=UTC)
    assert enqueue_due_jobs(registry, queue, noon) == []
    (first, second) = enqueue_due_jobs(registry, queue, noon + timedelta(hours=2))
    assert (first.external_id, second.external_id) == (
        "hourly:2026-11-25T13:00:00Z",
        "hourly:2026-11-25T14:00:00Z",
    )
    assert enqueue_due_jobs(registry, queue, noon + timedelta(hours=2)) == []
    assert_enqueued(queue, "report", payload={"of": "2026-11-25T13:00:00+00:00"}, priority=3)
    queue.storage.pause_job("hourly", noon + timedelta(hours=2))
    assert enqueue_due_jobs(registry, queue, noon + timedelta(hours=3)) == []


def test_what_was_enqueued_is_found_also_in_a_transaction(queue, backend):
    task = queue.enqueue("mail", {"to": "ada", "cc": [1]}, external_id="order-7", metadata={"tenant": "acme"})
    found = assert_enqueued(
        queue, "mail", payload={"cc": [1], "to": "ada"}, external_id="order-7", status="new", count=1
    )
    assert found.id == task.id
    assert_enqueued(queue, "mail", metadata={"tenant": "acme"})
    assert_not_enqueued(queue, "mail", external_id="order-8")
    assert_enqueued(goque.AsyncTaskQueueManager(queue.storage), "mail")
    assert_enqueued(queue, goque.Registry().declare("mail"))
    assert_not_enqueued(queue, goque.Registry().declare("sms"))
    conn = backend.connect()
    queue.enqueue("mail", external_id="inside", conn=conn)
    assert_enqueued(queue, "mail", external_id="inside", conn=conn)
    conn.rollback()
    conn.close()
    assert_not_enqueued(queue, "mail", external_id="inside")


def test_what_was_not_enqueued_is_told_with_the_difference(queue):
    with pytest.raises(AssertionError) as none:
        assert_enqueued(queue, "mail", external_id="order-7")
    assert str(none.value) == (
        "no task 'mail' with external_id 'order-7' is enqueued, and no other task of this type"
    )
    near = queue.enqueue("mail", {"to": "ada", "cc": [1, 2]}, external_id="order-7")
    far = queue.enqueue("mail", {"from": "bob"})
    with pytest.raises(AssertionError) as wrong:
        assert_enqueued(queue, "mail", payload={"to": "bob", "cc": [1, 3], "n": True}, external_id="order-7")
    head, *lines = str(wrong.value).splitlines()
    assert head == (
        """no task 'mail' with payload {"to":"bob","cc":[1,3],"n":true}, external_id 'order-7' is enqueued; """
        "the nearest of 2 of this type:"
    )
    assert lines == [
        f"  {near.id} new external_id 'order-7'",
        "    payload.to: wanted 'bob', is 'ada'",
        "    payload.cc[1]: wanted 3, is 2",
        "    payload.n: wanted true, but it is missing",
        f"  {far.id} new",
        "    payload.to: wanted 'bob', but it is missing",
        "    payload.cc: wanted [1,3], but it is missing",
        "    payload.n: wanted true, but it is missing",
        "    payload.from: 'bob' was not wanted",
        f"    external_id: wanted 'order-7', is '{far.external_id}'",
    ]
    with pytest.raises(AssertionError, match=r"a task 'mail' with .* is enqueued 1 times, not 2 times"):
        assert_enqueued(queue, "mail", external_id="order-7", count=2)
    with pytest.raises(AssertionError, match=r"a task 'mail' is enqueued:\n  .* payload {\"from\":\"bob\"}"):
        assert_not_enqueued(queue, "mail")
