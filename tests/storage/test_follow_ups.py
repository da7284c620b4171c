"""Follow-ups on every backend: inserted with the end of their handler, or not at all."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from backends import claim, done

import goque
from goque import DuplicateTaskError, GoqueError, Task, TaskFilter, UnknownTypeError
from goque.execution import follow_ups
from goque.flows.task_to_insert import TaskToInsert
from goque.outcome import Outcome, OutcomeKind, settle
from goque.task_rules.retry_policy import RetryPolicy
from goque.testing import run_task


class Email(msgspec.Struct):
    to: str


@pytest.fixture
def registry():
    return goque.Registry()


@pytest.fixture
def queue(storage):
    return goque.TaskQueueManager(storage)


def of_type(queue, task_type):
    return queue.get_tasks(TaskFilter(task_type=task_type))


def success(row, *tasks, on_conflict="raise"):
    """Return the change of a handler that ended well and left these tasks behind."""
    new = tuple(TaskToInsert.of(task, on_conflict) for task in tasks)
    return settle(Outcome(OutcomeKind.DONE, follow_ups=new), row, RetryPolicy())


def test_they_are_inserted_as_an_enqueue_would_and_their_delay_counts_from_the_end(registry, queue):
    due = datetime.now(UTC) + timedelta(days=1)

    @registry.processor("mail", priority=7)
    def mail(email: Email):
        raise AssertionError("not due yet")

    @registry.processor("report")
    def report(task: Task):
        goque.follow_up(mail, Email("a"), delay=60, external_id="x", metadata={"by": "report"})
        made = goque.follow_up("mail", {"to": "b"}, run_at=due, priority=-3)
        assert not made.inserted

    with goque.with_value("tenant", "acme"):
        queue.enqueue("report")
    [run] = queue.drain_inline(registry)
    assert run.status == "done", run.errors
    first, second = sorted(of_type(queue, "mail"), key=lambda task: task.payload["to"])
    assert [task.id for task in run.follow_ups] == [first.id, second.id]
    assert (first.external_id, first.priority) == ("x", 7)
    assert first.metadata == {"tenant": "acme", "by": "report"}
    assert (first.next_attempt_at - first.created_at) == timedelta(seconds=60)
    assert (second.priority, second.metadata) == (-3, {"tenant": "acme"})
    assert abs(second.next_attempt_at - due) < timedelta(milliseconds=1)


def test_those_of_a_coroutine_are_inserted_and_run_in_the_same_drain(registry, queue):
    registry.add_processor("end", lambda task: None)

    @registry.processor("chain")
    async def chain(task: Task):
        await asyncio.sleep(0)
        await asyncio.to_thread(goque.follow_up, "end" if task.payload == 3 else "chain", task.payload + 1)

    queue.enqueue("chain", 1)
    runs = queue.drain_inline(registry)
    assert [(run.task.type, run.task.payload) for run in runs] == [
        ("chain", 1), ("chain", 2), ("chain", 3), ("end", 4)
    ]  # fmt: skip


@pytest.mark.parametrize(
    "error",
    [ValueError("x"), goque.TaskCanceled("x"), goque.Snooze(60), goque.RetryTask("x"), goque.RateLimited(60)],
    ids=lambda error: type(error).__name__,
)
def test_an_attempt_that_does_not_end_well_inserts_none(registry, queue, error):
    @registry.processor("report")
    def report(task: Task):
        goque.follow_up("report")
        raise error

    queue.enqueue("report")
    [run] = queue.drain_inline(registry)
    assert run.status != "done"
    assert run.follow_ups == []
    assert len(of_type(queue, "report")) == 1


def test_a_result_that_cannot_be_stored_inserts_none(registry, queue):
    registry.add_processor(
        "report", lambda task: goque.follow_up("report") and object(), store_result=True, max_attempts=1
    )
    queue.enqueue("report")
    [run] = queue.drain_inline(registry)
    assert (run.status, len(of_type(queue, "report"))) == ("attempts_left", 1)


def test_a_taken_place_fails_the_attempt_with_its_name_and_no_other_task_of_the_batch(storage, queue):
    taken = queue.enqueue("mail", external_id="taken")
    queue.add_tasks([Task("report", number) for number in range(4)])
    rows = claim(storage, task_type="report")
    changes = [
        success(rows[0], Task("mail", 0), Task("mail", external_id="first")),
        success(rows[1], Task("mail", 1), Task("mail", external_id="taken")),
        done(rows[2]),
        success(rows[3], Task("mail", 3)),
    ]
    with pytest.raises(DuplicateTaskError) as raised:
        storage.settle_if_held(changes)
    assert raised.value.existing_id == taken.id
    assert len(of_type(queue, "mail")) == 1
    changes[1] = changes[1].success.refused(str(raised.value))
    assert storage.settle_if_held(changes) == {row.token for row in rows}
    assert {queue.get_task(row.id).status for row in (rows[0], rows[2], rows[3])} == {"done"}
    failed = queue.get_task(rows[1].id)
    assert (failed.status, failed.attempts) == ("error", 1)
    assert "'taken' exists already" in failed.errors
    assert sorted(task.payload for task in of_type(queue, "mail") if task.payload != {}) == [0, 3]


def test_two_handlers_that_want_one_place_do_not_both_end_well(storage, queue):
    queue.add_tasks([Task("report"), Task("report")])
    rows = claim(storage, task_type="report")
    with pytest.raises(DuplicateTaskError):
        storage.settle_if_held([success(row, Task("mail", external_id="one")) for row in rows])
    assert of_type(queue, "mail") == []


@pytest.mark.parametrize(("on_conflict", "payload"), [("skip", "old"), ("replace", "new")])
def test_on_conflict_says_what_becomes_of_a_taken_place(registry, queue, on_conflict, payload):
    queue.enqueue("mail", "old", external_id="taken", delay=60)
    registry.declare("mail")

    @registry.processor("report")
    def report(task: Task):
        goque.follow_up("mail", "new", external_id="taken", on_conflict=on_conflict)

    queue.enqueue("report")
    [run] = queue.drain_inline(registry)
    assert run.status == "done", run.errors
    [task] = of_type(queue, "mail")
    assert task.payload == payload


def test_a_unique_key_keeps_out_a_second_one_and_a_debounce_replaces(registry, queue):
    registry.declare("mail")
    options = {
        "by key": {"unique": "waiting", "unique_key": "k"},
        "debounced": {"debounce": 60, "unique_key": "d"},
    }

    @registry.processor("report", max_attempts=1)
    def report(task: Task):
        goque.follow_up("mail", task.payload, **options[task.payload["how"]])

    tasks = [queue.enqueue("report", {"how": how, "n": n}) for n in (1, 2) for how in options]
    queue.drain_inline(registry)
    ends = [queue.get_task(task.id) for task in tasks]
    assert [task.status for task in ends] == ["done", "done", "attempts_left", "done"]
    assert "unique key" in ends[2].errors
    assert sorted(task.payload["n"] for task in of_type(queue, "mail")) == [1, 2]


def test_a_claim_that_is_lost_inserts_none(storage, queue):
    task = queue.enqueue("report")
    [row] = claim(storage, task_type="report")
    queue.cancel_task(task.id)
    assert storage.settle_if_held([success(row, Task("mail"))]) == set()
    assert of_type(queue, "mail") == []


def test_a_type_with_limits_counts_them_by_their_keys(registry, queue):
    @registry.processor("sync", limit_per_key=1, limit_key=lambda payload: payload["tenant"])
    def sync(payload: dict[str, str]):
        pass

    registry.add_processor("start", lambda task: goque.follow_up(sync, {"tenant": "acme"}) and None)
    queue.enqueue("start")
    queue.drain_inline(registry, types=["start"])
    [task] = of_type(queue, "sync")
    assert task.limit_key == "acme"


def test_options_are_checked_when_it_is_called(registry):
    caught = []

    @registry.processor("mail")
    def mail(email: Email):
        pass

    calls = [
        (UnknownTypeError, lambda: goque.follow_up("mial")),
        (goque.InvalidPayloadFormatError, lambda: goque.follow_up(mail, {"from": 1})),
        (goque.ConfigurationError, lambda: goque.follow_up(mail, Email("a"), priority=1000)),
        (goque.ConfigurationError, lambda: goque.follow_up(mail, Email("a"), on_conflict="maybe")),
        (goque.ConfigurationError, lambda: goque.follow_up(mail, Email("a"), unique_key="k")),
    ]

    @registry.processor("report")
    def report(task: Task):
        for kind, call in calls:
            with pytest.raises(kind):
                call()
            caught.append(kind)

    run = run_task(registry, Task("report")).raise_for_error()
    assert len(caught) == len(calls)
    assert run.follow_ups == []


def test_there_is_a_most_of_them_and_of_their_size(registry, monkeypatch):
    monkeypatch.setattr(follow_ups, "MOST", 2)
    monkeypatch.setenv("GOQUE_MAX_PAYLOAD", "100")

    @registry.processor("report")
    def report(task: Task):
        for size in task.payload:
            goque.follow_up("report", "x" * size)

    assert len(run_task(registry, Task("report", [30, 30])).follow_ups) == 2
    assert "at most 2 follow-ups" in str(run_task(registry, Task("report", [0, 0, 0])).error)
    assert "max_payload 100 bytes in all" in str(run_task(registry, Task("report", [50, 50])).error)


def test_outside_of_a_handler_and_after_its_end_it_is_refused(registry):
    with pytest.raises(GoqueError, match="only in a handler"):
        goque.follow_up("report")
    errors = []

    def too_late(task, error):
        with pytest.raises(GoqueError, match="too late"):
            goque.follow_up("report")
        errors.append(error)

    registry.add_processor("report", lambda task: goque.follow_up("report") and None, hooks_after=too_late)
    assert len(run_task(registry, Task("report")).follow_ups) == 1
    registry.add_processor("quiet", lambda task: None, hooks_after=too_late)
    registry.add_processor("failing", lambda task: 1 / 0, hooks_after=too_late)
    run_task(registry, Task("quiet"))
    failed = run_task(registry, Task("failing"))
    assert errors == [None, None, failed.error]


def test_a_task_that_was_built_before_may_be_a_follow_up(registry):
    built = []

    @registry.processor("report")
    def report(task: Task):
        built.append(Task("report", 7, priority=3))
        goque.follow_up(built[0])
        with pytest.raises(goque.ConfigurationError, match="has its payload"):
            goque.follow_up(built[0], 8)

    [task] = run_task(registry, Task("report")).follow_ups
    assert (task.id, task.payload, task.priority) == (built[0].id, 7, 3)


def test_a_retry_after_a_lost_answer_inserts_them_once(queue, storage):
    """The first settlement took effect; the second finds another claim, and must not insert anything."""
    queue.enqueue("report")
    [row] = claim(storage, task_type="report")
    assert storage.settle_if_held([success(row, Task("mail"))]) == {row.token}
    assert storage.settle_if_held([success(row, Task("mail"))]) == set()
    assert len(of_type(queue, "mail")) == 1
