"""A handler that neither ends a step nor reports progress for `stall_timeout` is stopped as by a timeout."""

from __future__ import annotations

import pytest
from tree import StartTree, eventually

STALLING = """
options = dict(workers=1, timeout=30, stall_timeout=0.6, timeout_grace=0.6, max_attempts=1, fetch_tick=0.05)

@registry.processor("stall", **options)
def stall(task: Task):
    note("start", task.external_id, os.getpid())
    match task.payload:
        case "sleep": time.sleep(1000)
        case "raise something else":
            try:
                time.sleep(1000)
            except goque.TaskTimeout as error:
                note("told", error)
                raise ValueError("I was interrupted") from None
        case "report while it cleans up":
            try:
                time.sleep(1000)
            except goque.TaskTimeout:
                while True:
                    task.progress(0.5)
                    time.sleep(0.05)
        case "spin in C": sum(range(10**13))
        case "spin in C after a report":
            task.progress(0.5, "half")
            sum(range(10**13))
        case "report":
            for number in range(15):
                time.sleep(0.1)
                task.progress(number / 15, f"page {number}")
        case "report and stall":
            for number in range(10):
                time.sleep(0.1)
                task.progress(number / 10)
            time.sleep(1000)
        case "steps":
            for page in task.each("page", range(15)):
                time.sleep(0.1)
        case "stall in a step": task.step("download", time.sleep, 1000)
        case "spin in a step": task.step("download", sum, range(10**13))

@registry.processor("astall", concurrency=5, **options)
async def astall(task: Task):
    note("start", task.external_id, os.getpid())
    match task.payload:
        case "sleep": await asyncio.sleep(1000)
        case "spin in C": sum(range(10**13))
        case "report":
            for number in range(15):
                await asyncio.sleep(0.1)
                task.progress(number / 15, f"page {number}")
        case "steps":
            async for page in task.aeach("page", range(15)):
                await asyncio.sleep(0.1)
        case "stall in steps":
            await asyncio.gather(task.astep("a", asyncio.sleep, 1000), task.astep("b", asyncio.sleep, 1000))

@registry.processor("short", **(options | dict(timeout=0.4)))
def short(task: Task):
    time.sleep(1000)
"""


@pytest.mark.parametrize(
    ("task_type", "how", "survives"),
    [
        ("stall", "sleep", True),
        ("stall", "raise something else", True),
        ("stall", "spin in C", False),
        ("astall", "sleep", True),
        ("astall", "spin in C", False),
    ],
)
def test_a_silent_handler_is_stopped_and_killed_if_that_does_not_help(
    start_tree: StartTree, task_type: str, how: str, survives: bool
) -> None:
    tree = start_tree("--types", task_type, app=STALLING)
    tree.database.enqueue(task_type, "silent", payload=how)
    pid = tree.running_pid("silent")
    eventually(tree.database.is_settled, within=6)
    task = tree.database.task("silent")
    assert (task.status, task.attempts) == ("attempts_left", 1)
    assert task.errors == "attempt 1: no progress for 0.6s\n"
    (attempt,) = tree.database.attempts(task)
    assert attempt.failed.cause == "timeout"
    assert attempt.failed.signal == (None if survives else 9)
    assert 0.6 <= attempt.failed.duration < 4
    assert (pid in tree.workers(task_type)) == survives
    tree.database.enqueue(task_type, "next", payload="be quick")
    eventually(tree.database.is_settled)
    assert tree.database.task("next").status == "done"
    if how == "raise something else":
        assert ["told", "no", "progress", "for", "0.6s"] in tree.journal()


def test_the_timeout_bounds_a_run_that_may_stall_for_longer(start_tree: StartTree) -> None:
    tree = start_tree("--types", "short", app=STALLING)
    tree.database.enqueue("short", "long")
    eventually(tree.database.is_settled)
    assert tree.database.task("long").errors == "attempt 1: task processing timeout: 0.4s\n"


def test_a_neighbour_on_the_loop_is_not_charged_for_one_that_stalls(start_tree: StartTree) -> None:
    tree = start_tree("--types", "astall", app=STALLING)
    tree.database.enqueue("astall", "silent", payload="sleep")
    tree.running_pid("silent")
    tree.database.enqueue("astall", "neighbour", payload="be quick")
    eventually(tree.database.is_settled, within=6)
    assert tree.database.task("silent").errors == "attempt 1: no progress for 0.6s\n"
    assert tree.database.task("neighbour").status == "done"


@pytest.mark.parametrize(
    ("task_type", "how"), [("stall", "report"), ("stall", "steps"), ("astall", "report"), ("astall", "steps")]
)
def test_one_that_moves_is_left_alone(start_tree: StartTree, task_type: str, how: str) -> None:
    tree = start_tree("--types", task_type, app=STALLING)
    tree.database.enqueue(task_type, "busy", payload=how)
    eventually(tree.database.is_settled)
    task = tree.database.task("busy")
    assert (task.status, task.errors) == ("done", None)


@pytest.mark.parametrize(
    ("task_type", "how", "text", "survives"),
    [
        ("stall", "report and stall", "no progress for 0.6s", True),
        ("stall", "spin in C after a report", "no progress for 0.6s", False),
        ("stall", "report while it cleans up", "no progress for 0.6s", False),
        ("stall", "stall in a step", "no progress for 0.6s (in step download)", True),
        ("stall", "spin in a step", "no progress for 0.6s (in step download)", False),
        ("astall", "stall in steps", "no progress for 0.6s (in step a, b)", True),
    ],
)
def test_one_that_has_moved_and_stalls_is_stopped(
    start_tree: StartTree, task_type: str, how: str, text: str, survives: bool
) -> None:
    tree = start_tree("--types", task_type, app=STALLING)
    tree.database.enqueue(task_type, "stuck", payload=how)
    pid = tree.running_pid("stuck")
    eventually(tree.database.is_settled, within=8)
    task = tree.database.task("stuck")
    assert (task.status, task.errors) == ("attempts_left", f"attempt 1: {text}\n")
    (attempt,) = tree.database.attempts(task)
    assert attempt.failed.cause == "timeout"
    assert (pid in tree.workers(task_type)) == survives
