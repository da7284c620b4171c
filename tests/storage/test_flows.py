"""Flows on every backend: blocked until the last need has ended, canceled with one that ended badly."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from datetime import timedelta

import pytest
from backends import claim, done

import goque
from goque import (
    ConfigurationError,
    DuplicateTaskError,
    Flow,
    GoqueError,
    Task,
    TaskNotFoundError,
    TaskStateError,
)
from goque.flows.task_to_insert import TaskToInsert
from goque.outcome import Outcome, OutcomeKind, settle
from goque.storage.sql.flows import cleaning, flow_steps
from goque.task_row import TaskStatus
from goque.task_rules.retry_policy import RetryPolicy
from goque.testing import ended_need, run_task

FAILS: list[bool] = []
"""Whether tasks of type `fails` do so."""


@pytest.fixture
def registry():
    made = goque.Registry()

    @made.processor("part")
    def part(task: Task):
        if task.payload == "cancel":
            raise goque.TaskCanceled("enough")
        return {"n": task.payload}

    @made.processor("join", store_result=True)
    def join(task: Task):
        return [[need.type, need.status, need.result, need.error] for need in goque.current_task().needs]

    @made.processor("fails", max_attempts=1)
    def fails(task: Task):
        return 1 / 0 if FAILS else None

    FAILS[:] = [True]
    return made


@pytest.fixture
def queue(storage, registry):
    return goque.TaskQueueManager(storage, prepare_tasks=registry.prepare_tasks)


def flow_of(queue, *nodes, name="flow"):
    """Insert a flow of (type, payload, numbers of needs, when) and return its tasks."""
    flow = Flow(name)
    tasks = []
    for task_type, payload, needs, *when in nodes:
        wants = when[0] if when else "done"
        tasks.append(flow.add(task_type, payload, needs=[tasks[need] for need in needs], when=wants))
    queue.enqueue_flow(flow)
    return flow, tasks


def statuses(queue, flow):
    return [task.status.value for task in queue.get_flow(flow.id).tasks]


def end(storage, row, kind=OutcomeKind.DONE, **fields):
    change = settle(Outcome(kind, **fields), row, RetryPolicy(max_attempts=1))
    assert storage.settle_if_held([change]) == {row.token}


def test_a_task_waits_for_its_needs_and_finds_their_results_in_their_order(registry, queue):
    flow, tasks = flow_of(queue, ("part", 1, []), ("part", 2, []), ("join", None, [1, 0]), ("join", 0, [2]))
    assert statuses(queue, flow) == ["new", "new", "blocked", "blocked"]
    assert queue.get_flow(flow.id).needs == {
        tasks[2].id: (tasks[1].id, tasks[0].id),
        tasks[3].id: (tasks[2].id,),
    }
    runs = queue.drain_inline(registry)
    assert [run.status for run in runs] == ["done"] * 4
    first = [["part", "done", {"n": 2}, None], ["part", "done", {"n": 1}, None]]
    assert [run.result for run in runs[2:]] == [first, [["join", "done", first, None]]]
    state = queue.wait_flow(flow.id, timeout=5)
    assert (state.id, state.name, state.status) == (flow.id, "flow", "done")
    assert queue.get_task(tasks[0].id).result == {"n": 1}  # kept, because another task needs it


def test_a_handler_with_needs_is_tested_without_a_database(registry):
    needs = [ended_need("part", {"n": 1}), ended_need("part", status="canceled", error="enough")]
    run = run_task(registry, Task("join"), needs=needs)
    assert run.result == [["part", "done", {"n": 1}, None], ["part", "canceled", None, "enough"]]


def test_a_task_without_needs_has_an_empty_tuple(registry, queue):
    queue.enqueue("join")
    [run] = queue.drain_inline(registry)
    assert run.result == []


@pytest.mark.parametrize(
    ("bad", "cause"),
    [("fails", "ZeroDivisionError: division by zero"), ("part", "enough")],
)
def test_an_end_that_is_not_done_cancels_down_the_flow_with_its_cause(registry, queue, bad, cause):
    flow, tasks = flow_of(
        queue,
        (bad, "cancel", []),
        ("part", 1, []),
        ("join", None, [0, 1]),
        ("join", None, [2]),
        ("join", None, [3, 1], "ended"),
    )
    runs = queue.drain_inline(registry)
    assert statuses(queue, flow)[2:] == ["canceled", "canceled", "done"]
    assert queue.get_flow(flow.id).status == "failed"
    errors = [task.errors for task in queue.get_flow(flow.id).tasks]
    assert errors[2] == f"canceled: needs {bad} {tasks[0].id}: {cause}\n"
    assert errors[3] == f"canceled: needs join {tasks[2].id}: needs {bad} {tasks[0].id}: {cause}\n"
    last = runs[-1].result
    assert last[0][:3] == ["join", "canceled", None]
    assert last[0][3].startswith(f"needs join {tasks[2].id}: ")
    assert last[1] == ["part", "done", {"n": 1}, None]


def test_a_need_that_fails_with_attempts_left_blocks_on(storage, queue):
    flow, _ = flow_of(queue, ("part", 1, []), ("join", None, [0]))
    [row] = claim(storage, task_type="part")
    storage.settle_if_held([settle(Outcome(OutcomeKind.FAILED, "x", delay=0.0), row, RetryPolicy())])
    assert statuses(queue, flow) == ["error", "blocked"]
    [row] = claim(storage, task_type="part")
    end(storage, row)
    assert statuses(queue, flow) == ["done", "new"]


def test_a_blocked_task_is_not_claimed_and_one_that_is_ready_is_due_at_once(storage, queue):
    flow_of(queue, ("part", 1, []), ("join", None, [0]))
    assert claim(storage, task_type="join") == []
    assert storage.seconds_until_due("join") is None
    [row] = claim(storage, task_type="part")
    end(storage, row)
    [joined] = claim(storage, task_type="join")
    assert [need.id for need in joined.needs] == [row.id]
    assert storage.claimed_by_owner("node-1")[0].needs == joined.needs


def test_two_last_needs_that_end_at_once_on_two_nodes_leave_nothing_blocked(storage, other, queue):
    for _ in range(10):
        flow, _ = flow_of(queue, *[("part", n, []) for n in range(4)], ("join", None, [0, 1, 2, 3]))
        rows = claim(storage, task_type="part")
        start = threading.Barrier(2)

        def settle_some(node, some, start=start):
            start.wait()
            for row in some:
                node.settle_if_held([done(row, is_needed=True)])

        threads = [
            threading.Thread(target=settle_some, args=pair)
            for pair in ((storage, rows[:2]), (other, rows[2:]))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert statuses(queue, flow) == ["done"] * 4 + ["new"]
        [row] = claim(storage, task_type="join")
        assert len(row.needs) == 4


def test_a_cancel_counts_as_the_end_when_the_handler_has_stopped(storage, queue):
    flow, tasks = flow_of(queue, ("part", 1, []), ("join", None, [0]), ("join", None, [0], "ended"))
    [row] = claim(storage, task_type="part")
    assert queue.cancel_task(tasks[0].id)
    assert statuses(queue, flow) == ["canceled", "blocked", "blocked"]
    assert queue.get_flow(flow.id).status == "open"
    change = settle(Outcome(OutcomeKind.DONE), row, RetryPolicy())
    assert storage.settle_if_held([change]) == set()
    assert statuses(queue, flow) == ["canceled", "canceled", "new"]
    assert queue.get_task(tasks[1].id).errors == f"canceled: needs part {tasks[0].id}: canceled\n"


@pytest.mark.parametrize("beside", [False, True], ids=["alone", "beside-a-retry"])
@pytest.mark.parametrize(
    ("kind", "is_canceled", "expected"),
    [
        (OutcomeKind.DONE, False, "new"),
        (OutcomeKind.FAILED, False, "canceled"),
        (OutcomeKind.CANCELED, False, "canceled"),
        (OutcomeKind.DONE, True, "canceled"),
        (OutcomeKind.FAILED, True, "canceled"),
        (OutcomeKind.CANCELED, True, "canceled"),
        (OutcomeKind.INTERRUPTED, True, "canceled"),
    ],
)
def test_a_flow_that_comes_while_its_need_runs_sees_each_end_of_it(
    storage, queue, *, kind, is_canceled, expected, beside
):
    part = queue.add_task(goque.Task("part", 1))
    retried = queue.add_task(goque.Task("part", 2))
    rows = {row.id: row for row in claim(storage, task_type="part", limit=2)}
    if is_canceled:
        assert queue.cancel_task(part.id)
    flow = Flow("newer")
    flow.add("join", None, needs=[part])
    queue.enqueue_flow(flow)
    assert statuses(queue, flow) == ["blocked"]
    changes = [settle(Outcome(kind), rows[part.id], RetryPolicy(max_attempts=1))]
    if beside:
        changes.append(settle(Outcome(OutcomeKind.FAILED), rows[retried.id], RetryPolicy()))
    storage.settle_if_held(changes)
    assert statuses(queue, flow) == [expected]
    assert storage.go_on_with_flows() == 0


def test_a_canceled_task_that_nobody_runs_cancels_at_once(queue):
    flow, tasks = flow_of(queue, ("part", 1, []), ("join", None, [0]), ("join", None, [1]))
    assert queue.cancel_task(tasks[1].id)
    assert statuses(queue, flow) == ["new", "canceled", "canceled"]
    assert queue.get_task(tasks[1].id).errors is None


def test_a_reset_blocks_again_what_was_canceled_because_of_it_and_leaves_the_rest(registry, queue):
    flow, tasks = flow_of(
        queue,
        ("fails", None, []),
        ("part", 1, []),
        ("join", None, [0]),
        ("join", None, [2, 1]),
        ("part", 2, [0], "ended"),
        ("join", None, [0]),
    )
    queue.cancel_task(tasks[5].id)
    queue.drain_inline(registry)
    assert statuses(queue, flow) == ["attempts_left", "done", "canceled", "canceled", "done", "canceled"]
    with pytest.raises(TaskStateError, match=r"reset task .* instead"):
        queue.reset_attempts(tasks[2].id)
    assert queue.reset_attempts(tasks[0].id)
    assert statuses(queue, flow) == ["new", "done", "blocked", "blocked", "done", "canceled"]
    with pytest.raises(TaskStateError, match="is blocked"):
        queue.reset_attempts(tasks[3].id)
    FAILS.clear()
    queue.drain_inline(registry)
    assert statuses(queue, flow) == ["done", "done", "done", "done", "done", "canceled"]
    assert queue.reset_attempts(tasks[5].id)
    assert statuses(queue, flow)[5] == "new"


def test_a_reset_blocks_again_what_might_be_claimed_or_waits_for_a_retry(storage, queue):
    flow, tasks = flow_of(
        queue, ("part", 1, []), ("join", 1, [0]), ("join", 2, [0]), ("join", 3, [0], "ended")
    )
    [row] = claim(storage, task_type="part")
    end(storage, row)
    [failing] = claim(storage, task_type="join", limit=1)
    storage.settle_if_held([settle(Outcome(OutcomeKind.FAILED, "x", delay=0.0), failing, RetryPolicy())])
    assert sorted(statuses(queue, flow)) == ["done", "error", "new", "new"]
    assert queue.reset_attempts(tasks[0].id)
    assert statuses(queue, flow) == ["new", "blocked", "blocked", "blocked"]
    assert claim(storage, task_type="join") == []
    [row] = claim(storage, task_type="part")
    end(storage, row)
    assert sorted(statuses(queue, flow)) == ["done", "error", "new", "new"]
    assert [task.attempts for task in queue.get_flow(flow.id).tasks if task.status == "error"] == [1]


def test_a_refused_reset_names_the_task_at_the_root_or_says_that_it_is_gone(registry, queue, storage):
    _flow, tasks = flow_of(queue, ("fails", 1, []), ("join", 1, [0]), ("join", 2, [1]))
    queue.drain_inline(registry)
    with pytest.raises(TaskStateError, match=f"needs task {tasks[0].id}, which failed or was canceled"):
        queue.reset_attempts(tasks[2].id)
    storage.delete_if_finished([tasks[0].id])
    with pytest.raises(TaskStateError, match="was deleted: it can never run"):
        queue.reset_attempts(tasks[2].id)


def test_a_need_is_deleted_only_after_the_tasks_that_need_it(storage, registry, queue):
    flow, [part, join] = flow_of(queue, ("part", 1, []), ("join", 1, [0]))
    other = queue.enqueue("part", 2)
    queue.drain_inline(registry, types=["part"])
    assert storage.delete_if_finished([part.id, other.id]) == {other.id}
    [run] = queue.drain_inline(registry)
    assert run.result == [["part", "done", {"n": 1}, None]]
    assert storage.delete_if_finished([part.id, join.id]) == {part.id, join.id}
    assert queue.get_flow(flow.id).tasks == []


@pytest.mark.parametrize("backend", ["postgresql", "mysql"], indirect=True)
def test_a_need_of_a_flow_that_is_not_committed_is_not_deleted(storage, queue, registry, backend):
    task = queue.enqueue("part", 1)
    queue.drain_inline(registry)
    flow = Flow("open")
    flow.add("join", needs=[task])
    deleted = []
    with contextlib.closing(backend.connect()) as connection:
        queue.enqueue_flow(flow, conn=connection)
        deleting = threading.Thread(target=lambda: deleted.append(storage.delete_if_finished([task.id])))
        deleting.start()
        deleting.join(0.3)
        connection.commit()
        deleting.join()
    assert deleted == [set()]
    assert queue.get_task(task.id).status == "done"


def test_the_end_of_a_long_chain_tells_the_cause_at_its_root(registry, queue):
    _flow, tasks = flow_of(queue, ("fails", 0, []), *[("join", n, [n - 1]) for n in range(1, 60)])
    queue.drain_inline(registry)
    last = queue.get_task(tasks[-1].id)
    assert last.errors.startswith(f"canceled: needs join {tasks[-2].id}: needs join ")
    assert last.errors.endswith("ZeroDivisionError: division by zero\n")
    assert len(last.errors) < 1200


def test_two_failed_needs_must_both_run_again(storage, registry, queue):
    flow, tasks = flow_of(queue, ("fails", 1, []), ("fails", 2, []), ("join", None, [0, 1]))
    queue.drain_inline(registry)
    assert statuses(queue, flow) == ["attempts_left", "attempts_left", "canceled"]
    queue.reset_attempts(tasks[0].id)
    assert statuses(queue, flow) == ["new", "attempts_left", "canceled"]
    queue.reset_attempts(tasks[1].id)
    assert statuses(queue, flow) == ["new", "new", "blocked"]


def test_a_reset_while_the_dependent_is_claimed_leaves_it_alone(storage, queue):
    flow, tasks = flow_of(queue, ("part", 1, []), ("join", None, [0]))
    [row] = claim(storage, task_type="part")
    end(storage, row)
    [joined] = claim(storage, task_type="join")
    assert queue.reset_attempts(tasks[0].id)
    assert statuses(queue, flow) == ["new", "pending"]
    end(storage, joined)
    [row] = claim(storage, task_type="part")
    end(storage, row)
    assert statuses(queue, flow) == ["done", "done"]


def test_cancel_flow_cancels_what_has_not_ended(storage, queue):
    flow, _ = flow_of(
        queue, ("part", 1, []), ("part", 2, []), ("join", None, [0, 1]), ("join", None, [2], "ended")
    )
    [row] = claim(storage, task_type="part", limit=1)
    end(storage, row)
    assert queue.cancel_flow(flow.id) == 3
    assert sorted(statuses(queue, flow)) == ["canceled", "canceled", "canceled", "done"]
    assert queue.cancel_flow(flow.id) == 0
    assert queue.get_flow(flow.id).status == "failed"


def test_needs_outside_of_the_flow_may_be_open_ended_or_missing(storage, registry, queue):
    open_one, ended, failed = (queue.enqueue("part", n, delay=60 if n == 0 else 0) for n in (0, 1, "cancel"))
    queue.drain_inline(registry)
    flow = Flow("outside")
    tasks = [flow.add("join", needs=[need]) for need in (open_one, ended.id, failed.id)]
    queue.enqueue_flow(flow)
    assert statuses(queue, flow) == ["blocked", "new", "canceled"]
    assert queue.get_task(tasks[2].id).errors == f"canceled: needs part {failed.id}: enough\n"
    queue.cancel_task(open_one.id)
    assert statuses(queue, flow)[0] == "canceled"
    unknown = Task("part").id
    wrong = Flow("unknown")
    wrong.add("join", needs=[unknown])
    with pytest.raises(TaskNotFoundError, match=unknown):
        queue.enqueue_flow(wrong)
    with pytest.raises(TaskNotFoundError, match="no flow has the id"):
        queue.get_flow(wrong.id)


@pytest.mark.parametrize("result", [None, b"1"])
def test_a_claim_from_before_the_flow_does_not_end_unseen(storage, queue, result):
    """The row of the claim does not say that the task is needed; that of its end does."""
    task = queue.enqueue("part", 1)
    [row] = claim(storage, task_type="part")
    flow = Flow("later")
    flow.add("join", needs=[task])
    queue.enqueue_flow(flow)
    end(storage, row, result=result)
    assert statuses(queue, flow) == ["new"]
    assert storage.go_on_with_flows() == 0


@pytest.mark.parametrize("beside", ["nothing", "a-retry", "a-follow-up"])
def test_a_result_is_kept_for_a_flow_that_came_while_its_need_ran(storage, queue, beside):
    tasks = [queue.enqueue("part", n) for n in range(3)]
    rows = {row.id: row for row in claim(storage, task_type="part")}
    flow = Flow("later")
    flow.add("join", needs=tasks[:1])
    queue.enqueue_flow(flow)
    more = (TaskToInsert.of(Task("next"), "raise"),) if beside == "a-follow-up" else ()
    outcomes = [Outcome(OutcomeKind.DONE, needed_result=b'{"n":42}', follow_ups=more)]
    outcomes += [Outcome(OutcomeKind.DONE, needed_result=b"1")]
    outcomes += [Outcome(OutcomeKind.FAILED)] if beside == "a-retry" else []
    written = storage.settle_if_held(
        [
            settle(outcome, rows[task.id], RetryPolicy())
            for task, outcome in zip(tasks, outcomes, strict=False)
        ]
    )
    assert len(written) == len(outcomes)
    [joined] = claim(storage, task_type="join")
    assert [need.result for need in joined.needs] == [{"n": 42}]
    assert [queue.get_task(task.id).result for task in tasks[:2]] == [{"n": 42}, None]


def test_a_result_is_not_kept_for_a_claim_that_is_lost(storage, queue):
    task = queue.enqueue("part", 1)
    [row] = claim(storage, task_type="part")
    flow = Flow("later")
    flow.add("join", needs=[task], when="ended")
    queue.enqueue_flow(flow)
    queue.cancel_task(task.id)
    change = settle(Outcome(OutcomeKind.DONE, needed_result=b"1"), row, RetryPolicy())
    assert storage.settle_if_held([change]) == set()
    assert queue.get_task(task.id).result is None
    assert statuses(queue, flow) == ["new"]


@pytest.mark.parametrize("is_older", [True, False], ids=["older", "newer"])
def test_a_need_whose_result_cannot_be_kept_is_done_and_a_warning_says_why(
    storage, registry, queue, caplog, is_older
):
    @registry.processor("odd", max_result=100)
    def odd(task: Task):
        return object() if task.payload == 1 else "x" * 200

    tasks = [queue.enqueue("odd", n) for n in (1, 2)]
    rows = [] if is_older else claim(storage, task_type="odd")
    flow = Flow("needs them")
    flow.add("join", needs=tasks)
    queue.enqueue_flow(flow)
    if is_older:
        assert [run.status for run in queue.drain_inline(registry)] == ["done"] * 3
    else:
        storage.settle_if_held(
            [settle(Outcome(OutcomeKind.DONE, no_result="it is odd"), row, RetryPolicy()) for row in rows]
        )
    assert [queue.get_task(task.id).status for task in tasks] == ["done", "done"]
    texts = [record.getMessage() for record in caplog.records if record.name == "goque.storage"]
    said = "result of type object cannot be JSON" if is_older else "it is odd"
    assert texts[0].startswith(
        f"task {tasks[0].id} of type odd is done without a result, but other tasks need it: {said}"
    )
    assert len(texts) == 2


def test_ends_by_other_programs_and_deleted_needs_are_found(storage, backend, queue):
    flow, tasks = flow_of(queue, ("part", 1, []), ("part", 2, []), ("join", None, [0]), ("join", None, [1]))
    backend.execute(f"UPDATE goque_task SET status = 'done' WHERE id = '{tasks[0].id}'")
    backend.execute(f"DELETE FROM goque_task WHERE id = '{tasks[1].id}'")
    assert storage.go_on_with_flows() == 2
    assert statuses(queue, flow) == ["done", "new", "canceled"]
    assert queue.get_task(tasks[3].id).errors == f"canceled: needs {tasks[1].id}: it was deleted\n"
    assert storage.go_on_with_flows() == 0


def test_a_flow_is_inserted_whole_or_not_at_all(queue, backend):
    queue.enqueue("part", external_id="taken")
    flow = Flow("half")
    first = flow.add("part", 1)
    flow.add("part", 2, external_id="taken", needs=[first])
    says = "^flow 'half' is not inserted: a task of type 'part' with external id 'taken' .*; use another external id$"
    with pytest.raises(DuplicateTaskError, match=says):
        queue.enqueue_flow(flow)
    with contextlib.closing(backend.connect()) as connection, pytest.raises(DuplicateTaskError, match=says):
        queue.enqueue_flow(flow, conn=connection)
    assert len(queue.get_tasks()) == 1
    with pytest.raises(TaskNotFoundError):
        queue.get_flow(flow.id)


def test_a_flow_joins_the_callers_transaction(queue, backend):
    with contextlib.closing(backend.connect()) as connection:
        flow = Flow("mine")
        first = flow.add("part", 1)
        flow.add("join", needs=[first])
        queue.enqueue_flow(flow, conn=connection)
        assert queue.get_flow(flow.id, conn=connection).status == "open"
        connection.rollback()
    with pytest.raises(TaskNotFoundError):
        queue.get_flow(flow.id)
    queue.enqueue_flow(flow)  # as the application does that tries its transaction again
    assert statuses(queue, flow) == ["new", "blocked"]


def test_what_is_wrong_with_a_flow_is_said_before_anything_is_inserted(queue):
    flow = Flow("wrong")
    with pytest.raises(ConfigurationError, match="has no task"):
        queue.enqueue_flow(flow)
    with pytest.raises(ConfigurationError, match=r"give a goque\.Flow"):
        queue.enqueue_flow([flow])
    a, b = Task("part", 1), Task("part", 2)
    flow.add(a, needs=[b])
    with pytest.raises(ConfigurationError, match="neither in flow 'wrong' nor in the queue"):
        queue.enqueue_flow(flow)
    flow.add(b, needs=[a])
    with pytest.raises(ConfigurationError, match="has a circle"):
        queue.enqueue_flow(flow)
    with pytest.raises(ConfigurationError, match="when must be"):
        flow.add("part", when="never")
    with pytest.raises(ConfigurationError, match="in the flow already"):
        flow.add(a)
    with pytest.raises(ConfigurationError, match="list of tasks or ids"):
        flow.add("part", needs=a)
    with pytest.raises(ConfigurationError, match="ids of tasks"):
        flow.add("part", needs=["no id"])
    own = Flow("itself")
    me = Task("part")
    own.add(me, needs=[me])
    with pytest.raises(ConfigurationError, match="has a circle"):
        queue.enqueue_flow(own)
    unknown = Flow("unknown type")
    unknown.add("prat")
    with pytest.raises(goque.UnknownTypeError, match="part"):
        queue.enqueue_flow(unknown)
    assert queue.get_tasks() == []


def test_a_task_of_a_flow_is_inserted_by_the_flow_alone(registry, queue):
    flow = Flow("f")
    first = flow.add("part", 1)
    second = flow.add("join", needs=[first])
    says = rf"task {second.id} of type 'join' is in flow 'f'; enqueue the flow"
    asynchronous = goque.AsyncTaskQueueManager(queue.storage)
    with pytest.raises(ConfigurationError, match=says):
        queue.add_task(second)
    with pytest.raises(ConfigurationError, match=says):
        queue.add_tasks([Task("part"), second])
    with pytest.raises(ConfigurationError, match=says):
        queue.add_task_in_background(second)
    with pytest.raises(ConfigurationError, match=says):
        asyncio.run(asynchronous.add_task(second))
    with pytest.raises(ConfigurationError, match=says):
        asyncio.run(asynchronous.add_tasks([second]))
    registry.add_processor("hand_on", lambda task: goque.follow_up(second))
    with pytest.raises(ConfigurationError, match=says):
        raise run_task(registry, Task("hand_on")).error
    assert queue.get_tasks() == []
    queue.enqueue_flow(flow)
    assert statuses(queue, flow) == ["new", "blocked"]


def test_a_flow_is_inserted_once(queue):
    flow, _ = flow_of(queue, ("part", 1, []))
    with pytest.raises(DuplicateTaskError, match=r"^flow 'flow' is enqueued already$"):
        queue.enqueue_flow(flow)
    with pytest.raises(GoqueError, match="add all tasks before that"):
        flow.add("part", 2)
    assert len(queue.get_tasks()) == 1


def test_a_flow_may_be_a_follow_up(registry, queue):
    flows: list[Flow] = []

    @registry.processor("plan", max_attempts=2, retry=goque.retry.static(0))
    def plan(task: Task):
        flow = Flow("made by a handler")
        parts = [flow.add("part", n) for n in range(3)]
        flow.add("join", needs=parts)
        flows.append(goque.follow_up(flow))
        if not task.attempts:
            raise ValueError("once")

    queue.enqueue("plan")
    runs = queue.drain_inline(registry)
    assert [task.type for task in runs[1].follow_ups] == ["part", "part", "part", "join"]
    with pytest.raises(TaskNotFoundError):
        queue.get_flow(flows[0].id)
    assert queue.get_flow(flows[1].id).status == "done"


def test_a_flow_that_a_handler_leaves_may_need_its_task_and_finds_the_result(registry, queue):
    flows: list[Flow] = []

    @registry.processor("plan")
    def plan(task: Task):
        flow = Flow("after me")
        flow.add("join", needs=[task])
        flow.add("join", needs=[task.id], when="ended")
        flows.append(goque.follow_up(flow))
        return {"parts": 3}

    queue.enqueue("plan")
    runs = queue.drain_inline(registry)
    assert [run.result for run in runs[1:]] == [[["plan", "done", {"parts": 3}, None]]] * 2
    assert queue.get_flow(flows[0].id).status == "done"


def test_limits_and_unique_keys_hold_for_tasks_of_flows(registry, queue, storage):
    @registry.processor("one", limit=1, unique="active", unique_key="k")
    def one(task: Task):
        pass

    flow = Flow("unique")
    first = flow.add("part", 1)
    flow.add("one", needs=[first])
    queue.enqueue_flow(flow)
    with pytest.raises(DuplicateTaskError):
        queue.enqueue("one")
    assert [run.status for run in queue.drain_inline(registry)] == ["done", "done"]


@pytest.mark.parametrize("options", [{"debounce": 30}, {"unique": "active"}], ids=["debounce", "replace"])
def test_a_blocked_task_is_replaced_as_one_that_waits_and_keeps_its_needs(storage, queue, clock, options):
    flow = Flow("blocked")
    need = flow.add("part", 1)
    blocked = flow.add("join", 1, needs=[need], unique_key="k", **options)
    queue.enqueue_flow(flow)
    on_conflict = "raise" if "debounce" in options else "replace"
    late = {} if "debounce" in options else {"delay": 30}
    there = queue.enqueue("join", 2, unique_key="k", on_conflict=on_conflict, **options, **late)
    assert (there.id, there.inserted, there.payload, there.status) == (blocked.id, False, 2, "blocked")
    [row] = claim(storage, task_type="part")
    end(storage, row)
    assert statuses(queue, flow) == ["done", "new"]
    assert claim(storage, task_type="join") == []
    clock.advance(31)
    [row] = claim(storage, task_type="join")
    assert (row.payload, [one.id for one in row.needs]) == (b"2", [need.id])
    end(storage, row)
    assert queue.enqueue("join", 3, unique_key="k", on_conflict=on_conflict, **options).inserted


def test_the_cleaner_leaves_a_flow_and_what_it_needs_until_all_of_it_is_old(registry, queue, storage, clock):
    needed = queue.enqueue("part", 0)
    flow = Flow("kept")
    first = flow.add("part", 1, needs=[needed])
    flow.add("join", needs=[first], delay=7200)
    queue.enqueue_flow(flow)
    queue.drain_inline(registry)
    clock.advance(3600)
    ages = {"part": 60.0, "join": 600.0}

    def clean():
        number = storage.delete_finished("part", [TaskStatus.DONE], 60.0)
        return number + storage.delete_old_flows(lambda task_type, status: ages[task_type])

    assert clean() == 0
    clock.advance(4000)
    queue.drain_inline(registry)
    assert queue.get_flow(flow.id).status == "done"
    clock.advance(300)
    assert clean() == 0
    clock.advance(400)
    assert clean() == 2
    with pytest.raises(TaskNotFoundError):
        queue.get_flow(flow.id)
    assert queue.get_task(needed.id).flags == 0
    assert clean() == 1
    assert queue.get_tasks() == []


def test_a_flow_whose_task_another_flow_needs_is_kept(registry, queue, storage, clock):
    _flow, [task] = flow_of(queue, ("part", 1, []))
    queue.drain_inline(registry)
    other = Flow("other")
    other.add("join", needs=[task], delay=1000)
    queue.enqueue_flow(other)
    clock.advance(500)
    assert storage.delete_old_flows(lambda task_type, status: 60.0) == 0
    clock.advance(501)
    queue.drain_inline(registry)
    clock.advance(61)
    numbers = [storage.delete_old_flows(lambda task_type, status: 60.0) for _ in range(3)]
    assert numbers == [1, 1, 0]  # the other one first, and then nobody needs this one any more
    assert queue.get_tasks() == []


def test_a_large_flow_is_deleted_some_tasks_at_a_time(registry, queue, storage, clock):
    flow, _ = flow_of(queue, *[("part", n, []) for n in range(5)], ("join", None, range(5)))
    queue.drain_inline(registry)
    clock.advance(61)
    numbers = [storage.delete_old_flows(lambda task_type, status: 60.0, limit=2) for _ in range(4)]
    assert numbers == [2, 2, 2, 0]
    with pytest.raises(TaskNotFoundError):
        queue.get_flow(flow.id)


def test_a_follow_up_is_given_once_and_without_a_connection(registry, queue):
    queue.enqueue("part", external_id="taken")
    flows = {name: Flow(name) for name in ("twice", "taken", "there")}
    for name, flow in flows.items():
        flow.add("part", external_id=name)
    queue.enqueue_flow(flows["there"])

    @registry.processor("gives", max_attempts=1)
    def gives(task: Task):
        if task.payload == "conn":
            goque.follow_up("part", conn=1)
        for _ in range(2 if task.payload == "twice" else 1):
            goque.follow_up(flows[task.payload])

    said = {}
    for payload in ("twice", "taken", "there", "conn"):
        queue.enqueue("gives", payload)
        [said[payload]] = [run.errors for run in queue.drain_inline(registry) if run.task.type == "gives"]
    assert "ConfigurationError: flow 'twice' is a follow-up already" in said["twice"]
    assert "DuplicateTaskError: flow 'taken' is not inserted: a task of type 'part'" in said["taken"]
    assert "on_conflict" not in said["taken"]
    assert "DuplicateTaskError: flow 'there' is enqueued already" in said["there"]
    assert "ConfigurationError: follow_up takes no conn" in said["conn"]


def test_a_flow_is_read_waited_for_and_canceled_by_itself_or_by_its_id(queue):
    flow, _ = flow_of(queue, ("part", 1, []))
    asynchronous = goque.AsyncTaskQueueManager(queue.storage)
    assert queue.get_flow(flow).id == asyncio.run(asynchronous.get_flow(flow)).id == flow.id
    for wrong in (None, 7, queue.get_flow(flow)):
        for call in (queue.get_flow, queue.wait_flow, queue.cancel_flow):
            with pytest.raises(ConfigurationError, match=r"give a goque\.Flow or the id of a flow"):
                call(wrong)
        for call in (asynchronous.get_flow, asynchronous.wait_flow, asynchronous.cancel_flow):
            with pytest.raises(ConfigurationError, match=r"give a goque\.Flow or the id of a flow"):
                asyncio.run(call(wrong))
    assert queue.cancel_flow(flow) == 1
    assert asyncio.run(asynchronous.cancel_flow(flow)) == 0
    assert queue.wait_flow(flow, timeout=5).status == "failed"
    assert asyncio.run(asynchronous.wait_flow(flow, timeout=5)).status == "failed"


def test_a_wait_for_a_flow_has_an_end(queue):
    flow, _ = flow_of(queue, ("part", 1, []))
    with pytest.raises(goque.WaitTimeoutError, match=r"is still open after 0\.05s"):
        queue.wait_flow(flow.id, timeout=0.05)
    with pytest.raises(TaskNotFoundError):
        queue.wait_flow("nothing", timeout=timedelta(seconds=1))


def test_a_type_without_flows_sends_the_statements_that_it_sent(storage, queue, monkeypatch):
    queue.enqueue("part", 1)
    sent = []
    session_type = type(storage._connections.__enter__())
    storage._connections.__exit__(None, None, None)
    rows = session_type.rows
    monkeypatch.setattr(
        session_type, "rows", lambda self, sql, params=None: sent.append(sql) or rows(self, sql, params)
    )
    [row] = claim(storage, task_type="part")
    storage.settle_if_held([done(row)])
    assert not [sql for sql in sent if "goque_need" in sql or "goque_flow" in sql]


@pytest.mark.parametrize("backend", ["postgresql", "mysql"], indirect=True)
@pytest.mark.parametrize("commits", [True, False])
def test_a_need_that_ends_while_the_flow_is_not_committed_is_not_missed(storage, queue, backend, commits):
    task = queue.enqueue("part", 1)
    [row] = claim(storage, task_type="part")
    flow = Flow("open")
    flow.add("join", needs=[task])
    with contextlib.closing(backend.connect()) as connection:
        queue.enqueue_flow(flow, conn=connection)
        ending = threading.Thread(target=end, args=(storage, row))
        ending.start()
        if commits:
            connection.commit()
        else:
            connection.rollback()
        ending.join()
    if commits:
        assert statuses(queue, flow) == ["new"]
    assert queue.get_task(task.id).status == "done"
    assert storage.go_on_with_flows() == 0


def test_a_large_flow_is_canceled_part_by_part_and_with_it_what_needs_it(queue, storage, monkeypatch):
    monkeypatch.setattr(flow_steps, "AT_ONCE", 2)
    flow, tasks = flow_of(queue, *[("part", 1, [])] * 3, ("join", None, [0, 1, 2]), ("join", None, [3]))
    others = Flow("others")
    waiting = others.add("join", None, needs=[tasks[0].id])
    last = others.add("join", None, needs=[tasks[4].id], when="ended")
    queue.enqueue_flow(others)
    assert queue.cancel_flow(flow.id) == 5
    assert statuses(queue, flow) == ["canceled"] * 5
    assert queue.get_task(waiting.id).status == "canceled"
    assert queue.get_task(last.id).status == "new"
    assert storage.go_on_with_flows() == 0


def test_many_small_flows_are_deleted_in_one_turn(registry, queue, storage, clock, monkeypatch):
    monkeypatch.setattr(cleaning, "MOST_FLOWS", 2)
    for _ in range(7):
        flow_of(queue, ("part", 1, []))
    queue.drain_inline(registry)
    clock.advance(61)
    assert storage.delete_old_flows(lambda task_type, status: 60.0) == 7
    assert queue.get_tasks() == []
