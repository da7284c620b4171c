"""Steps in a tree: recorded before the call returns, run once, and blamed, whatever dies around them."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import psutil
import pytest
from databases import on_every_backend
from tree import StartTree, Tree, eventually

import goque
from goque import Task
from goque.task_row import TERMINAL_STATUSES
from goque_supervisor.ipc.failpoints import STEP_POINTS

APP = """
registry.pool("default", workers=2, min_workers=2, async_workers=1, fetch_tick=0.1)
options = dict(next_attempt_at=retry.static(0), timeout=60, timeout_grace=0.3, max_attempts=4, store_result=True)

def ran(task, name, value=None):
    note(f"{task.external_id} {name}")
    return value

@registry.processor("pages", **options)
def pages(task: Task):
    first = task.step("first", ran, task, "first", {"made": [1, 2]})
    for page in task.each("page", range(5)):
        if page == 3 and not task.attempts:
            task.payload == "crash" and os.kill(os.getpid(), signal.SIGSEGV)
            task.payload == "raise" and int("x")
        note(f"{task.external_id} page {page}")
    return first

@registry.processor("awaited", **options)
async def awaited(task: Task):
    async def slow(name):
        await asyncio.sleep(0.01)
        note(f"{task.external_id} {name}")
        return name
    names = await asyncio.gather(*(task.astep(f"s{n}", slow, f"s{n}") for n in range(3)))
    if not task.attempts:
        os.kill(os.getpid(), signal.SIGKILL)
    return names

@registry.processor("naps", **options)
def naps(task: Task):
    note(f"{task.external_id} begins")
    task.sleep("nap", task.payload)
    note(f"{task.external_id} wakes")

@registry.processor("waits", **options)
def waits(task: Task):
    note(f"{task.external_id} begins")
    return task.wait_for("go", timeout=task.payload)

@registry.processor("held", **options)
def held(task: Task):
    task.step("before", ran, task, "before")
    hold(task)
    return task.step("after", ran, task, "after", 1)

@registry.processor("zombie", **(options | {"timeout_grace": 30}))
def zombie(task: Task):
    task.step("before", ran, task, "before")
    while True:
        try:
            hold(task)
            break
        except goque.TaskCanceled:
            pass
    try:
        task.step("after", ran, task, "after")
    except goque.TaskLost as error:
        note(f"{task.external_id} lost {type(error).__name__}")
        raise

@registry.processor("many", **options)
def many(task: Task):
    for number in task.each("n", range(task.payload)):
        pass
"""


FAILURES = [
    (point, action)
    for point in STEP_POINTS
    for action in ("kill", "stop", "error")
    if action != "error" or "send" not in point  # a worker has no database
]


def noted(tree: Tree, name: str) -> list[str]:
    """Return what the handlers of a task have written down, in order."""
    return [" ".join(line[1:]) for line in tree.journal() if line[0] == name]


def ended(tree: Tree, name: str, within: float = 20.0) -> Task:
    """Wait until a task has ended."""
    return eventually(
        lambda: task if (task := tree.database.task(name)).status in TERMINAL_STATUSES else None,
        within=within,
    )


def steps_of(tree: Tree, name: str) -> dict[str, int]:
    """Return the names of a task's recorded steps, each with the claim of the run that recorded it."""
    task = tree.database.task(name)
    rows = tree.database.queue.storage.steps_of(task.id, limit=100_000)
    return {row.name: row.claims for row in rows if row.kind == "step"}


@on_every_backend
@pytest.mark.parametrize(
    ("ends", "cause"),
    [("crash", "worker crashed in step page-3: signal 11 (SIGSEGV)"), ("raise", "ValueError")],
)
def test_a_crash_on_a_page_goes_on_at_that_page(start_tree: StartTree, ends: str, cause: str) -> None:
    tree = start_tree(app=APP)
    tree.database.enqueue("pages", "doc", payload=ends)
    done = ended(tree, "doc")
    assert (done.status, done.attempts, done.result) == ("done", 1, {"made": [1, 2]})
    assert noted(tree, "doc") == ["first", *(f"page {page}" for page in range(5))]
    assert cause in (done.errors or "")


@on_every_backend
def test_coroutines_record_side_by_side_and_survive_their_process(start_tree: StartTree) -> None:
    tree = start_tree(app=APP)
    tree.database.enqueue("awaited", "doc")
    done = ended(tree, "doc")
    assert (done.status, done.attempts, done.result) == ("done", 1, ["s0", "s1", "s2"])
    assert sorted(noted(tree, "doc")) == ["s0", "s1", "s2"]
    assert "worker crashed: signal 9 (SIGKILL)" in (done.errors or "")


@on_every_backend
def test_a_sleep_ends_the_attempt_uncharged_and_goes_on_when_it_is_over(start_tree: StartTree) -> None:
    tree = start_tree(app=APP)
    tree.database.enqueue("naps", "short", payload=0.5)
    tree.database.enqueue("naps", "long", payload=3600)
    done = ended(tree, "short")
    assert (done.status, done.attempts) == ("done", 0)
    assert noted(tree, "short") == ["begins", "begins", "wakes"]
    eventually(lambda: tree.database.task("long").claimed_by is None and noted(tree, "long"))
    sleeping = tree.database.task("long")
    assert (sleeping.status, sleeping.attempts) == ("new", 0)
    assert sleeping.next_attempt_at is not None
    assert sleeping.created_at is not None
    assert (sleeping.next_attempt_at - sleeping.created_at).total_seconds() == pytest.approx(3600, abs=30)


@on_every_backend
def test_a_signal_ends_a_wait_whenever_it_comes(start_tree: StartTree) -> None:
    tree = start_tree(app=APP)
    queue = tree.database.queue
    [early, late, never] = tree.database.enqueue("waits", "early", "late", "never", payload=600, delay=0.3)
    assert queue.signal(early.id, "go", {"by": "first"})
    assert not queue.signal(early.id, "go", "second")
    assert ended(tree, "early").result == {"by": "first"}
    eventually(lambda: noted(tree, "late") and tree.database.task("late").status == "new")
    assert queue.signal(late.id, "go")
    done = ended(tree, "late")
    assert (done.status, done.attempts, done.result) == ("done", 0, None)
    assert noted(tree, "late") == ["begins", "begins"]
    assert tree.database.task("never").status == "new"
    with pytest.raises(goque.TaskStateError):
        queue.signal(late.id, "other")
    tree.database.enqueue("waits", "expired", payload=0.2)
    failed = eventually(lambda: tree.database.task("expired").errors)
    assert "goque.SignalTimeout: the signal 'go' has not come within 0.2s" in failed
    del never


@on_every_backend
@pytest.mark.parametrize(("point", "action"), FAILURES)
def test_a_step_is_recorded_once_whoever_dies_around_it(
    start_tree: StartTree, tmp_path: Path, point: str, action: str
) -> None:
    points = tmp_path / "points"
    points.mkdir()
    tree = start_tree(app=APP, GOQUE_TEST_FAILPOINTS=str(points))
    tree.database.enqueue("held", "doc")
    tree.running_pid("doc")
    (points / point).write_text(action, "ascii")
    tree.let_go("doc")
    (taken,) = eventually(lambda: list(points.glob(f"{point}.*")))
    if action == "stop":
        pid = int(taken.suffix[1:])
        eventually(lambda: psutil.Process(pid).status() == psutil.STATUS_STOPPED)
        os.kill(pid, signal.SIGCONT)
    done = ended(tree, "doc", within=30)
    runs = 2 if action == "kill" and "send" in point else 1
    steps = steps_of(tree, "doc")
    assert (done.status, done.attempts, sorted(steps)) == ("done", runs - 1, ["after", "before"])
    assert noted(tree, "doc").count("before") == 1
    assert noted(tree, "doc").count("after") == steps["after"], "once in each run until it was recorded"
    if point == "step.before_send":
        assert steps["after"] == runs


@on_every_backend
def test_a_canceled_run_stops_at_its_next_step_and_records_nothing_more(start_tree: StartTree) -> None:
    tree = start_tree(app=APP)
    [task] = tree.database.enqueue("zombie", "doc")
    tree.running_pid("doc")
    assert tree.database.queue.cancel_task(task.id)
    tree.let_go("doc")
    eventually(lambda: "lost TaskLost" in noted(tree, "doc"))
    eventually(lambda: tree.database.task("doc").claimed_by is None)
    assert tree.database.task("doc").status == "canceled"
    assert list(steps_of(tree, "doc")) == ["before"]


@on_every_backend
def test_thousands_of_steps_are_recorded(start_tree: StartTree) -> None:
    tree = start_tree(app=APP)
    tree.database.enqueue("many", "doc", payload=2_000)
    assert ended(tree, "doc", within=60).status == "done"
    assert len(steps_of(tree, "doc")) == 2_000
