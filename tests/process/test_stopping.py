"""SIGTERM and --drain: what is finished, what is given back, how long it takes, and the exit code."""

from __future__ import annotations

import os
import signal
import sys
import time

import pytest
from databases import on_every_backend
from tree import Database, StartTree, Tree, eventually

APP = """
options = dict(fetch_tick=0.1, next_attempt_at=retry.static(0), timeout=60)
registry.processor("hold", workers=2, **options)(hold)

@registry.processor("ahold", workers=1, concurrency=100, **options)
async def ahold(task: Task):
    note("start", task.external_id, os.getpid())
    while not Path("journal", "all.go").exists():
        await asyncio.sleep(0.05)
    note("end", task.external_id, os.getpid())

@registry.processor("deaf", workers=1, **options)
def deaf(task: Task):
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
    hold(task)

@registry.processor("quick", workers=1, **options)
def quick(task: Task):
    with run_of(task):
        pass
"""

EARLY = """
import os, signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
os.kill(os.getpid(), signal.SIGTERM)
os.execvp(sys.argv[1], sys.argv[1:])
"""
"""Runs a command that has got a SIGTERM before its first line."""


def let_go_what_runs(tree: Tree) -> None:
    """Let each task that has begun come to its end."""
    tree.let_go(*{line[1] for line in tree.journal()})


def finish_later(start_tree: StartTree, tree: Tree) -> None:
    """Let a tree that starts afterwards run what was given back."""
    tree.let_go("all", *(task.external_id for task in tree.database.tasks()))
    assert start_tree("--drain").wait() == 0


@on_every_backend
@pytest.mark.fault(18)
def test_running_handlers_end_within_the_deadline_and_what_has_not_begun_is_given_back(
    start_tree: StartTree,
) -> None:
    tree = start_tree("--types", "hold", app=APP)
    tree.database.enqueue("hold", *(f"t{n}" for n in range(300)))
    eventually(lambda: len(tree.journal()) == 2)
    tree.signal(signal.SIGTERM)
    eventually(lambda: let_go_what_runs(tree) or tree.process.poll() is not None)
    assert tree.wait() == 0
    started = {line[1] for line in tree.journal()}
    assert 2 <= len(started) < 300  # a worker may begin one more task until it hears of the stop
    for task in tree.database.tasks():
        assert (task.status, task.attempts) == ("done" if task.external_id in started else "new", 0)
    tree.assert_each_ran(1, started)
    finish_later(start_tree, tree)


@pytest.mark.fault(18)
def test_a_hundred_running_tasks_are_given_back_uncharged_at_the_deadline(start_tree: StartTree) -> None:
    tree = start_tree("--shutdown-timeout", "0.5", app=APP)
    tree.database.enqueue("ahold", *(f"t{n}" for n in range(100)))
    tree.database.enqueue("hold", "sync")
    tree.database.enqueue("deaf", "deaf")
    eventually(lambda: len(tree.journal()) == 102)
    assert tree.stop(within=0.5 + 5) == 0
    assert {(task.status, task.attempts, task.errors) for task in tree.database.tasks()} == {("new", 0, None)}
    assert "goque stops and requeues them" in tree.log
    finish_later(start_tree, tree)
    assert tree.database.counts() == {"done": 102}


@pytest.mark.fault(18)
def test_a_second_signal_gives_everything_back_at_once(start_tree: StartTree) -> None:
    tree = start_tree(app=APP)
    tree.database.enqueue("hold", "one")
    tree.database.enqueue("deaf", "two")
    tree.running_pid("one"), tree.running_pid("two")
    tree.signal(signal.SIGINT)
    eventually(lambda: "stopping" in tree.log)
    begun = time.monotonic()
    tree.signal(signal.SIGTERM)
    assert tree.wait() == 0
    assert time.monotonic() - begun < 5
    assert {(task.status, task.attempts) for task in tree.database.tasks()} == {("new", 0)}
    finish_later(start_tree, tree)


@pytest.mark.fault(18)
@pytest.mark.parametrize("point", ["importing the app", "booting workers", "at once"])
def test_a_tree_that_is_still_booting_stops_when_told(start_tree: StartTree, point: str) -> None:
    waits = {
        "importing the app": "note('import'); time.sleep(2)",
        "booting workers": """
if "goque:w" in Path("/proc/self/comm").read_text():
    note("import")
    time.sleep(2)
""",
        "at once": "",
    }
    tree = start_tree("--start-method", "spawn", app=APP + waits[point])
    tree.database.enqueue("quick", "untouched")
    if waits[point]:
        eventually(tree.journal)
    else:
        eventually(lambda: tree.living().get(tree.root) == "goque:root")
    assert tree.stop(within=5) == 0
    assert tree.database.task("untouched").status in ("new", "done")
    assert tree.database.task("untouched").attempts == 0


@on_every_backend
@pytest.mark.fault(18)
def test_a_shutdown_with_the_database_down_ends_with_exit_code_3_and_the_next_tree_takes_the_results(
    start_tree: StartTree,
) -> None:
    tree = start_tree("--shutdown-timeout", "1", app=APP)
    tree.database.enqueue("hold", "finished", "running")
    tree.running_pid("finished"), tree.running_pid("running")
    eventually(lambda: tree.database.counts() == {"processing": 2})
    with tree.database.locked():
        begun = time.monotonic()
        tree.signal(signal.SIGTERM)
        eventually(lambda: "stopping" in tree.log)
        tree.let_go("finished")
        assert tree.wait() == 3
        assert time.monotonic() - begun < 1 + 5 + 2
    assert "could not be written" in tree.log
    assert [path.suffix for path in tree.run_dir.glob("*/*.sock")] == []
    tree.let_go("running")
    start_tree()
    eventually(tree.database.is_settled, within=5 + 3)
    outcomes = {task.external_id: (task.status, task.attempts) for task in tree.database.tasks()}
    assert outcomes == {"finished": ("done", 0), "running": ("done", 1)}
    assert "stopped without access to its database" in (tree.database.task("running").errors or "")
    tree.assert_each_ran(1, ["finished"])


CHAIN = """
@registry.processor("first", workers=2)
def first(task: Task):
    time.sleep(0.05)
    registry.queue.enqueue("second", {"n": 1}, external_id=task.external_id)

@registry.processor("second", workers=1)
async def second(task: Task):
    await asyncio.sleep(0.05)
    registry.queue.enqueue("third", external_id=task.external_id)

@registry.processor("third", workers=1)
def third(task: Task):
    if task.attempts == 0 and task.external_id == "t3":
        raise goque.RetryTask(delay=0.2)
    goque.TaskQueueManager().enqueue("fourth", external_id=task.external_id)

@registry.processor("fourth", workers=1)
def fourth(task: Task):
    note("fourth", task.external_id)
"""


@on_every_backend
def test_drain_waits_for_follow_up_tasks_of_other_types_and_exits_with_0(
    start_tree: StartTree, database: Database
) -> None:
    names = [f"t{n}" for n in range(5)]
    database.enqueue("first", *names)
    database.enqueue("first", "tomorrow", delay=86400)
    tree = start_tree("--drain", app=CHAIN)
    assert tree.wait() == 0
    assert tree.database.counts("first") == {"done": 5, "new": 1}
    assert tree.database.counts("second") == {"done": 5}
    assert tree.database.counts("fourth")["done"] >= 4
    assert {line[1] for line in tree.journal()} >= {f"t{n}" for n in (0, 1, 2, 4)}


def test_drain_with_nothing_to_do_exits_with_0_at_once(start_tree: StartTree) -> None:
    assert start_tree("--drain", app=APP).wait(within=10) == 0


def test_drain_of_some_types_leaves_the_others_alone(start_tree: StartTree) -> None:
    tree = start_tree("--types", "quick", app=APP)
    tree.database.enqueue("hold", "other")
    tree.database.enqueue("quick", "mine")
    eventually(lambda: tree.database.task("mine").status == "done")
    assert tree.stop() == 0
    assert start_tree("--drain", "--exclude-types", "hold,deaf,ahold").wait() == 0
    assert tree.database.task("other").status == "new"


def test_handlers_enqueue_into_the_database_that_the_flag_names(
    start_tree: StartTree, database: Database
) -> None:
    database.enqueue("first", "t1")
    tree = start_tree(
        "--drain", "--database-url", database.url, app=CHAIN, GOQUE_DATABASE_URL="sqlite:///other.db"
    )
    assert tree.wait() == 0
    assert tree.database.counts("fourth") == {"done": 1}


ADDING = """
def insert_once_the_main_thread_has_ended(tasks, **options):
    while threading.main_thread().is_alive():
        time.sleep(0.01)
    return insert_tasks(tasks, **options)

insert_tasks = registry.queue.storage.insert_tasks
registry.queue.storage.insert_tasks = insert_once_the_main_thread_has_ended

registry.declare("follow-up")
@registry.processor("adding", workers=1, fetch_tick=0.1, timeout=60)
def adding(task: Task):
    for number in range(300):
        registry.queue.add_task_in_background(Task("follow-up", external_id=str(number)))
"""


def test_what_a_handler_adds_in_the_background_is_added_before_its_worker_leaves(
    start_tree: StartTree,
) -> None:
    tree = start_tree("--types", "adding", app=ADDING)
    tree.database.enqueue("adding", "one")
    eventually(lambda: tree.database.task("one").status == "done")
    assert tree.stop() == 0
    assert tree.database.counts("follow-up") == {"new": 300}


THREADS = """
registry.declare("asked")
@registry.processor("asks", workers=1)
async def asks(task: Task):
    await registry.async_queue.enqueue("asked")

@registry.processor("leaves", workers=1)
def leaves(task: Task):
    threading.Thread(target=time.sleep, args=(600,), name="left-behind").start()
"""


@on_every_backend
def test_only_threads_that_keep_a_worker_from_its_end_are_told_of(
    start_tree: StartTree, database: Database
) -> None:
    database.enqueue("asks", "t1")
    database.enqueue("leaves", "t2")
    tree = start_tree(app=THREADS)
    eventually(lambda: {database.task(name).status for name in ("t1", "t2")} == {"done"})
    assert tree.stop() == 0
    told = [line for line in tree.log.splitlines() if "left threads running" in line]
    assert len(told) == 1
    assert "handlers left threads running (left-behind)" in told[0]


def test_a_tree_stops_in_order_though_a_nursery_hung_over_a_worker_that_it_was_to_fork(
    start_tree: StartTree,
) -> None:
    hangs = """
def hang():
    while Path("journal", "hang.go").exists():
        time.sleep(0.05)

os.register_at_fork(after_in_child=hang)
"""
    tree = start_tree("--types", "quick", app=APP + hangs)
    (worker,) = eventually(lambda: tree.workers("quick"))
    nursery = tree.pid("app")
    tree.let_go("hang")
    os.kill(worker, signal.SIGKILL)
    eventually(lambda: len(tree.pids("app")) == 2)  # the fork between it and the next worker
    tree.signal(signal.SIGTERM)
    eventually(lambda: "stopping" in tree.log)
    os.kill(nursery, signal.SIGKILL)
    assert tree.wait(within=15) == 0
    assert "by force" not in tree.log


@pytest.mark.fault(18)
def test_a_signal_that_comes_before_the_root_can_hear_it_is_obeyed_once_it_can(start_tree: StartTree) -> None:
    tree = start_tree(app=APP, wrapped_in=[sys.executable, "-c", EARLY])
    assert tree.wait(30) == 0, tree.log
    assert "SIGTERM before the tree was up" in tree.log
