"""`Registry(on_failure=…)`: called once for each failed attempt of each type, in a process that ends in order."""

from __future__ import annotations

import signal

import pytest
from databases import on_every_backend
from tree import StartTree, Tree, eventually

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
        ["raise-task", "raise", "1", "failed", "oops", "True", "False", "error", "1"],
        ["raise-task", "raise", "2", "failed", "oops", "True", "True", "attempts_left", "2"],
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
        ("slow", "on_failure takes over 10s: ended"),
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
    assert "on_failure of type 'raise': 2 call(s) left out, because the tree stops now" in tree.log
    assert "by force" not in tree.log
