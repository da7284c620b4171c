"""`goque replay`: each way in which a run ends, and that goque's tables stay as they are."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from eventually import eventually

from goque import Task
from goque.outcome import Change
from goque.steps.question import Ask, Question
from goque.storage import open_storage
from goque.storage.contract import TaskStorage
from goque.task_row import TaskRow, TaskStatus
from goque.task_rules.failed_attempt import FailedAttempt

APP = """
import asyncio, ctypes, os, sqlite3, subprocess, sys, time
from pathlib import Path

import goque
import msgspec

HERE = Path(__file__).parent

def told(failure):
    HERE.joinpath("told").touch()

registry = goque.Registry(database_url=f"sqlite:///{HERE}/goque.db", on_failure=told)
registry.pool("small", max_memory=60)

class Mail(msgspec.Struct):
    to: str

@registry.processor("add", hooks_before=lambda task: print("before"), hooks_after=lambda task, error: print("after"))
def add(task):
    print("adding", task.payload)
    print("to stderr", file=sys.stderr)
    os.system("echo from a shell")
    who = goque.value_by_key("who")
    return {"sum": sum(task.payload), "attempt": task.attempts + 1, "who": who, "status": task.status}

@registry.processor("aio")
async def aio(task):
    await asyncio.sleep(0.001)
    await registry.async_queue.enqueue("add", [1])
    return await task.astep("one", lambda: 1)

@registry.processor("mail")
def mail(mail: Mail) -> None:
    return mail.to

@registry.processor("fail")
def fail(task):
    wanted = task.payload
    return {}[wanted]

@registry.processor("segfault", crash_handler=told)
def segfault(task):
    print("about to die", file=sys.stderr)
    ctypes.string_at(0)

@registry.processor("leave", crash_handler=told)
def leave(task):
    os._exit(3)

@registry.processor("hang", timeout=0.5, timeout_grace=0.3)
def hang(task):
    while True:
        try:
            time.sleep(30)
        except goque.TaskTimeout:
            pass

@registry.processor("late", timeout=0.3)
async def late(task):
    await asyncio.sleep(30)

@registry.processor("stall", timeout=30, stall_timeout=0.3)
def stall(task):
    time.sleep(30)

@registry.processor("big", pool="small")
def big(task):
    global kept
    kept = bytearray(b"x") * 100_000_000

@registry.processor("write")
def write(task):
    goque.follow_up("add", [2, 3], delay=60)
    flow = goque.Flow("both")
    flow.add("fail", "x", needs=[flow.add("add", [4])])
    goque.follow_up(flow)
    add.enqueue([1, 2])
    with sqlite3.connect(HERE / "goque.db") as connection:
        registry.queue.enqueue("add", [5], conn=connection)
        task.step("in mine", lambda: 7, conn=connection)
    other = registry.queue.get_tasks(goque.TaskFilter(task_type="add"))[0]
    registry.queue.cancel_task(other.id)
    registry.queue.reset_attempts(other.id)
    registry.queue.signal(other.id, "go", 1)
    task.progress(0.5, "half")

@registry.processor("pages")
def pages(task):
    runs = HERE / "runs"
    def step(name):
        runs.write_text(runs.read_text() + name if runs.exists() else name)
        return name
    first = task.step("first", step, "first")
    task.sleep("cool", 3600)
    return [first, task.step("second", step, "second"), task.wait_for("approved", timeout=60)]

@registry.processor("end")
def end(task):
    kinds = {"snooze": goque.Snooze(60), "limit": goque.RateLimited(7), "cancel": goque.TaskCanceled("no use"),
             "retry": goque.RetryTask(delay=9)}
    raise kinds[task.payload]

@registry.processor("wait")
def wait(task):
    HERE.joinpath("pid").write_text(str(os.getpid()))
    time.sleep(60)

@registry.processor("start")
def start(task):
    started = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    HERE.joinpath("pid").write_text(str(started.pid))

@registry.processor("flip")
def flip(task):
    if os.environ.get("MENDED") and task.payload == "crash":
        os._exit(4)
    if not os.environ.get("MENDED") or task.payload == "same":
        raise ValueError(f"not mended: {task.payload}")

@registry.processor("needy")
def needy(task):
    return [need.result for need in task.needs]
"""


@pytest.fixture
def app(goque: Any) -> Any:
    (goque.directory / "app.py").write_text(APP)
    goque.env["GOQUE_APP"] = "app:registry"
    return goque


@pytest.fixture
def storage(app: Any) -> Iterator[TaskStorage]:
    made = open_storage(app.url)
    made.migrate()
    yield made
    made.close()


@pytest.fixture
def unchanged(app: Any, storage: TaskStorage) -> Iterator[Callable[[], None]]:
    """Return what notes how goque's tables are; at the end of the test they must be the same."""
    noted: list[list[str]] = []
    yield lambda: noted.append(dump(app))
    assert noted, "the test has not noted the tables"
    assert dump(app) == noted[0]
    assert not (app.directory / "told").exists(), "on_failure or a crash_handler was called"


def dump(app: Any) -> list[str]:
    """Return the whole content of all tables."""
    with contextlib.closing(sqlite3.connect(app.directory / "goque.db")) as connection:
        return list(connection.iterdump())


def insert(storage: TaskStorage, task_type: str, payload: Any = None, **options: Any) -> Task:
    task = Task(task_type, payload, **options)
    storage.insert_tasks([task])
    return task


def fail(storage: TaskStorage, task: Task, cause: str, error: str, traceback: str | None = None) -> TaskRow:
    """Let a task fail for good, as a fetcher writes it."""
    [row] = storage.claim_due(task.type, "node-1", 1)
    failed = FailedAttempt(5, cause, error, traceback=traceback)
    change = Change(row.token, TaskStatus.ATTEMPTS_LEFT, 5, errors=f"attempt 5: {error}\n", failed=failed)
    assert storage.settle_if_held([change])
    return row


def test_a_success_prints_its_result_and_what_the_handler_printed(
    app: Any, storage: TaskStorage, unchanged: Any
) -> None:
    task = insert(storage, "add", [1, 2], metadata={"who": "ada"}, external_id="sum")
    unchanged()
    done = app("replay", "sum", "app:registry")
    assert f"add {task.id}, attempt 1: succeeded" in done.stdout
    assert 'result:        {"sum":3,"attempt":1,"who":"ada","status":"pending"}' in done.stdout
    assert done.stdout.endswith("nothing was written to goque's tables\n")
    assert "from a shell" not in done.stdout
    for text in ("adding [1, 2]", "to stderr", "before", "after", "from a shell"):
        assert text in done.stderr


def test_json_has_the_same(app: Any, storage: TaskStorage, unchanged: Any) -> None:
    task = insert(storage, "add", [1, 2])
    unchanged()
    [line] = app.json_lines("replay", task.id, "--json")
    assert (line["id"], line["end"], line["succeeded"]) == (task.id, "done", True)
    assert line["result"]["sum"] == 3
    assert line["failure"] is None
    assert line["max_rss"] > 0


def test_async_handlers_and_typed_payloads(app: Any, storage: TaskStorage, unchanged: Any) -> None:
    insert(storage, "aio", None, external_id="aio")
    insert(storage, "mail", {"to": "a@b.c"}, external_id="mail")
    insert(storage, "mail", {"from": "a@b.c"}, external_id="malformed")
    unchanged()
    [aio] = app.json_lines("replay", "aio", "--json")
    assert (aio["result"], [one["type"] for one in aio["enqueued"]]) == (1, ["add"])
    assert aio["steps"] == {"recorded_before": 0, "ran": ["one"]}
    assert app.json_lines("replay", "mail", "--json")[0]["result"] == "a@b.c"
    done = app("replay", "malformed", code=1)
    assert "payload does not decode: Object missing required field `to`" in done.stdout
    assert "Traceback" not in done.stdout


def test_an_exception_prints_its_traceback(app: Any, storage: TaskStorage, unchanged: Any) -> None:
    task = insert(storage, "fail", "nothing")
    unchanged()
    done = app("replay", task.id, code=1)
    assert "attempt 1: failed after" in done.stdout
    assert "return {}[wanted]" in done.stdout
    assert "KeyError: 'nothing'" in done.stdout


@pytest.mark.parametrize(
    ("task_type", "end", "error", "more"),
    [
        ("segfault", "crash", "worker crashed: signal 11 (SIGSEGV)", {"signal": 11}),
        ("leave", "crash", "worker crashed: exit code 3", {"exit_code": 3}),
        ("hang", "timeout", "task processing timeout: 0.5s", {"signal": 9}),
        ("late", "timeout", "task processing timeout: 0.3s", {}),
        ("stall", "timeout", "no progress for 0.3s", {}),
    ],
)
def test_crashes_and_timeouts_are_reported(
    app: Any,
    storage: TaskStorage,
    unchanged: Any,
    *,
    task_type: str,
    end: str,
    error: str,
    more: dict[str, Any],
) -> None:
    task = insert(storage, task_type)
    unchanged()
    done = app("replay", task.id, "--json", code=1)
    line = json.loads(done.stdout)
    assert (line["end"], line["error"], line["succeeded"]) == (end, error, False)
    assert {name: line["failure"][name] for name in more} == more
    if task_type == "segfault":
        assert "in segfault" in line["failure"]["stack"]
        assert "about to die" in line["failure"]["stderr"]
    if task_type == "hang":
        assert "in hang" in line["failure"]["stack"]


def test_the_text_of_a_crash_is_that_of_show(app: Any, storage: TaskStorage, unchanged: Any) -> None:
    task = insert(storage, "segfault")
    unchanged()
    done = app("replay", task.id, code=1)
    for text in (
        "attempt 1: crashed after",
        "  peak memory:   ",
        "  signal:        11 (SIGSEGV)",
        "  error:\n    worker crashed: signal 11 (SIGSEGV)",
        "  Python stack when it died:",
        "  last lines of stderr:",
    ):
        assert text in done.stdout


def test_too_much_memory_is_noted(app: Any, storage: TaskStorage, unchanged: Any) -> None:
    task = insert(storage, "big")
    unchanged()
    done = app("replay", task.id)
    assert "more than max_memory: a tree replaces the worker after this task" in done.stdout


def test_what_a_handler_writes_to_the_queue_is_listed_and_not_written(
    app: Any, storage: TaskStorage, unchanged: Any
) -> None:
    other = insert(storage, "add", [9])
    task = insert(storage, "write")
    unchanged()
    [line] = app.json_lines("replay", task.id, "--json")
    assert [(one["type"], one["payload"], one["delay"]) for one in line["follow_ups"]] == [
        ("add", [2, 3], 60.0),
        ("add", [4], 0.0),
        ("fail", "x", 0.0),
    ]
    assert [one["payload"] for one in line["enqueued"]] == [[1, 2], [5]]
    assert line["changes"] == [{"action": one, "id": other.id} for one in ("cancel", "reset", "signal")]
    assert line["steps"]["recorded_before"] == 0
    text = app("replay", task.id).stdout
    assert "would have been enqueued with its end:\n    add   [2,3]\n" in text
    assert "would have been enqueued while it ran:\n    add  [1,2]\n    add  [5]\n" in text
    assert f"would have been changed while it ran:\n    cancel       {other.id}\n" in text


def test_recorded_steps_return_their_values_unless_they_are_to_run_again(
    app: Any, storage: TaskStorage, unchanged: Any
) -> None:
    storage.insert_tasks([Task("pages", external_id="pages")])
    [row] = storage.claim_due("pages", "node-1", 1)
    storage.answer_steps([(row.token, Question(Ask.RECORD, "first", b'"recorded"'))])
    storage.settle_if_held([Change(row.token, TaskStatus.NEW, 0, delay=3600.0)])
    unchanged()
    waits = app("replay", "pages", code=1).stdout
    assert "waits for the signal 'approved'" in waits
    assert "steps:         1 recorded before; ran second" in waits
    [line] = app.json_lines("replay", "pages", "--signal", 'approved={"by": "ada"}', "--json")
    assert line["result"] == ["recorded", "second", {"by": "ada"}]
    [line] = app.json_lines("replay", "pages", "--signal", "approved", "--fresh-steps", "--json")
    assert line["result"] == ["first", "second", None]
    assert (app.directory / "runs").read_text() == "second" + "second" + "firstsecond"


@pytest.mark.parametrize(
    ("payload", "end", "text"),
    [
        ("snooze", "snoozed", "was put off after"),
        ("limit", "rate_limited", "was put off by a rate limit after"),
        ("cancel", "canceled", ": no use"),
        ("retry", "failed", "goque.RetryTask"),
    ],
)
def test_only_a_success_exits_with_0(
    app: Any, storage: TaskStorage, unchanged: Any, *, payload: str, end: str, text: str
) -> None:
    task = insert(storage, "end", payload)
    unchanged()
    assert text in app("replay", task.id, code=1).stdout
    assert json.loads(app("replay", task.id, "--json", code=1).stdout)["end"] == end


def test_the_attempt_is_the_one_that_failed_last(app: Any, storage: TaskStorage, unchanged: Any) -> None:
    task = insert(storage, "add", [1])
    fail(storage, task, "failed", "ValueError: boom")
    unchanged()
    [line] = app.json_lines("replay", task.id, "--json")
    assert (line["attempt"], line["result"]["attempt"]) == (5, 5)
    assert line["before"]["error"] == "ValueError: boom"


def test_needs_come_with_their_results(app: Any, storage: TaskStorage, unchanged: Any) -> None:
    from goque import Flow, TaskQueueManager

    with TaskQueueManager(app.url) as queue:
        flow = Flow("both")
        first = flow.add("first", 1)
        second = flow.add("needy", None, needs=[first])
        queue.enqueue_flow(flow)
    [row] = storage.claim_due("first", "node-1", 1)
    storage.settle_if_held([Change(row.token, TaskStatus.DONE, 0, result=b'{"n": 1}', is_needed=True)])
    unchanged()
    [line] = app.json_lines("replay", second.id, "--json")
    assert line["result"] == [{"n": 1}]


def test_failed_tasks_are_fixed_or_fail_as_before_or_anew(
    app: Any, storage: TaskStorage, unchanged: Any
) -> None:
    tasks = {name: insert(storage, "flip", name, external_id=name) for name in ("good", "same", "crash")}
    for task in tasks.values():
        fail(storage, task, "failed", f"ValueError: not mended: {task.payload}")
    gone = insert(storage, "gone")
    fail(storage, gone, "failed", "ValueError: x")
    unchanged()
    before = app("replay", "--failed", "--type", "flip")
    assert "3 tasks replayed: 0 fixed, 3 same failure, 0 new failure" in before.stdout
    done = app("replay", "--failed", "app:registry", "--parallel", "2", code=1, MENDED="1")
    header, *lines, summary = done.stdout.splitlines()
    assert header.split() == ["VERDICT", "ID", "BEFORE", "NOW"]
    verdicts = {line[14:50]: line[:12].strip() for line in lines}
    assert verdicts == {
        tasks["good"].id: "fixed",
        tasks["same"].id: "same failure",
        tasks["crash"].id: "new failure",
    }
    assert "worker crashed: exit code 4" in done.stdout
    assert summary == (
        "3 tasks replayed: 1 fixed, 1 same failure, 1 new failure; nothing was written to goque's tables"
    )
    assert done.stderr == "left out, because the app does not run these types: gone\n"
    limited = app.json_lines("replay", "--failed", "--type", "flip", "--limit", "1", "--json")
    assert [(line["id"], line["verdict"]) for line in limited] == [(tasks["crash"].id, "same failure")]


def test_no_failed_task_is_no_failure(app: Any, storage: TaskStorage, unchanged: Any) -> None:
    unchanged()
    assert app("replay", "--failed").stdout.startswith("0 tasks replayed: 0 fixed")


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (("nothing",), 1, "no task has the id or external id 'nothing'"),
        (("mail", "app:nothing"), 2, "module app has no attribute nothing"),
        (("mail", "broken:registry"), 2, "app 'broken:registry' cannot be imported"),
        (("mail", "other:registry"), 2, "there is no type 'mail'; did you mean 'mails'?"),
        (("--failed", "other:registry", "--type", "mail"), 2, "did you mean 'mails'?"),
        (("--failed", "--type", "mial"), 1, "did you mean 'mail'?"),
        ((), 2, "give the ID of a task, or --failed"),
        (("mail", "app:registry", "--failed"), 2, "give the ID of a task or --failed, not both"),
        (("--failed", "--pdb"), 2, "--pdb is for one task"),
        (("mail", "--pdb", "--json"), 2, "contradict each other"),
        (("mail", "--limit", "3"), 2, "--limit is for --failed"),
        (("mail", "--signal", "go={nothing"), 2, "JSON"),
    ],
)
def test_what_cannot_be_replayed_is_refused_in_one_line(
    app: Any, storage: TaskStorage, unchanged: Any, *, arguments: tuple[str, ...], code: int, text: str
) -> None:
    insert(storage, "mail", {"to": "a@b.c"}, external_id="mail")
    fail(storage, insert(storage, "mail", {"to": "b"}, external_id="failed", priority=1), "failed", "E: x")
    (app.directory / "broken.py").write_text("import os; os._exit(7)\n")
    (app.directory / "other.py").write_text(
        f"import goque\nregistry = goque.Registry(database_url={app.url!r})\n"
        "@registry.processor('mails')\ndef mails(task): ...\n"
    )
    unchanged()
    done = app("replay", *arguments, "--database-url", app.url, code=code)
    assert text in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_the_worker_ends_with_the_command(
    app: Any, storage: TaskStorage, unchanged: Any, number: signal.Signals
) -> None:
    task = insert(storage, "wait")
    unchanged()
    command = subprocess.Popen(
        [sys.executable, "-m", "goque.cli", "replay", task.id],
        cwd=app.directory,
        env=app.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    pid = int(eventually(lambda: read(app.directory / "pid")))
    command.send_signal(number)
    _out, err = command.communicate(timeout=30)
    assert (
        command.returncode
        == {
            signal.SIGINT: 130,
            signal.SIGTERM: 128 + signal.SIGTERM,
            signal.SIGKILL: -signal.SIGKILL,
        }[number]
    )
    assert b"Traceback" not in err
    eventually(lambda: not is_running(pid))


def test_programs_that_a_handler_has_started_end_with_the_command(
    app: Any, storage: TaskStorage, unchanged: Any
) -> None:
    task = insert(storage, "start")
    unchanged()
    app("replay", task.id)
    assert not is_running(int(read(app.directory / "pid")))


def read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def is_running(pid: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


def test_the_debugger_opens_where_the_handler_raises(app: Any, storage: TaskStorage, unchanged: Any) -> None:
    task = insert(storage, "fail", "nothing")
    unchanged()
    screen, code = in_debugger(app, task.id, ["p 'wanted is ' + wanted", "q"])
    assert "-> return {}[wanted]" in screen
    assert "wanted is nothing" in screen
    assert "KeyError: 'nothing'" in screen
    assert code == 1


def test_a_success_in_the_debugger_opens_nothing(app: Any, storage: TaskStorage, unchanged: Any) -> None:
    task = insert(storage, "add", [1, 2])
    unchanged()
    screen, code = in_debugger(app, task.id, [])
    assert '"sum":3' in screen
    assert "(Pdb)" not in screen
    assert code == 0


def test_breakpoints_work_in_the_debugger(app: Any, storage: TaskStorage, unchanged: Any) -> None:
    source = APP.replace('    print("adding"', '    breakpoint()\n    print("adding"')
    (app.directory / "app.py").write_text(source)
    task = insert(storage, "add", [1, 2])
    unchanged()
    screen, code = in_debugger(app, task.id, ["p sum(task.payload) * 100", "c"])
    assert "300" in screen
    assert "succeeded" in screen
    assert code == 0


def in_debugger(app: Any, task_id: str, answers: list[str]) -> tuple[str, int]:
    """Run `goque replay --pdb` in a terminal, and answer each prompt of the debugger."""
    parent, child = pty.openpty()
    command = subprocess.Popen(
        [sys.executable, "-m", "goque.cli", "replay", task_id, "--pdb"],
        cwd=app.directory,
        env=app.env | {"TERM": "dumb"},
        stdin=child,
        stdout=child,
        stderr=child,
        start_new_session=True,
    )
    os.close(child)
    screen, answered = "", 0
    deadline = time.monotonic() + 60
    with os.fdopen(parent, "r+b", buffering=0) as terminal:
        while time.monotonic() < deadline:
            try:
                chunk = terminal.read(4096)
            except OSError:
                break  # Linux says EIO when the last writer has gone
            if not chunk:
                break
            screen += chunk.decode()
            if screen.count("(Pdb) ") > answered < len(answers):
                terminal.write(answers[answered].encode() + b"\n")
                answered += 1
    return screen, command.wait(30)
