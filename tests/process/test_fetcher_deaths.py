"""Fetchers are killed or stopped: the next one takes over what runs, nothing is charged, nothing runs twice."""

from __future__ import annotations

import os
import signal

import pytest
from databases import on_every_backend
from tree import StartTree, Tree, eventually

APP = """
options = dict(fetch_tick=0.1, next_attempt_at=retry.static(0))
registry.processor("hold", workers=2, min_workers=2, **options)(hold)

@registry.processor("quick", workers=2, min_workers=2, **options)
def quick(task: Task):
    with run_of(task):
        time.sleep(0.002)
"""


def kill_fetcher(tree: Tree, number: signal.Signals = signal.SIGKILL) -> int:
    """Kill the only fetcher, and wait for another to take over."""
    pid = tree.pid("fetcher")
    os.kill(pid, number)
    return eventually(lambda: [other for other in tree.pids("fetcher") if other != pid])[0]


def assert_all_done_at_first_attempt(tree: Tree) -> None:
    tasks = tree.database.tasks()
    assert {(task.status, task.attempts, task.errors) for task in tasks} == {("done", 0, None)}
    tree.assert_each_ran(1, [task.external_id for task in tasks])


@pytest.mark.fault(14)
def test_a_fetcher_killed_while_idle_is_replaced_and_goes_on_claiming(start_tree: StartTree) -> None:
    tree = start_tree("--types", "quick", app=APP)
    tree.database.enqueue("quick", "before")
    eventually(tree.database.is_settled)
    workers = tree.workers()
    kill_fetcher(tree)
    tree.database.enqueue("quick", "after")
    eventually(tree.database.is_settled)
    assert tree.workers() == workers
    assert_all_done_at_first_attempt(tree)


@pytest.mark.fault(14)
def test_long_handlers_go_on_undisturbed_while_their_fetcher_is_killed_again_and_again(
    start_tree: StartTree,
) -> None:
    tree = start_tree("--types", "hold", app=APP)
    tree.database.enqueue("hold", "long-1", "long-2", "waiting")
    running = {name: tree.running_pid(name) for name in ("long-1", "long-2")}
    for _ in range(3):
        kill_fetcher(tree)
    tree.let_go("long-1", "long-2", "waiting")
    eventually(tree.database.is_settled)
    assert {name: tree.started(name) for name in running} == {name: [pid] for name, pid in running.items()}
    assert_all_done_at_first_attempt(tree)


@on_every_backend
@pytest.mark.fault(14)
def test_results_that_a_dead_fetcher_had_not_written_are_kept_and_recorded(start_tree: StartTree) -> None:
    tree = start_tree("--types", "hold", app=APP)
    tree.database.enqueue("hold", "one", "two")
    tree.running_pid("one"), tree.running_pid("two")
    fetcher = tree.pid("fetcher")
    os.kill(fetcher, signal.SIGSTOP)
    tree.let_go("one", "two")
    eventually(lambda: sum(line[0] == "end" for line in tree.journal()) == 2)
    assert not tree.database.is_settled()
    os.kill(fetcher, signal.SIGKILL)
    eventually(tree.database.is_settled)
    assert_all_done_at_first_attempt(tree)


@pytest.mark.fault(14)
def test_a_result_counts_though_its_fetcher_and_its_worker_both_died(start_tree: StartTree) -> None:
    tree = start_tree("--types", "hold", app=APP)
    tree.database.enqueue("hold", "one", "two")
    worker = tree.running_pid("one")
    tree.running_pid("two")
    fetcher = tree.pid("fetcher")
    os.kill(fetcher, signal.SIGSTOP)
    tree.let_go("one")
    eventually(lambda: [line for line in tree.journal() if line[0] == "end"])
    os.kill(worker, signal.SIGKILL)
    os.kill(fetcher, signal.SIGKILL)
    tree.let_go("two")
    eventually(tree.database.is_settled)
    assert_all_done_at_first_attempt(tree)


@on_every_backend
@pytest.mark.fault(14)
def test_a_result_that_the_database_would_not_take_outlives_its_worker_and_then_its_fetcher(
    start_tree: StartTree,
) -> None:
    tree = start_tree("--types", "hold", app=APP)
    tree.database.enqueue("hold", "one")
    worker = tree.running_pid("one")
    eventually(lambda: tree.database.counts() == {"processing": 1})
    with tree.database.locked():
        tree.let_go("one")
        eventually(lambda: [line for line in tree.journal() if line[0] == "end"])
        os.kill(worker, signal.SIGKILL)
        eventually(lambda: worker not in tree.workers() and len(tree.workers()) == 2)
        kill_fetcher(tree)
    eventually(tree.database.is_settled)
    assert_all_done_at_first_attempt(tree)


@pytest.mark.fault(14)
def test_a_task_that_was_claimed_but_had_not_begun_runs_once_after_its_fetcher_died(
    start_tree: StartTree,
) -> None:
    tree = start_tree("--types", "quick", app=APP.replace("workers=2, min_workers=2", "workers=1"))
    tree.database.enqueue("quick", "warm-up")
    eventually(tree.database.is_settled)
    (worker,) = tree.workers()
    os.kill(worker, signal.SIGSTOP)
    names = [f"t{n}" for n in range(20)]
    tree.database.enqueue("quick", *names)
    eventually(lambda: tree.database.counts().get("pending", 0) > 0)
    kill_fetcher(tree)
    os.kill(worker, signal.SIGCONT)
    eventually(tree.database.is_settled)
    assert_all_done_at_first_attempt(tree)


@on_every_backend
@pytest.mark.fault(14)
def test_a_fetcher_killed_under_load_over_and_over_loses_nothing_and_runs_nothing_twice(
    start_tree: StartTree,
) -> None:
    tree = start_tree("--types", "quick", app=APP)
    tree.database.enqueue("quick", *(f"t{n}" for n in range(1500)))
    for _ in range(5):
        before = tree.database.counts().get("done", 0)
        eventually(lambda: tree.database.counts().get("done", 0) > before + 100)  # noqa: B023 - called at once
        kill_fetcher(tree)
    eventually(tree.database.is_settled, within=30)
    assert_all_done_at_first_attempt(tree)


@pytest.mark.fault(15)
def test_a_stopped_fetcher_is_killed_and_its_work_adopted(start_tree: StartTree) -> None:
    tree = start_tree("--types", "hold", app=APP)
    tree.database.enqueue("hold", "long", "short")
    tree.running_pid("long"), tree.running_pid("short")
    stopped = tree.pid("fetcher")
    os.kill(stopped, signal.SIGSTOP)
    tree.let_go("short")
    tree.database.enqueue("hold", "later")
    tree.let_go("later")
    eventually(lambda: tree.database.task("later").status == "done", within=20)
    assert stopped not in tree.living()
    tree.let_go("long")
    eventually(tree.database.is_settled)
    assert_all_done_at_first_attempt(tree)
