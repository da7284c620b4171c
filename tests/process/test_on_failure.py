"""`Registry(on_failure=…)`: called once for each failed attempt of each type, in a process that ends in order."""

from __future__ import annotations

import os
import signal

import pytest
from databases import on_every_backend
from tree import StartTree, Tree, eventually

from goque_supervisor.ipc.blackbox import BlackBox

APP = """
import atexit
sent = []

def report(failure):
    sent.append(failure)
    name = failure.task.external_id
    if name == "bad": raise ValueError("the reporter itself is broken")
    if name == "dead": os.abort()
    if name == "slow": time.sleep(1000)
    kind = failure.traceback and ("oops" in failure.traceback or "in crash" in failure.traceback)
    note("failure", name, failure.type, failure.attempt, failure.cause, failure.error.replace(" ", "_"), kind,
         failure.final, failure.task.status, failure.task.attempts)

atexit.register(lambda: sent and note("flushed", len(sent)))
registry = Registry(on_failure=report)
options = dict(workers=1, fetch_tick=0.05, next_attempt_at=retry.static(0), max_attempts=2)

@registry.processor("raise", **options)
def fail(task: Task):
    note("start", task.external_id, os.getpid())
    raise ValueError("oops")

@registry.processor("crash", **options)
def crash(task: Task):
    os.abort()

@registry.processor("timeout", timeout=0.2, **options)
def too_slow(task: Task):
    time.sleep(1000)

@registry.processor("fine", **options)
async def fine(task: Task):
    if task.payload == "retry": raise goque.RetryTask(delay=0)
    if task.payload == "cancel": raise goque.TaskCanceled("not needed")
"""


def failures(tree: Tree) -> list[list[str]]:
    return sorted(line[1:] for line in tree.journal() if line[0] == "failure")


def flushed(tree: Tree) -> int:
    return sum(int(line[1]) for line in tree.journal() if line[0] == "flushed")


@on_every_backend
def test_each_failed_attempt_is_reported_once(start_tree: StartTree) -> None:
    tree = start_tree("--types", "raise,crash,timeout,fine", app=APP)
    for name in ("raise", "crash", "timeout", "fine"):
        tree.database.enqueue(name, f"{name}-task")
    tree.database.enqueue("fine", "canceled", payload="cancel")
    abort = "worker_crashed:_signal_6_(SIGABRT)"
    eventually(lambda: len(failures(tree)) >= 6, 60)
    timeout = [line for line in failures(tree) if line[1] == "timeout"]
    assert [line[3] for line in timeout] == ["timeout"] * 2
    assert [line for line in failures(tree) if line[1] != "timeout"] == [
        ["crash-task", "crash", "1", "crash", abort, "True", "False", "error", "1"],
        ["crash-task", "crash", "2", "crash", abort, "True", "True", "attempts_left", "2"],
        ["raise-task", "raise", "1", "failed", "ValueError:_oops", "True", "False", "error", "1"],
        ["raise-task", "raise", "2", "failed", "ValueError:_oops", "True", "True", "attempts_left", "2"],
    ]
    eventually(tree.database.is_settled)
    eventually(lambda: flushed(tree) == 6)  # exit functions have run in each process
    eventually(lambda: not tree.pids("reporter"))
    assert tree.stop() == 0
    assert len(failures(tree)) == 6


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("bad", "on_failure failed; the task is not affected"),
        ("dead", "on_failure of type 'raise' has ended its process: one call is lost"),
        ("slow", "on_failure ran for more than 10s: goque ended this call"),
    ],
)
def test_a_report_that_fails_harms_neither_its_task_nor_the_next_report(
    start_tree: StartTree, name: str, said: str
) -> None:
    tree = start_tree("--types", "raise", app=APP)
    tree.database.enqueue("raise", name, "next")
    eventually(tree.database.is_settled)
    assert tree.database.counts() == {"attempts_left": 2}
    eventually(
        lambda: [line[:3] for line in failures(tree)] == [["next", "raise", "1"], ["next", "raise", "2"]], 60
    )
    eventually(lambda: said in tree.log, 60)


def test_what_failed_before_the_shutdown_is_reported_before_its_end(start_tree: StartTree) -> None:
    tree = start_tree("--types", "raise", app=APP)
    names = [f"t{n}" for n in range(50)]
    tree.database.enqueue("raise", *names)
    eventually(tree.database.is_settled, 60)
    assert tree.stop() == 0
    assert {(line[0], line[2]) for line in failures(tree)} == {(n, a) for n in names for a in ("1", "2")}
    assert len(failures(tree)) == 100


def test_a_second_signal_ends_a_report_that_hangs(start_tree: StartTree) -> None:
    tree = start_tree("--types", "raise", app=APP)
    tree.database.enqueue("raise", "slow")
    eventually(tree.database.is_settled)
    eventually(lambda: tree.pids("reporter"))
    tree.signal(signal.SIGTERM)
    eventually(lambda: "stopping (SIGTERM)" in tree.log)
    tree.signal(signal.SIGTERM)
    assert tree.wait(30) == 0
    assert "on_failure of type 'raise': skipped 2 call(s), because the tree stops now" in tree.log
    assert "by force" not in tree.log


HOLDING = """
def report(failure):
    note("failure", failure.task.external_id, failure.cause, failure.attempt, failure.final, failure.task.status,
         failure.error.replace(" ", "_"))

registry = Registry(on_failure=report)
options = dict(workers=2, fetch_tick=0.1, next_attempt_at=retry.static(0))
registry.processor("last", max_attempts=1, **options)(hold)
registry.processor("more", max_attempts=5, **options)(hold)

@registry.processor("raise", workers=1, max_attempts=1)
def fail(task: Task):
    hold(task)
    raise ValueError("oops")
"""


def killed_while_it_runs(start_tree: StartTree, *options: str, apart: bool) -> Tree:
    """Kill a tree that runs a task of `last` and a task of `more`."""
    tree = start_tree(*options, app=HOLDING, apart=apart)
    tree.database.enqueue("last", "last-task")
    tree.database.enqueue("more", "more-task")
    tree.running_pid("last-task"), tree.running_pid("more-task")
    eventually(lambda: tree.database.counts() == {"processing": 2})
    return tree


def test_attempts_that_an_earlier_tree_has_lost_are_reported(start_tree: StartTree) -> None:
    tree = killed_while_it_runs(start_tree, apart=False)
    tree.kill_root()
    eventually(tree.is_gone)
    tree.let_go("more-task")
    again = start_tree()
    lost = f"node_lost:_supervisor_pid_{tree.root}_was_killed_while_it_ran_this_task"
    eventually(lambda: len(failures(again)) == 2)
    assert failures(again) == [
        ["last-task", "lost", "1", "True", "attempts_left", lost],
        ["more-task", "lost", "1", "False", "error", lost],
    ]
    eventually(again.database.is_settled)


def test_a_failure_that_an_earlier_tree_had_not_written_is_reported(start_tree: StartTree) -> None:
    tree = start_tree("--types", "raise", app=HOLDING)
    tree.database.enqueue("raise", "task")
    tree.running_pid("task")
    os.kill(tree.pid("fetcher"), signal.SIGSTOP)  # so that nobody writes the outcome
    tree.let_go("task")
    (box,) = tree.run_dir.glob("*/*.box")
    eventually(lambda: BlackBox(box).read().finished)
    tree.kill_root()
    eventually(tree.is_gone)
    again = start_tree("--types", "raise")
    eventually(
        lambda: failures(again) == [["task", "failed", "1", "True", "attempts_left", "ValueError:_oops"]]
    )


@pytest.mark.parametrize("options", [(), ("--roles", "healer"), ("--types", "raise")])
def test_attempts_of_a_dead_node_are_reported_by_the_node_that_heals_them(
    start_tree: StartTree, options: tuple[str, ...]
) -> None:
    tree = killed_while_it_runs(start_tree, apart=True)
    other = start_tree(*options, apart=True)
    eventually(lambda: other.pids("healer"))
    tree.kill_root()
    eventually(tree.is_gone)
    eventually(lambda: len(failures(other)) == 2, 3 + 15)
    assert [line[:5] for line in failures(other)] == [
        ["last-task", "lost", "1", "True", "attempts_left"],
        ["more-task", "lost", "1", "False", "error"],
    ]
    tree.let_go("more-task")
    assert other.stop() == 0
    start_tree("--drain", "--types", "raise", beside=tree).wait()  # it deletes the run directory


def test_a_node_whose_app_lacks_the_type_heals_without_a_report(start_tree: StartTree) -> None:
    tree = killed_while_it_runs(start_tree, apart=True)
    lacking = HOLDING.replace('"last"', '"first"').replace('"more"', '"fewer"')
    other = start_tree(app=lacking, apart=True)
    eventually(lambda: other.pids("healer"))
    tree.kill_root()
    eventually(tree.is_gone)
    eventually(lambda: tree.database.counts() == {"attempts_left": 1, "error": 1}, 3 + 15)
    assert other.stop() == 0
    assert failures(other) == []
    start_tree("--drain", "--types", "raise", beside=tree).wait()  # it deletes the run directory
