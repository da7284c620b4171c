"""Workers and the processes of crash handlers end in order: what `atexit` was told runs, for a limited time."""

from __future__ import annotations

import os
from pathlib import Path

from tree import StartTree, eventually

APP = """
import atexit, tempfile
SHARED = tempfile.TemporaryDirectory()
atexit.register(lambda: note("exit", "import", os.getpid()))
options = dict(workers=1, fetch_tick=0.05, next_attempt_at=retry.static(0), max_attempts=1)

def at_exit():
    atexit.register(lambda: note("exit", "handler", os.getpid()))

@registry.processor("plain", max_tasks=1, **options)
def plain(task: Task):
    at_exit()
    note("start", task.external_id, os.getpid())
    note("shared", Path(SHARED.name).is_dir())

@registry.processor("async", max_tasks=1, **options)
async def awaited(task: Task):
    at_exit()
    note("start", task.external_id, os.getpid())

@registry.processor("crash", crash_handler=lambda crash: note("start", "told", os.getpid()), **options)
def crash(task: Task):
    os.abort()

@registry.processor("slow", **options)
def slow(task: Task):
    note("start", task.external_id, os.getpid())
    atexit.register(lambda: (note("exit", "slow", os.getpid()), time.sleep(1000)))
    atexit.register(lambda: 1 / 0)
"""


def exits(tree, pid: int) -> list[str]:
    return [line[1] for line in tree.journal() if line[0] == "exit" and line[2] == str(pid)]


def test_exit_functions_run_after_max_tasks_and_the_first_worker_takes_nothing_from_the_next(
    start_tree: StartTree,
) -> None:
    tree = start_tree("--types", "plain,async", app=APP)
    tree.database.enqueue("plain", "p1", "p2")
    tree.database.enqueue("async", "a1")
    for name in ("p1", "p2", "a1"):
        pid = tree.running_pid(name)
        eventually(lambda pid=pid: exits(tree, pid) == ["handler", "import"])
    assert [line[1] for line in tree.journal() if line[0] == "shared"] == ["True", "True"]


def test_exit_functions_run_after_a_crash_handler(start_tree: StartTree) -> None:
    tree = start_tree("--types", "crash", app=APP)
    tree.database.enqueue("crash", "c")
    pid = tree.running_pid("told")
    eventually(lambda: exits(tree, pid) == ["import"])
    eventually(lambda: not Path(f"/proc/{pid}").exists())
    eventually(tree.database.is_settled)
    assert tree.database.task("c").status == "attempts_left"


def test_at_shutdown_exit_functions_run_and_those_that_hang_are_ended(start_tree: StartTree) -> None:
    tree = start_tree("--types", "slow", app=APP)
    tree.database.enqueue("slow", "s")
    eventually(tree.database.is_settled)
    pid = tree.running_pid("s")
    assert tree.stop(within=25) == 0
    assert exits(tree, pid) == ["slow"]
    assert "ZeroDivisionError" in tree.log
    assert "did not stop in time: killing it" in tree.log
    assert not os.path.exists(f"/proc/{pid}")  # noqa: PTH110 - a process, not a file
