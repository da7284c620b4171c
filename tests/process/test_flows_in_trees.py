"""Flows in trees: no dependent begins before its needs have ended, and none waits when they have, whatever dies."""

from __future__ import annotations

import os
import signal

import pytest
from databases import Database, on_every_backend
from tree import StartTree, Tree, eventually

from goque import Flow

APP = """
registry.pool("default", workers=2, min_workers=2, async_workers=1, fetch_tick=0.2)
options = dict(next_attempt_at=retry.static(0), timeout=20, timeout_grace=0.3, max_attempts=3, healer_period=1)

@registry.processor("part", **options)
def part(task: Task):
    with run_of(task):
        match task.payload, task.attempts:
            case "crash", 0: os.kill(os.getpid(), signal.SIGSEGV)
            case "dies", _: os.kill(os.getpid(), signal.SIGKILL)
            case "hold", _:
                while not (Path(os.environ["GOQUE_TEST_JOURNAL"]) / "go").exists(): time.sleep(0.005)
    return task.external_id

@registry.processor("join", **options)
async def join(task: Task):
    needs = goque.current_task().needs
    note("needs", task.external_id, *(f"{need.status}={need.result}" for need in needs))
    with run_of(task):
        await asyncio.sleep(0)
    return len(needs)
"""


def needs_of(tree: Tree, name: str) -> list[str]:
    """Return what the only run of a join found of its needs."""
    [line] = eventually(lambda: [line for line in tree.journal() if line[:2] == ["needs", name]], within=30)
    return line[2:]


def fan(database: Database, name: str, *payloads: str) -> Flow:
    """Insert parts and a join of them, and another join of that."""
    flow = Flow(name)
    parts = [flow.add("part", payload, external_id=f"{name}-{n}") for n, payload in enumerate(payloads)]
    middle = flow.add("join", external_id=f"{name}-join", needs=parts)
    flow.add("join", external_id=f"{name}-end", needs=[middle], when="ended")
    return database.queue.enqueue_flow(flow)


@on_every_backend
def test_joins_run_after_their_parts_and_a_failure_goes_down_the_flow(start_tree: StartTree) -> None:
    tree = start_tree(app=APP)
    queue = tree.database.queue
    good = fan(tree.database, "good", *["fine"] * 50, "crash")
    bad = fan(tree.database, "bad", "fine", "dies")
    assert queue.wait_flow(good.id, timeout=60).status == "done"
    state = queue.wait_flow(bad.id, timeout=60)
    assert [task.status for task in state.tasks] == ["done", "attempts_left", "canceled", "done"]
    assert needs_of(tree, "good-join") == [f"done=good-{n}" for n in range(51)]
    assert needs_of(tree, "good-end") == ["done=51"]
    assert needs_of(tree, "bad-end") == ["canceled=None"]
    cause = f"needs part {state.tasks[1].id}: worker crashed: signal 9 (SIGKILL)"
    assert state.tasks[2].errors == f"canceled: {cause}\n"
    assert queue.reset_attempts(state.tasks[1].id)
    state = queue.wait_flow(bad.id, timeout=60)
    assert [task.status for task in state.tasks] == ["done", "attempts_left", "canceled", "done"]


@on_every_backend
def test_a_result_is_kept_for_a_flow_that_came_while_its_need_ran(start_tree: StartTree) -> None:
    tree = start_tree(app=APP)
    queue = tree.database.queue
    part = queue.enqueue("part", "hold", external_id="part")
    tree.running_pid("part")
    flow = Flow("late")
    flow.add("join", external_id="join", needs=[part.id])
    queue.enqueue_flow(flow)
    (tree.journal_directory / "go").touch()
    assert queue.wait_flow(flow.id, timeout=60).status == "done"
    assert needs_of(tree, "join") == ["done=part"]


@on_every_backend
@pytest.mark.parametrize("victim", ["fetcher", "root"])
def test_what_ends_while_processes_are_killed_is_gone_on_with(start_tree: StartTree, victim: str) -> None:
    tree = start_tree(app=APP)
    flow = fan(tree.database, "flow", *["hold"] * 2)
    for n in range(2):
        tree.running_pid(f"flow-{n}")
    fetcher = tree.pid("fetcher")
    os.kill(fetcher, signal.SIGSTOP)  # so that nobody writes the results
    (tree.journal_directory / "go").touch()
    eventually(lambda: len([line for line in tree.journal() if line[0] == "end"]) == 2)
    if victim == "fetcher":
        os.kill(fetcher, signal.SIGKILL)
    else:
        tree.kill_root()
        eventually(tree.is_gone)
        tree = start_tree()
    assert tree.database.queue.wait_flow(flow.id, timeout=60).status == "done"
    assert needs_of(tree, "flow-join") == ["done=flow-0", "done=flow-1"]


@on_every_backend
def test_a_canceled_need_counts_when_its_handler_has_stopped(start_tree: StartTree) -> None:
    tree = start_tree(app=APP)
    flow = fan(tree.database, "flow", "hold")
    tree.running_pid("flow-0")
    [part, middle, end] = flow.tasks
    assert tree.database.queue.cancel_task(part.id)
    state = tree.database.queue.wait_flow(flow.id, timeout=30)
    assert [task.status for task in state.tasks] == ["canceled", "canceled", "done"]
    assert state.tasks[1].errors == f"canceled: needs part {part.id}: canceled\n"
    assert tree.started("flow-join") == []
    assert (middle.id, end.id) == (state.tasks[1].id, state.tasks[2].id)


@on_every_backend
def test_two_nodes_share_flows_and_no_join_is_left_waiting(start_tree: StartTree) -> None:
    trees = [start_tree(app=APP, apart=True)]
    trees += [start_tree(apart=True)]
    for tree in trees:
        eventually(lambda tree=tree: tree.workers("default"))
    flows = [fan(trees[0].database, f"f{n}", *["fine"] * 4) for n in range(50)]
    for flow in flows:
        assert trees[0].database.queue.wait_flow(flow.id, timeout=60).status == "done"
    assert len({line[1] for line in trees[0].journal() if line[0] == "needs"}) == 100
