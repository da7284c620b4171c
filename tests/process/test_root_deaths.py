"""The root killed with SIGKILL: the whole tree goes with it, and others take what it held."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

import pytest
from databases import on_every_backend
from tree import StartTree, Tree, eventually

HOLD = """
options = dict(fetch_tick=0.1, next_attempt_at=retry.static(0))
registry.processor("hold", workers=2, min_workers=2, **options)(hold)
"""
APP = f"""{HOLD}
@registry.processor("parent", workers=3, min_workers=1, **options)
def parent(task: Task):
    if task.attempts == 0:
        child = subprocess.Popen(["sleep", "1000"])
        note("child", child.pid)
    hold(task)
"""


def kill_root(tree: Tree) -> None:
    """Kill the root, and see that its tree dies with it.

    That takes milliseconds, but a process that waits for a disk dies only when the disk has answered.
    """
    tree.kill_root()
    with contextlib.suppress(AssertionError):
        eventually(tree.is_gone)
    assert tree.left() == {}


@on_every_backend
@pytest.mark.fault(17)
def test_when_the_root_is_killed_its_whole_tree_dies_stopped_processes_and_grandchildren_too(
    start_tree: StartTree,
) -> None:
    tree = start_tree(app=APP)
    tree.database.enqueue("hold", "stopped", "running")
    tree.database.enqueue("parent", "parent")
    os.kill(tree.running_pid("stopped"), signal.SIGSTOP)
    tree.running_pid("running")
    eventually(lambda: [line for line in tree.journal() if line[0] == "child"])
    os.kill(tree.pid("healer"), signal.SIGSTOP)
    kill_root(tree)
    tree.let_go("stopped", "running", "parent")
    start_tree()
    eventually(tree.database.is_settled, within=5 + 3)
    assert {(task.status, task.attempts) for task in tree.database.tasks()} == {("done", 1)}


@on_every_backend
@pytest.mark.fault(17)
def test_a_restart_on_the_same_machine_heals_within_seconds_by_the_black_boxes(start_tree: StartTree) -> None:
    tree = start_tree(app=HOLD)
    tree.database.enqueue("hold", "finished", "running")
    tree.running_pid("finished")
    worker = tree.running_pid("running")
    tree.database.enqueue("hold", *(f"waiting-{n}" for n in range(5)))
    os.kill(tree.pid("fetcher"), signal.SIGSTOP)  # so that nobody writes the result
    tree.let_go("finished")
    eventually(lambda: [line for line in tree.journal() if line[:2] == ["end", "finished"]])
    kill_root(tree)
    tree.let_go("running", *(f"waiting-{n}" for n in range(5)))
    again = start_tree()
    eventually(tree.database.is_settled, within=5 + 3)
    assert (tree.database.task("finished").status, tree.database.task("finished").attempts) == ("done", 0)
    task = tree.database.task("running")
    assert (task.status, task.attempts) == ("done", 1)
    assert (
        task.errors == f"attempt 1: node lost: supervisor pid {tree.root} was killed while it ran this task\n"
    )
    (attempt,) = tree.database.attempts(task)
    assert attempt.failed.worker_pid == worker
    assert attempt.started_at is not None
    assert attempt.started_at < attempt.ended_at
    assert all(tree.database.task(f"waiting-{n}").attempts == 0 for n in range(5))
    again.assert_each_ran(1, ["finished", *(f"waiting-{n}" for n in range(5))])
    again.assert_each_ran(2, ["running"])
    assert not [path for path in tree.run_dir.iterdir() if path.name.startswith(f"{tree.root}-")]


@on_every_backend
@pytest.mark.fault(17)
def test_another_node_takes_the_tasks_of_a_killed_one_after_the_node_timeout(start_tree: StartTree) -> None:
    tree = start_tree("--types", "hold", app=APP, apart=True)
    tree.database.enqueue("hold", "running-1", "running-2")
    tree.running_pid("running-1"), tree.running_pid("running-2")
    eventually(lambda: tree.database.counts() == {"processing": 2})
    other = start_tree(apart=True)
    tree.database.enqueue("parent", "elsewhere")
    eventually(lambda: other.started("elsewhere"))
    kill_root(tree)
    tree.let_go("running-1", "running-2", "elsewhere")
    eventually(tree.database.is_settled, within=3 + 15)
    for name in ("running-1", "running-2"):
        task = tree.database.task(name)
        assert (task.status, task.attempts) == ("done", 1)
        assert task.errors.startswith("attempt 1: node lost: ")
        assert f"supervisor pid {tree.root}" in task.errors
    assert tree.database.task("elsewhere").attempts == 0
    other.assert_each_ran(2, ["running-1", "running-2"])
    start_tree("--drain", beside=tree).wait()  # sweeps the run directory


@on_every_backend
@pytest.mark.fault(17)
def test_two_trees_on_one_database_run_each_task_once(start_tree: StartTree) -> None:
    quick = """
@registry.processor("quick", workers=2, min_workers=2)
def quick(task: Task):
    with run_of(task):
        time.sleep(0.001)
"""
    names = [f"t{n}" for n in range(1000)]
    trees = [start_tree(app=APP + quick, apart=True), start_tree(apart=True)]
    for tree in trees:
        pools = tree.pools("hold", "parent", "quick")
        eventually(lambda tree=tree, pools=pools: len(tree.pids("fetcher")) == pools)
    trees[0].database.enqueue("quick", *names)
    eventually(trees[0].database.is_settled, within=30)
    trees[0].assert_each_ran(1, names)
    assert trees[0].database.counts() == {"done": 1000}
    runners = {int(line[2]) for line in trees[0].journal() if line[0] == "start"}
    assert runners & set(trees[0].workers())
    assert runners & set(trees[1].workers())


@pytest.mark.fault(21)
def test_the_root_works_as_the_first_process_of_a_container(start_tree: StartTree) -> None:
    daemons = """
@registry.processor("daemon", workers=1)
def daemon(task: Task):
    subprocess.run(["sh", "-c", "setsid sleep 0.01 & setsid sh -c 'sleep 0.02 & sleep 0.01' &"], check=True)
    note("init", Path("/proc/1/comm").read_text().strip())
"""
    tree = start_tree(app=APP + daemons, container=True)
    tree.database.enqueue("daemon", *(f"d{n}" for n in range(10)))
    eventually(tree.database.is_settled)
    assert {tuple(line) for line in tree.journal()} == {("init", "goque:root")}
    (root,) = tree.pids("root")
    eventually(lambda: zombies_below(root) == [])
    os.kill(root, signal.SIGTERM)
    assert tree.wait() == 0


def zombies_below(root: int) -> list[str]:
    """Return the dead that the first process of a namespace has not reaped."""
    return [
        stat
        for path in Path("/proc").glob("[0-9]*/stat")
        if (stat := read(path)).rpartition(")")[2].split()[:2] == ["Z", str(root)]
    ]


def read(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""  # it ended while we looked
