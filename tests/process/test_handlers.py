"""What handlers can be and do: typed, async, with hooks, retries, results, limits, and functions for crashes."""

from __future__ import annotations

import json
import os
import signal
import time
from datetime import UTC, datetime

import pytest
from tree import StartTree, eventually, free_port, get

ASYNC = """
options = dict(workers=1, fetch_tick=0.1, next_attempt_at=retry.static(0), max_attempts=2)

@registry.processor("ahold", concurrency=50, timeout=30, **options)
async def ahold(task: Task):
    with run_of(task):
        while not Path("journal", f"{task.external_id}.go").exists():
            await asyncio.sleep(0.01)

@registry.processor("atime", concurrency=5, timeout=0.5, timeout_grace=0.3, **(options | {"max_attempts": 1}))
async def atime(task: Task):
    match task.payload:
        case "await": await asyncio.sleep(100)
        case "swallow":
            try:
                await asyncio.sleep(100)
            except asyncio.CancelledError:
                return "nothing happened"
        case "quick": await asyncio.sleep(0.05)

@registry.processor("adeaf", concurrency=5, timeout=2, timeout_grace=1, **(options | {"max_attempts": 1}))
async def adeaf(task: Task):
    note("start", task.external_id)
    if task.external_id == "young":
        await asyncio.sleep(100 if task.claims == 1 else 0)
        return
    while True:
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            note("ignored")
"""


def test_async_handlers_run_concurrently_in_one_process(start_tree: StartTree) -> None:
    names = [f"t{n}" for n in range(120)]
    tree = start_tree("--types", "ahold", app=ASYNC)
    tree.database.enqueue("ahold", *names)
    eventually(lambda: len(tree.journal()) == 50)
    assert len({line[2] for line in tree.journal()}) == 1
    tree.let_go(*names)
    eventually(tree.database.is_settled)
    assert {(task.status, task.attempts) for task in tree.database.tasks()} == {("done", 0)}
    tree.assert_each_ran(1, names)


def test_the_crash_of_an_async_worker_charges_all_that_ran_in_it_and_nothing_else(
    start_tree: StartTree,
) -> None:
    names = [f"t{n}" for n in range(60)]
    tree = start_tree("--types", "ahold", app=ASYNC)
    tree.database.enqueue("ahold", *names)
    eventually(lambda: len(tree.journal()) == 50)
    running = {line[1] for line in tree.journal()}
    os.kill(tree.workers()[0], signal.SIGSEGV)
    tree.let_go(*names)
    eventually(tree.database.is_settled)
    for task in tree.database.tasks():
        ran_at_most_once_more = task.attempts == 1 if task.external_id in running else task.attempts == 0
        ended_before_the_signal = task.external_id in running and task.attempts == 0
        assert ran_at_most_once_more or ended_before_the_signal
        assert task.status == "done"
    assert {task.errors for task in tree.database.tasks()} <= {
        None,
        "attempt 1: worker crashed: signal 11 (SIGSEGV)\n",
    }


def test_async_handlers_past_their_timeout_are_cancelled_and_neighbours_go_on(start_tree: StartTree) -> None:
    tree = start_tree("--types", "atime", app=ASYNC)
    for how in ("await", "swallow", "quick"):
        tree.database.enqueue("atime", how, payload=how)
    eventually(tree.database.is_settled)
    timeout = "attempt 1: task processing timeout: 0.5s\n"
    assert tree.database.task("await").errors == timeout
    assert tree.database.task("swallow").errors == timeout
    assert tree.database.task("quick").status == "done"
    assert tree.log.count("SIGKILL") == 0


def test_an_async_handler_that_ignores_its_timeout_is_killed_and_its_neighbours_are_given_back(
    start_tree: StartTree,
) -> None:
    tree = start_tree("--types", "adeaf", app=ASYNC)
    tree.database.enqueue("adeaf", "old")
    eventually(lambda: ["ignored"] in tree.journal())
    tree.database.enqueue("adeaf", "young")
    eventually(tree.database.is_settled)
    assert tree.database.task("old").errors == "attempt 1: task processing timeout: 2s\n"
    assert (tree.database.task("young").status, tree.database.task("young").attempts) == ("done", 0)
    assert tree.journal() == [["start", "old"], ["ignored"], ["start", "young"], ["start", "young"]]


CANCEL = """
options = dict(workers=1, fetch_tick=0.2, timeout=60, timeout_grace=0.3)
registry.processor("hold", **options)(hold)

@registry.processor("stubborn", **options)
def stubborn(task: Task):
    note("start", task.external_id, os.getpid())
    while True:
        try:
            time.sleep(100)
        except BaseException as error:
            note("ignored", type(error).__name__)

@registry.processor("acancel", concurrency=10, **options)
async def acancel(task: Task):
    note("start", task.external_id, os.getpid())
    try:
        while not Path("journal", f"{task.external_id}.go").exists():
            await asyncio.sleep(0.01)
        note("end", task.external_id, os.getpid())
    except asyncio.CancelledError:
        note("cancelled", task.external_id)
        if task.payload == "swallow":
            return
        raise
"""


@pytest.mark.parametrize(
    ("task_type", "payload", "survives"),
    [("hold", None, True), ("stubborn", None, False), ("acancel", None, True), ("acancel", "swallow", True)],
)
def test_cancelling_a_running_task_stops_its_handler_and_its_neighbours_go_on(
    start_tree: StartTree, task_type: str, payload: str | None, survives: bool
) -> None:
    tree = start_tree("--types", task_type, app=CANCEL)
    (victim,) = tree.database.enqueue(task_type, "victim", payload=payload)
    pid = tree.running_pid("victim")
    if task_type == "acancel":
        tree.database.enqueue(task_type, "neighbour")
        assert tree.running_pid("neighbour") == pid
    assert tree.database.queue.cancel_task(victim.id)
    assert tree.database.task("victim").status == "canceled"
    eventually(lambda: tree.database.task("victim").claimed_by is None, within=5)
    if survives:
        assert tree.workers() == [pid]
    else:
        eventually(lambda: pid not in tree.workers())
    tree.let_go("neighbour")
    eventually(tree.database.is_settled)
    task = tree.database.task("victim")
    assert (task.status, task.attempts, task.errors) == ("canceled", 0, None)
    assert [one for one in tree.database.attempts(task) if one.failed.is_failure] == []
    tree.assert_each_ran(1, ["victim"])
    assert tree.database.queue.reset_attempts(task.id)
    tree.let_go("victim")
    if survives:
        eventually(tree.database.is_settled)
        assert tree.database.task("victim").status == "done"
    else:
        assert tree.database.queue.cancel_task(victim.id)


def test_cancelling_what_waits_behind_a_long_handler_keeps_it_from_ever_beginning(
    start_tree: StartTree,
) -> None:
    tree = start_tree("--types", "hold", app=CANCEL)
    tree.let_go("warm-up")
    tree.database.enqueue("hold", "warm-up")
    eventually(tree.database.is_settled)
    long, *rest = tree.database.enqueue("hold", "long", *(f"t{n}" for n in range(20)))
    tree.running_pid("long")
    for task in rest:
        tree.database.queue.cancel_task(task.id)
    eventually(lambda: [task.external_id for task in tree.database.tasks() if task.claimed_by] == ["long"])
    tree.let_go("long")
    eventually(tree.database.is_settled)
    assert tree.database.counts() == {"canceled": 20, "done": 2}
    assert {line[1] for line in tree.journal()} == {"warm-up", "long"}
    assert tree.database.queue.get_task(long.id).status == "done"


MOVES = """
import msgspec

class Email(msgspec.Struct):
    to: str

options = dict(workers=1, fetch_tick=0.05, next_attempt_at=retry.static(0), max_attempts=3)

@registry.processor("typed", **options)
def typed(task: goque.TypedTask[Email]) -> None:
    note("typed", task.payload.to, goque.current_task().external_id, goque.value_by_key("tenant"))

@registry.processor("payload", **options)
def payload(email: Email) -> None:
    note("payload", email.to)

@registry.processor("move", **options)
def move(task: Task):
    note("run", task.external_id, task.attempts)
    match task.payload:
        case "cancel": raise goque.TaskCanceled("no such customer")
        case "retry soon": raise goque.RetryTask("busy", delay=0.01)
        case "retry later": raise goque.RetryTask("busy", delay=3600)
        case "snooze":
            if not Path("journal", "woken.go").exists():
                raise goque.Snooze(0.05)
        case "raise": raise ValueError("first line\\nsecond line")
        case "recover":
            if task.attempts < 2:
                raise ValueError("not yet")

@registry.processor("result", store_result=True, max_result=1000, **(options | {"max_attempts": 1}))
def result(task: Task):
    match task.payload:
        case "small": return {"n": 1, "to": Email("a@b.c")}
        case "large": return "x" * 2000
        case "no JSON": return object()

@registry.processor("own", **(options | {"next_attempt_at": lambda failures: 0.01 * failures}))
def own(task: Task):
    note("own", task.attempts)
    if task.payload == "crash":
        os._exit(9)
    raise ValueError("again")

@registry.processor("late", **(options | {"next_attempt_at": lambda failures: 1 / 0}))
def late(task: Task):
    if task.payload == "crash":
        os._exit(9)
    raise ValueError("again")
"""


def test_payloads_come_typed_and_values_of_the_enqueuer_are_restored(start_tree: StartTree) -> None:
    import goque

    tree = start_tree("--types", "typed,payload", app=MOVES)
    with goque.with_value("tenant", "acme"):
        tree.database.enqueue("typed", "good", payload={"to": "a@b.c"})
    tree.database.enqueue("typed", "bad", payload={"from": "a@b.c"})
    tree.database.enqueue("payload", "p", payload={"to": "d@e.f"})
    eventually(tree.database.is_settled)
    assert sorted(tree.journal()) == [["payload", "d@e.f"], ["typed", "a@b.c", "good", "acme"]]
    bad = tree.database.task("bad")
    assert (bad.status, bad.attempts) == ("attempts_left", 3)
    assert "payload does not decode" in bad.errors


def test_a_handler_moves_its_task_by_what_it_raises(start_tree: StartTree) -> None:
    tree = start_tree("--types", "move", app=MOVES)
    hows = ("cancel", "retry soon", "retry later", "snooze", "raise", "recover")
    for how in hows:
        tree.database.enqueue("move", how.replace(" ", "-"), payload=how)
    runs = lambda name: [line[2] for line in tree.journal() if line[1] == name]  # noqa: E731 - used four times below
    eventually(lambda: len(runs("snooze")) > 3)
    tree.let_go("woken")
    eventually(
        lambda: tree.database.counts("move") == {"canceled": 1, "attempts_left": 2, "error": 1, "done": 2}
    )
    task = tree.database.task
    assert task("cancel").errors == "canceled: no such customer\n"
    assert task("cancel").attempts == 0
    assert task("retry-soon").errors == "".join(f"attempt {n}: goque.RetryTask: busy\n" for n in (1, 2, 3))
    assert (task("retry-later").status, task("retry-later").attempts) == ("error", 1)
    assert 3500 < (task("retry-later").next_attempt_at - datetime.now(UTC)).total_seconds() <= 3600
    assert (task("snooze").status, task("snooze").attempts, task("snooze").errors) == ("done", 0, None)
    assert set(runs("snooze")) == {"0"}
    assert task("raise").errors.splitlines() == [f"attempt {n}: ValueError: first line" for n in (1, 2, 3)]
    (first, *_rest) = tree.database.attempts(task("raise"))
    assert "second line" in first.failed.error
    assert "app.py" in first.failed.traceback
    assert (task("recover").status, task("recover").attempts) == ("done", 2)
    tree.database.queue.cancel_task(task("retry-later").id)


def test_results_are_kept_up_to_their_limit(start_tree: StartTree) -> None:
    tree = start_tree("--types", "result", app=MOVES)
    queue = tree.database.queue
    small, large, no_json = (queue.enqueue("result", how) for how in ("small", "large", "no JSON"))
    assert queue.wait(small.id, timeout=15).result == {"n": 1, "to": {"to": "a@b.c"}}
    assert "more than max_result 1000" in queue.wait(large.id, timeout=15).errors
    assert "cannot be JSON" in queue.wait(no_json.id, timeout=15).errors


def test_a_next_attempt_at_of_the_users_own_decides_after_errors_and_after_crashes(
    start_tree: StartTree,
) -> None:
    tree = start_tree("--types", "own,late", app=MOVES)
    for how in ("raise", "crash"):
        tree.database.enqueue("own", f"own-{how}", payload=how)
        tree.database.enqueue("late", f"late-{how}", payload=how)
    eventually(lambda: tree.database.counts("own") == {"attempts_left": 2})
    eventually(lambda: tree.database.counts("late") == {"error": 2})
    assert tree.database.task("own-crash").errors.count("worker crashed: exit code 9") == 3
    for name in ("late-raise", "late-crash"):
        task = tree.database.task(name)
        wait = (task.next_attempt_at - datetime.now(UTC)).total_seconds()
        assert 0 < wait <= 11, "a function that fails leaves the default"
        tree.database.queue.cancel_task(task.id)
    assert "ZeroDivisionError" in tree.log


CHOICES = """
options = dict(workers=1, fetch_tick=0.05, retry=retry.static(0.01), max_attempts=3)

@registry.processor("choosy", timeout=0.2, timeout_grace=0.2, no_retry_on=(KeyError, goque.TaskTimeout), **options)
def choosy(task: Task):
    match task.payload:
        case "final": raise KeyError("nobody")
        case "again": raise ValueError("busy")
        case "slow": time.sleep(100)
        case "deaf":
            while True:
                try: time.sleep(100)
                except goque.TaskTimeout: pass
        case "crash": os._exit(9)

def after(task, error): note("after", task.raw_payload, type(error).__name__)

@registry.processor("strict", hooks_before=lambda task: note("before"), hooks_after=after, **options)
def strict(number: int): note("called")

@registry.processor("astrict", hooks_after=after, cancel_on_decode_error=True, **options)
async def astrict(number: int): note("called")
"""


def test_an_exception_that_is_not_to_be_retried_ends_the_task_at_once(start_tree: StartTree) -> None:
    tree = start_tree("--types", "choosy", app=CHOICES)
    for how in ("final", "again", "slow", "deaf", "crash"):
        tree.database.enqueue("choosy", how, payload=how)
    eventually(tree.database.is_settled)
    ends = {task.external_id: (task.status, task.attempts) for task in tree.database.tasks()}
    assert ends == {
        "final": ("attempts_left", 1),
        "again": ("attempts_left", 3),
        "slow": ("attempts_left", 1),
        "deaf": ("attempts_left", 1),
        "crash": ("attempts_left", 3),
    }


def test_a_payload_that_does_not_decode_reaches_the_hooks_and_is_counted(start_tree: StartTree) -> None:
    port = free_port()
    tree = start_tree("--types", "strict,astrict", "--http", f"127.0.0.1:{port}", app=CHOICES)
    tree.database.enqueue("strict", "s", payload="x")
    tree.database.enqueue("astrict", "a", payload="x")
    eventually(tree.database.is_settled)
    assert sorted(tree.journal()) == [
        ["after", '"x"', "PayloadDecodeError"],
        ["after", '"x"', "PayloadDecodeError"],
        ["after", '"x"', "PayloadDecodeError"],
        ["after", '"x"', "TaskCanceled"],
        ["before"],
        ["before"],
        ["before"],
    ]
    assert (tree.database.task("s").status, tree.database.task("a").status) == ("attempts_left", "canceled")
    assert "Expected `int`, got `str`" in tree.database.task("a").errors
    for task_type, count in (("strict", "3.0"), ("astrict", "1.0")):
        line = f'goque_payload_decode_errors_total{{task_type="{task_type}"}} {count}'
        eventually(lambda wanted=line: wanted in get(port, "/metrics")[1])


HOOKS = """
def before(task): note("before", task.external_id)
def after(task, error): note("after", task.external_id, type(error).__name__)
def broken(task, *error): raise RuntimeError("a broken hook")

options = dict(workers=1, max_attempts=1, hooks_before=[before, broken], hooks_after=(broken, after))

@registry.processor("hooked", **options)
def hooked(task: Task):
    if task.payload == "raise":
        raise ValueError("no")

@registry.processor("ahooked", **options)
async def ahooked(task: Task):
    await asyncio.sleep(0)
    hooked(task)
"""


@pytest.mark.parametrize("task_type", ["hooked", "ahooked"])
def test_hooks_run_around_the_handler_and_change_no_result(start_tree: StartTree, task_type: str) -> None:
    tree = start_tree("--types", task_type, app=HOOKS)
    tree.database.enqueue(task_type, "good")
    eventually(tree.database.is_settled)
    tree.database.enqueue(task_type, "bad", payload="raise")
    eventually(tree.database.is_settled)
    assert tree.journal() == [
        ["before", "good"],
        ["after", "good", "NoneType"],
        ["before", "bad"],
        ["after", "bad", "ValueError"],
    ]
    assert (tree.database.task("good").status, tree.database.task("bad").status) == ("done", "attempts_left")
    eventually(lambda: "hook broken failed" in tree.log)


CRASHES = """
options = dict(workers=1, fetch_tick=0.05, next_attempt_at=retry.static(0), max_attempts=9)

def tell(crash):
    task = crash.task.external_id if crash.task else None
    note("crash", crash.type, task, crash.pid, crash.exit_code, crash.signal, crash.max_rss > 0)
    note("story", crash.attempt, crash.cause, crash.follows, "word" in (crash.stderr or ""), crash.duration > 0)

@registry.processor("crash", crash_handler=tell, max_crashes=2, **options)
def crash(task: Task):
    print("a last word on stdout", flush=True)
    print("a last word on stderr", file=sys.stderr)
    note("start", task.external_id, os.getpid())
    ctypes.string_at(0)

@registry.processor("slowtell", crash_handler=lambda crash: time.sleep(100), **(options | {"max_attempts": 1}))
def slowtell(task: Task):
    os._exit(1)

@registry.processor("badtell", crash_handler=lambda crash: os.abort(), **(options | {"max_attempts": 1}))
def badtell(task: Task):
    os._exit(1)

@registry.processor("idle", crash_handler=tell, **options)
def idle(task: Task):
    note("idle", os.getpid())
"""


def test_a_segfault_leaves_its_whole_story_behind(start_tree: StartTree) -> None:
    tree = start_tree("--types", "crash", app=CRASHES)
    began = time.time()
    tree.database.enqueue("crash", "c")
    eventually(tree.database.is_settled)
    task = tree.database.task("c")
    assert (task.status, task.attempts) == ("attempts_left", 2), "max_crashes ends it at its second crash"
    attempts = tree.database.attempts(task)
    assert [attempt.failed.attempt for attempt in attempts] == [1, 2]
    story = attempts[0]
    assert story.failed.cause == "crash"
    assert story.failed.error == "worker crashed: signal 11 (SIGSEGV)"
    assert (story.failed.signal, story.failed.exit_code, story.failed.oom) == (11, None, None)
    assert story.failed.worker_pid == tree.started("c")[0]
    assert "in crash" in story.failed.stack
    assert "Segmentation fault" in story.failed.stack
    assert "a last word on stderr" in story.failed.stderr
    assert story.failed.max_rss > 5_000_000
    assert began - 1 <= story.started_at.timestamp() <= story.ended_at.timestamp() <= time.time() + 1
    assert story.node
    assert tree.log.count("a last word on stderr") == 2
    assert "a last word on stdout" in tree.log
    told = [line for line in tree.journal() if line[0] == "crash"]
    assert told == [["crash", "crash", "c", str(pid), "None", "11", "True"] for pid in tree.started("c")]
    stories = [" ".join(line[1:]) for line in tree.journal() if line[0] == "story"]
    assert stories == [
        "1 worker crashed: signal 11 (SIGSEGV) next in 0s True True",
        "2 worker crashed: signal 11 (SIGSEGV) max_crashes=2 is reached: not retried True True",
    ]


def test_a_crash_handler_that_hangs_or_crashes_itself_harms_nobody(start_tree: StartTree) -> None:
    tree = start_tree("--types", "slowtell,badtell,idle", app=CRASHES)
    tree.database.enqueue("slowtell", "s")
    tree.database.enqueue("badtell", "b")
    eventually(tree.database.is_settled)
    assert tree.database.counts() == {"attempts_left": 2}
    assert {task.errors for task in tree.database.tasks()} == {"attempt 1: worker crashed: exit code 1\n"}


def test_a_crash_handler_hears_of_a_worker_that_died_idle(start_tree: StartTree) -> None:
    tree = start_tree("--types", "idle", app=CRASHES)
    tree.database.enqueue("idle", "i")
    eventually(tree.database.is_settled)
    (pid,) = tree.workers()
    os.kill(pid, signal.SIGKILL)
    expected = ["crash", "idle", "None", str(pid), "None", "9", "True"]
    eventually(lambda: expected in tree.journal())


def test_what_handlers_print_reaches_the_log_of_the_tree_with_its_task(start_tree: StartTree) -> None:
    chatty = """
@registry.processor("chat", workers=1)
def chat(task: Task):
    print(f"out {task.external_id}")
    print(f"err {task.external_id}", file=sys.stderr)
    os.write(2, b"raw\\n")
    subprocess.run(["sh", "-c", "echo from a child >&2"], check=True)
    import logging
    logging.getLogger("my.app").warning("a log line")
"""
    tree = start_tree("--log-format", "json", app=chatty)
    tree.database.enqueue("chat", *(f"t{n}" for n in range(20)))
    eventually(tree.database.is_settled)
    assert tree.stop() == 0
    lines = tree.log.splitlines()
    told = [json.loads(line) for line in lines if line.startswith("{")]
    printed = {(line["event"], line["task_id"], line["stream"]) for line in told if "stream" in line}
    tasks = tree.database.tasks()
    assert printed == {
        (f"{word} {task.external_id}", task.id, stream)
        for task in tasks
        for word, stream in (("out", "stdout"), ("err", "stderr"))
    }
    assert lines.count("raw") == lines.count("from a child") == 20
    assert tree.log.count('"event":"a log line"') == 20
