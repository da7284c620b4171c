"""`queue.stack`: what a running task does, whatever it does, on whatever node, and it goes on."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sqlite3
import threading
import time
from contextlib import contextmanager

import pytest
from databases import Database, on_every_backend
from tree import StartTree, Tree, eventually

from goque import TaskStateError, WaitTimeoutError
from goque.stacks.task_stack import TaskStack

APP = """
import re, select, socket

registry.pool("default", workers=4, min_workers=1)
registry.pool("blocked", workers=1)

def spin():
    while True:
        sum(range(100))

@registry.processor("spin", timeout=300, timeout_grace=0.2)
def spinning(task: Task):
    note("start", task.external_id, os.getpid())
    spin()

@registry.processor("sleep", timeout=300, timeout_grace=0.2)
def sleeping(task: Task):
    note("start", task.external_id, os.getpid())
    goque.current_task().step("nap", time.sleep, 300)

@registry.processor("lock", timeout=300, timeout_grace=0.2)
def holding_the_lock_of_the_interpreter(task: Task):
    note("start", task.external_id, os.getpid())
    re.match("(a+)+$", "a" * 45 + "b")

async def leaf(task):
    note("start", task.external_id, os.getpid())
    await asyncio.sleep(300)

async def items(task):
    await leaf(task)
    yield 1

@registry.processor("chain", timeout=300, timeout_grace=0.2)
async def chained(task: Task):
    async for _ in items(task):
        pass

@registry.processor("group", timeout=300, timeout_grace=0.2)
async def grouped(task: Task):
    async with asyncio.TaskGroup() as group:
        group.create_task(leaf(task))
        group.create_task(asyncio.sleep(300))

@registry.processor("blocked", timeout=300, timeout_grace=0.2, pool="blocked")
async def blocking(task: Task):
    note("start", task.external_id, os.getpid())
    time.sleep(300)
"""
FUNCTIONS = {
    "spin": ("thread", ["spinning", "spin"]),
    "sleep": ("thread", ["sleeping", "step"]),
    "lock": ("thread", ["holding_the_lock_of_the_interpreter", "match"]),
    "chain": ("coroutine", ["chained", "items", "leaf", "sleep"]),
    "group": ("coroutine", ["grouped", "TaskGroup.__aexit__"]),
    "blocked": ("loop", ["blocking"]),
}


def stack_of(tree: Tree, name: str) -> TaskStack:
    """Return the stack of a task within the 3 s that it may take, and a second for a busy machine."""
    began = time.monotonic()
    stack = tree.database.queue.stack(tree.database.task(name).id)
    assert time.monotonic() - began < 4
    return stack


def stack_or_none(tree: Tree, name: str) -> TaskStack | None:
    try:
        return stack_of(tree, name)
    except WaitTimeoutError:
        return None  # the fetcher is not up yet


def end_all(database: Database) -> None:
    for task in database.tasks():
        database.queue.cancel_task(task.id)
    eventually(database.is_settled, within=20)


@contextmanager
def frozen(*pids: int):
    """Stop processes, as an overloaded machine or a debugger does."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


@on_every_backend
def test_whatever_a_task_does_its_stack_is_shown_and_it_goes_on(start_tree: StartTree) -> None:
    tree = start_tree(app=APP)
    for name in FUNCTIONS:
        tree.database.enqueue(name, name)
    pids = {name: tree.running_pid(name) for name in FUNCTIONS}
    for name, (source, functions) in FUNCTIONS.items():
        stack = stack_of(tree, name)
        assert (stack.source, [frame.function for frame in stack.frames]) == (source, functions)
        assert stack.worker_pid == pids[name]
        assert (stack.type, stack.attempt, stack.step) == (name, 1, "nap" if name == "sleep" else "")
        assert stack.seconds > 0
        assert stack.frames[0].file == str(tree.directory / "app.py")
    assert "sum(range(100))" in str(stack_of(tree, "spin"))
    children = stack_of(tree, "group").asyncio_tasks
    assert sorted(stack[0].function for stack in children) == ["leaf", "sleep"]
    assert "perhaps for another task" in stack_of(tree, "blocked").note
    again = stack_of(tree, "spin")
    assert (again.worker_pid, again.attempt) == (pids["spin"], 1)
    assert tree.database.counts() == {"processing": len(FUNCTIONS)}
    end_all(tree.database)


def test_each_of_two_nodes_answers_for_its_tasks(start_tree: StartTree, database: Database) -> None:
    trees = [start_tree("--types", "spin", app=APP, apart=True), start_tree("--types", "sleep", apart=True)]
    database.enqueue("spin", "spin")
    database.enqueue("sleep", "sleep")
    for tree, name in zip(trees, ("spin", "sleep"), strict=True):
        pid = tree.running_pid(name)
        stack = stack_of(tree, name)
        assert stack.worker_pid == pid
        assert pid in tree.living()
        assert stack.node == database.task(name).claimed_by
    end_all(database)


BUSY = """
import select, socket, subprocess

@registry.processor("wait", workers=1, timeout=60)
def wait(task: Task):
    note("start", task.external_id, os.getpid())
    ours, theirs = socket.socketpair()
    threading.Timer(1.0, theirs.send, [b"x"]).start()
    got = ours.recv(1)
    select.select([], [], [], 0.5)
    time.sleep(0.5)
    subprocess.run(["sleep", "0.5"], check=True)
    threading.Event().wait(0.5)
    note("end", task.external_id, os.getpid())
    return got.decode()

@registry.processor("own", workers=1, timeout=60)
def own(task: Task):
    signal.signal(signal.SIGUSR2, signal.SIG_DFL)
    note("start", task.external_id, os.getpid())
    hold(task)
"""


def test_a_handler_is_not_disturbed_by_many_who_look(start_tree: StartTree) -> None:
    tree = start_tree("--types", "wait", app=BUSY)
    tree.database.enqueue("wait", "w")
    tree.running_pid("w")
    task_id, stacks = tree.database.task("w").id, []

    def look() -> None:
        while not tree.database.is_settled():
            try:
                stacks.append(tree.database.queue.stack(task_id))
            except TaskStateError:
                return

    threads = [threading.Thread(target=look) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    task = tree.database.task("w")
    assert (task.status, task.attempts, len(tree.started("w"))) == ("done", 0, 1)
    assert {stack.frames[0].function for stack in stacks} == {"wait"}


def test_a_process_without_goques_handler_of_the_signal_is_not_ended_by_it(start_tree: StartTree) -> None:
    tree = start_tree("--types", "own", app=BUSY)
    tree.database.enqueue("own", "o")
    tree.running_pid("o")
    with pytest.raises(WaitTimeoutError, match="another handler for SIGUSR2 than goque's"):
        stack_of(tree, "o")
    tree.let_go("o")
    eventually(tree.database.is_settled)
    assert (tree.database.task("o").status, len(set(tree.started("o")))) == ("done", 1)


def test_a_frozen_process_and_a_frozen_node_are_named(start_tree: StartTree) -> None:
    tree = start_tree("--types", "sleep", "--node-timeout", "60", app=APP)
    tree.database.enqueue("sleep", "s")
    pid = tree.running_pid("s")
    assert stack_of(tree, "s").worker_pid == pid
    with frozen(pid), pytest.raises(WaitTimeoutError, match=rf"its process \(pid {pid}\) is stopped"):
        stack_of(tree, "s")
    with frozen(*tree.living()):
        with pytest.raises(WaitTimeoutError, match=r"the node of task .* has not answered within 3 s"):
            stack_of(tree, "s")
        threading.Timer(0.5, lambda: tree.database.queue.cancel_task(tree.database.task("s").id)).start()
        with pytest.raises(TaskStateError, match="has stopped running meanwhile: it is canceled"):
            stack_of(tree, "s")
    eventually(tree.database.is_settled, within=20)


def test_the_next_fetcher_answers_for_what_it_has_taken_over(start_tree: StartTree) -> None:
    tree = start_tree("--types", "chain,sleep", app=APP)
    for name in ("chain", "sleep"):
        tree.database.enqueue(name, name)
    pids = {name: tree.running_pid(name) for name in ("chain", "sleep")}
    [fetcher] = tree.pids("fetcher")
    os.kill(fetcher, signal.SIGKILL)
    eventually(lambda: [pid for pid in tree.pids("fetcher") if pid != fetcher], within=10)
    for name, pid in pids.items():
        stack = eventually(lambda name=name: stack_or_none(tree, name), within=15)
        assert (stack.worker_pid, stack.source) == (pid, FUNCTIONS[name][0])
    end_all(tree.database)


def test_rows_that_somebody_else_wrote_stop_nobody(start_tree: StartTree) -> None:
    tree = start_tree("--types", "spin,sleep", app=APP)
    tree.database.enqueue("sleep", "s")
    tree.running_pid("s")
    task = tree.database.task("s")
    rows = [("", task.id), ("\x1b[31m", task.id), (b"\xff", task.id), ("a", b"\xff"), ("b", ""), (7, 7)]
    with contextlib.closing(sqlite3.connect(tree.database.path)) as connection, connection:
        connection.executemany(
            "INSERT INTO goque_stack (id, task_id, owner, asked_at) VALUES (?, ?, ?, 'never')",
            [(*row, task.claimed_by) for row in rows],
        )
    for _ in range(3):
        assert stack_of(tree, "s").step == "nap"
    assert len(tree.started("s")) == 1
    end_all(tree.database)


KILLED = """
@registry.processor("stubborn", workers=1, timeout=300, timeout_grace=0.5, max_attempts=1)
def stubborn(task: Task):
    note("start", task.external_id, os.getpid())
    while True:
        try:
            insist()
        except BaseException:
            pass

def insist():
    while True:
        time.sleep(0.01)

@registry.processor("stall", workers=1, timeout=300, stall_timeout=1, timeout_grace=0.5, max_attempts=1)
def stall(task: Task):
    stubborn(task)

@registry.processor("astubborn", workers=1, timeout=1, timeout_grace=0.5, max_attempts=1)
async def astubborn(task: Task):
    note("start", task.external_id, os.getpid())
    while True:
        try:
            await ainsist()
        except asyncio.CancelledError:
            pass

async def ainsist():
    await asyncio.sleep(60)
"""


@on_every_backend
def test_a_process_that_is_killed_leaves_its_stack_in_the_attempt(start_tree: StartTree) -> None:
    tree = start_tree(app=KILLED)
    database = tree.database
    for name in ("stall", "astubborn", "stubborn"):
        database.enqueue(name, name)
        tree.running_pid(name)
    database.queue.cancel_task(database.task("stubborn").id)
    eventually(database.is_settled, within=20)
    expected = {
        "stall": ("timeout", "no progress for 1s", " in insist\n"),
        "astubborn": ("timeout", "task processing timeout: 1s", " in ainsist\n"),
        "stubborn": ("canceled", "the task was canceled while it ran", " in insist\n"),
    }
    for name, (cause, error, function) in expected.items():
        [attempt] = database.attempts(database.task(name))
        assert (attempt.failed.attempt, attempt.failed.cause, attempt.failed.error) == (1, cause, error)
        assert function in (attempt.failed.stack or ""), name
        assert attempt.failed.signal == 9
    canceled = database.task("stubborn")
    assert (canceled.status, canceled.attempts, canceled.errors) == ("canceled", 0, None)
    listed = {line.cause for line in database.queue.storage.failures()}
    assert listed == {"timeout"}, "a cancel is no failure"
    for begin, function in (
        ("attempt 1 of 1 failed: no progress for 1s", "insist"),
        ("attempt 1 of 1 failed: task processing timeout: 1s", "ainsist"),
        ("canceled while it ran", "insist"),
    ):
        ignored = "the handler did not stop within timeout_grace=0.5, so its process was killed"
        told = rf"{begin}[;:] {ignored} in {function} \(/.*\.py, line \d+\)"
        eventually(lambda told=told: re.search(told, tree.log))  # the log follows the commit


def test_a_process_that_is_killed_at_the_shutdown_leaves_its_stack_and_costs_no_attempt(
    start_tree: StartTree,
) -> None:
    tree = start_tree("--types", "stubborn", "--shutdown-timeout", "1", app=KILLED)
    tree.database.enqueue("stubborn", "s")
    tree.running_pid("s")
    assert tree.stop() == 0
    task = tree.database.task("s")
    assert (task.status, task.attempts, task.errors) == ("new", 0, None)
    [attempt] = tree.database.attempts(task)
    assert (attempt.failed.attempt, attempt.failed.cause) == (1, "interrupted")
    assert " in insist\n" in (attempt.failed.stack or "")
