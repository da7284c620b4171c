"""Handlers that raise anything, hang, or leak: what it costs them, and that their worker lives if it can."""

from __future__ import annotations

import os
import signal

import pytest
from databases import Database, on_every_backend
from tree import StartTree, eventually

RAISING = r"""
class Mute(Exception):
    def __str__(self):
        raise RuntimeError("no words")

class Worse(BaseException):
    def __str__(self):
        sys.exit("no words")
    __repr__ = __str__

def misbehave(how):
    match how:
        case "sys.exit": sys.exit()
        case "sys.exit with a text": sys.exit("enough")
        case "KeyboardInterrupt": raise KeyboardInterrupt
        case "GeneratorExit": raise GeneratorExit
        case "a BaseException": raise Worse("a")
        case "a mute exception": raise Mute("a")
        case "a huge message": raise ValueError("x" * 10_000_000)
        case "no UTF-8": raise ValueError(b"\xff\xfe".decode("utf-8", "surrogateescape"))
        case "control characters": raise ValueError("a\x00b\x1b[31mc\rd\ne")
        case "several lines": raise ValueError("first\nsecond\nthird")
        case "recursion": misbehave(how)
        case "an exception group": raise ExceptionGroup("several", [ValueError("a"), TypeError("b")])

@registry.processor("raise", workers=1, max_attempts=1)
def handler(task: Task):
    note("start", task.external_id, os.getpid())
    misbehave(task.payload)

@registry.processor("araise", workers=1, max_attempts=1)
async def async_handler(task: Task):
    await asyncio.sleep(0.001)
    handler(task)
"""
SAID = {
    "sys.exit": "SystemExit",
    "sys.exit with a text": "SystemExit: enough",
    "KeyboardInterrupt": "KeyboardInterrupt",
    "GeneratorExit": "GeneratorExit",
    "a BaseException": "app.Worse (its text cannot be read: SystemExit)",
    "a mute exception": "app.Mute (its text cannot be read: RuntimeError)",
    "a huge message": "ValueError: " + "x" * 4000,
    "no UTF-8": r"ValueError: \udcff\udcfe",
    "control characters": r"ValueError: a\x00b\x1b[31mc",
    "several lines": "ValueError: first",
    "recursion": "RecursionError: maximum recursion depth exceeded",
    "an exception group": "ExceptionGroup: several (2 sub-exceptions)",
}


@pytest.mark.fault(4)
@pytest.mark.parametrize("task_type", ["raise", "araise"])
def test_whatever_a_handler_raises_fails_its_attempt_and_spares_its_worker(
    start_tree: StartTree, task_type: str
) -> None:
    tree = start_tree("--types", task_type, app=RAISING)
    for number, how in enumerate(SAID):
        tree.database.enqueue(task_type, f"t{number}", payload=how)
    eventually(tree.database.is_settled)
    for number, said in enumerate(SAID.values()):
        task = tree.database.task(f"t{number}")
        assert (task.status, task.attempts) == ("attempts_left", 1)
        assert task.errors.startswith(f"attempt 1: {said}"), task.errors[:200]
        assert task.errors.count("\n") == 1
        assert len(task.errors.encode()) <= 16 * 1024
        (attempt,) = tree.database.attempts(task)
        assert attempt.failed.cause == "failed"
        assert len(attempt.failed.traceback.encode()) <= 16 * 1024
        assert (attempt.failed.traceback + attempt.failed.error).replace("\n", "").isprintable()
    pids = {line[2] for line in tree.journal()}
    assert pids == {str(pid) for pid in tree.workers(task_type)}
    assert len(pids) == 1


HANGING = """
options = dict(workers=1, timeout=0.7, timeout_grace=1.0, max_attempts=1, fetch_tick=0.05)

@registry.processor("hang", **options)
def hang(task: Task):
    note("start", task.external_id, os.getpid())
    match task.payload:
        case "sleep": time.sleep(1000)
        case "swallow and return":
            try:
                time.sleep(1000)
            except goque.TaskTimeout:
                return
        case "swallow and go on":
            while True:
                try:
                    time.sleep(1000)
                except BaseException:
                    pass
        case "hang in C": sum(range(10**13))
        case "block all signals":
            signal.pthread_sigmask(signal.SIG_BLOCK, set(signal.Signals))
            time.sleep(1000)
        case "raise something else":
            try:
                time.sleep(1000)
            except goque.TaskTimeout:
                raise ValueError("I was interrupted") from None

@registry.processor("fine", **options)
def fine(task: Task):
    with run_of(task):
        pass
"""


@pytest.mark.fault(8)
@pytest.mark.parametrize(
    ("how", "survives"),
    [
        ("sleep", True),
        ("swallow and return", True),
        ("raise something else", True),
        ("swallow and go on", False),
        ("hang in C", False),
        ("block all signals", False),
    ],
)
def test_a_handler_past_its_timeout_is_interrupted_and_killed_if_that_does_not_help(
    start_tree: StartTree, how: str, survives: bool
) -> None:
    tree = start_tree(app=HANGING)
    tree.database.enqueue("hang", "slow", payload=how)
    pid = tree.running_pid("slow")
    eventually(tree.database.is_settled, within=6)
    task = tree.database.task("slow")
    assert (task.status, task.attempts) == ("attempts_left", 1)
    assert task.errors == "attempt 1: task processing timeout: 0.7s\n"
    (attempt,) = tree.database.attempts(task)
    assert attempt.failed.cause == "timeout"
    assert attempt.failed.signal == (None if survives else 9)
    if how in ("swallow and go on", "hang in C"):
        assert " in hang\n" in (attempt.failed.stack or ""), "where it was when its time was up"
    assert 0.7 <= attempt.failed.duration < 5
    assert (pid in tree.workers("hang")) == survives
    tree.database.enqueue("hang", "next", payload="be quick")
    tree.database.enqueue("fine", "neighbour")
    eventually(tree.database.is_settled)
    assert tree.database.task("next").status == "done"


@pytest.mark.fault(7)
def test_a_stopped_worker_is_killed_at_the_timeout_of_its_task(start_tree: StartTree) -> None:
    tree = start_tree("--types", "hang", app=HANGING)
    tree.database.enqueue("hang", "frozen", payload="sleep")
    pid = tree.running_pid("frozen")
    os.kill(pid, signal.SIGSTOP)
    eventually(tree.database.is_settled, within=6)
    task = tree.database.task("frozen")
    assert (task.status, task.errors) == ("attempts_left", "attempt 1: task processing timeout: 0.7s\n")
    assert pid not in tree.living()
    tree.database.enqueue("hang", "next", payload="be quick")
    eventually(tree.database.is_settled)


LEAKING = """
leaked = []

@registry.processor("leak", workers=1, max_memory=150, max_attempts=1)
def leak(task: Task):
    note("start", task.external_id, os.getpid())
    leaked.append(bytearray(os.urandom(1024) * 1024 * task.payload))

@registry.processor("count", workers=1, max_tasks=5)
def count(task: Task):
    with run_of(task):
        pass

@registry.processor("acount", workers=1, max_tasks=5)
async def acount(task: Task):
    with run_of(task):
        await asyncio.sleep(0)
"""


@pytest.mark.fault(9)
def test_a_worker_that_passes_max_memory_is_replaced_after_its_task(start_tree: StartTree) -> None:
    tree = start_tree("--types", "leak", app=LEAKING)
    tree.database.enqueue("leak", *(f"leak-{n}" for n in range(6)), payload=60)
    eventually(tree.database.is_settled)
    assert {(task.status, task.attempts) for task in tree.database.tasks()} == {("done", 0)}
    pids = [line[2] for line in tree.journal()]
    assert len(pids) == 6
    assert len(set(pids)) >= 2
    assert "is replaced: memory" in tree.log


@pytest.mark.parametrize("task_type", ["count", "acount"])
def test_a_worker_is_replaced_after_max_tasks_and_no_task_is_lost(
    start_tree: StartTree, task_type: str
) -> None:
    names = [f"t{n}" for n in range(32)]
    tree = start_tree("--types", task_type, app=LEAKING)
    tree.database.enqueue(task_type, *names)
    eventually(tree.database.is_settled)
    assert {(task.status, task.attempts, task.errors) for task in tree.database.tasks()} == {
        ("done", 0, None)
    }
    tree.assert_each_ran(1, names)
    runs = [line[2] for line in tree.journal() if line[0] == "start"]
    assert max(runs.count(pid) for pid in runs) <= (5 if task_type == "count" else 5 + 100)
    assert len(set(runs)) >= (7 if task_type == "count" else 1)


@on_every_backend
@pytest.mark.fault(37)
def test_row_37_a_task_whose_errors_are_full_still_settles_and_keeps_the_newest(
    start_tree: StartTree, database: Database
) -> None:
    wordy = """
@registry.processor("wordy", workers=1, max_attempts=30, fetch_tick=0.05, next_attempt_at=retry.static(0.001))
def wordy(task: Task):
    raise ValueError(f"failure {task.attempts + 1}: " + "é" * 1000)
"""
    written_by_others = "\n".join(f"attempt {n}: " + "x" * 990 for n in range(60)) + "\n"
    database.enqueue("wordy", "from nothing")
    database.enqueue("wordy", "full before")
    database.execute(
        f"UPDATE goque_task SET errors = '{written_by_others}' WHERE external_id = 'full before'"
    )
    start_tree(app=wordy)
    eventually(database.is_settled)
    for task in database.tasks("wordy"):
        assert (task.status, task.attempts) == ("attempts_left", 30)
        lines = task.errors.splitlines()
        assert len(task.errors.encode()) <= 16 * 1024
        assert len(lines) >= 7
        assert [line.partition(": é")[0] for line in lines] == [
            f"attempt {n}: ValueError: failure {n}" for n in range(31 - len(lines), 31)
        ]
        assert len(database.attempts(task)) == 30
