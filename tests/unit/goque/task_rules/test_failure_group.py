"""Which failures are of one group: the same type, cause, class of exception and line of the user's own code."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

import goque
from goque.task_rules.failed_attempt import FailedAttempt
from goque.task_rules.failure_group import error_line, grouped

PACKAGE = Path(goque.__file__).parent
PYTHON = "/usr/lib/python3.12"
VENV = "/srv/app/.venv/lib/python3.12/site-packages"


def traceback(*frames, end="KeyError: 'user'"):
    lines = [
        f'  File "{path}", line {line}, in {function}\n    {code}\n' for path, line, function, code in frames
    ]
    return f"Traceback (most recent call last):\n{''.join(lines)}{end}\n"


def group(task_type="mail", cause="failed", error="KeyError: 'user'", text=None, **facts):
    failed, found = grouped(task_type, FailedAttempt(1, cause, error, traceback=text, **facts))
    assert failed.failure_group == found.id
    return found


OWN = ("/srv/app/tasks.py", 12, "send", 'user["name"]')
CALLER = ("/srv/app/tasks.py", 40, "handle", "send(user)")


def test_the_place_is_the_last_line_of_the_users_own_code():
    found = group(text=traceback(CALLER, OWN))
    assert found.line == 'tasks.py in send: user["name"]'
    assert (found.type, found.cause, found.error_class) == ("mail", "exception", "KeyError")


def test_an_id_is_short_and_can_be_typed():
    found = group(text=traceback(OWN))
    assert len(found.id) == 10
    assert found.id.isalnum()
    assert found.id == group(text=traceback(OWN)).id


@dataclass
class Case:
    id: str
    other: dict[str, object]
    same: bool


FIRST = {"text": traceback(CALLER, OWN)}

CASES = [
    Case("another message", {**FIRST, "error": "KeyError: 'mail'"}, same=True),
    Case("lines were added above", {"text": traceback(CALLER, (OWN[0], 99, *OWN[2:]))}, same=True),
    Case("another directory", {"text": traceback(("/srv/releases/2/tasks.py", *OWN[1:]))}, same=True),
    Case("another caller", {"text": traceback(("/srv/app/web.py", 3, "retry", "send()"), OWN)}, same=True),
    Case("another indent", {"text": traceback((*OWN[:3], '    user["name"]  '))}, same=True),
    Case("another type", {**FIRST, "task_type": "sms"}, same=False),
    Case("another class", {**FIRST, "error": "shop.NoUser: 'user'"}, same=False),
    Case("another line", {"text": traceback((*OWN[:3], 'user["address"]'))}, same=False),
    Case("another function", {"text": traceback((*OWN[:2], "receive", OWN[3]))}, same=False),
    Case("another file", {"text": traceback(("/srv/app/jobs.py", *OWN[1:]))}, same=False),
    Case(
        "a timeout there", {**FIRST, "cause": "timeout", "error": "task processing timeout: 30s"}, same=False
    ),
    Case("no traceback", {}, same=False),
]


@pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])
def test_what_splits_a_group(case):
    assert (group(**case.other).id == group(**FIRST).id) is case.same


FRAMES = {
    "a library below": ([OWN, (f"{VENV}/requests/api.py", 59, "get", "return request()")], OWN),
    "the standard library below": ([OWN, (f"{PYTHON}/json/decoder.py", 355, "decode", "raise")], OWN),
    "goque below": ([OWN, (f"{PACKAGE}/steps/calls.py", 5, "step", "return call()")], OWN),
    "the supervisor below": ([OWN, ("/x/goque_supervisor/worker/steps.py", 5, "ask", "send()")], OWN),
    "frozen code below": ([OWN, ("<frozen importlib._bootstrap>", 1, "_find", "raise")], OWN),
    "own code in between": (
        [CALLER, (f"{VENV}/lib/map.py", 1, "each", "call()"), OWN, (f"{VENV}/lib/b.py", 1, "f", "g()")],
        OWN,
    ),
    "an installed app": (
        [
            (f"{VENV}/shop/tasks.py", 3, "send", "post(mail)"),
            (f"{VENV}/shop/post.py", 7, "post", "client.send(mail)"),
            (f"{VENV}/requests/api.py", 59, "get", "return request()"),
        ],
        ("post.py", 7, "post", "client.send(mail)"),
    ),
    "a project named like goque": (
        [("/home/me/goque/app.py", 3, "send", "post(mail)")],
        ("app.py", 3, "send", "post(mail)"),
    ),
    "goque alone": (
        [(f"{PACKAGE}/handlers/processor.py", 3, "call", "raise error")],
        ("processor.py", 3, "call", "raise error"),
    ),
    "a package": (
        [("/srv/app/shop/__init__.py", 3, "send", "post(mail)")],
        ("shop/__init__.py", 3, "send", "post(mail)"),
    ),
}


@pytest.mark.parametrize("name", FRAMES)
def test_which_frame_is_the_users(name):
    frames, (path, _line, function, code) = FRAMES[name]
    place = path if path.startswith("shop/") else path.rpartition("/")[2]
    assert group(text=traceback(*frames)).line == f"{place} in {function}: {code}"


def test_of_a_chain_the_exception_counts_that_was_raised_last():
    first = traceback(("/srv/app/db.py", 9, "read", "row[key]"))
    last = traceback(CALLER, end="RuntimeError: no user")
    text = f"{first}\nThe above exception was the direct cause of the following exception:\n\n{last}"
    found = group(error="RuntimeError: no user", text=text)
    assert (found.error_class, found.line) == ("RuntimeError", "tasks.py in handle: send(user)")


def test_marks_below_a_line_of_code_do_not_count():
    text = traceback(OWN).replace("KeyError", "    ~~~~^^^^^^^^\nKeyError")
    assert group(text=text).id == group(text=traceback(OWN)).id


def test_a_long_recursion_is_one_place():
    text = traceback(CALLER, OWN).replace(
        "KeyError", "  [Previous line repeated 978 more times]\nRecursionError"
    )
    assert group(text=text).line == 'tasks.py in send: user["name"]'


def test_a_group_of_exceptions_counts_as_its_first():
    text = """\
  + Exception Group Traceback (most recent call last):
  |   File "/srv/app/tasks.py", line 50, in many
  |     async with asyncio.TaskGroup() as group:
  | ExceptionGroup: unhandled errors in a TaskGroup (2 sub-exceptions)
  +-+---------------- 1 ----------------
    | Traceback (most recent call last):
    |   File "/srv/app/tasks.py", line 12, in send
    |     user["name"]
    | KeyError: 'name'
    +---------------- 2 ----------------
    | Traceback (most recent call last):
    |   File "/srv/app/tasks.py", line 70, in post
    |     raise ValueError
    | ValueError
    +------------------------------------
"""
    found = group(error="ExceptionGroup: unhandled errors in a TaskGroup: KeyError: 'name'", text=text)
    assert found.error_class == "ExceptionGroup of KeyError"
    assert found.line == 'tasks.py in send: user["name"]'


STACK = f"""\
Fatal Python error: Segmentation fault

Thread 0x00007f3c1a7fe741 (most recent call first):
  File "{PYTHON}/threading.py", line 327 in wait

Current thread 0x00007f3c1a7fe740 (most recent call first):
  File "{VENV}/numpy/core.py", line 3 in multiply
  File "/srv/app/image.py", line 31 in resize
  File "/srv/app/tasks.py", line 12 in handle
  and 5 frames of goque, which called it
"""

COROUTINE = """\
Coroutine of task 01a22f24-e0fd-7757-a25f-64e3d65dd7ca (most recent call first):
  File "/srv/app/web.py", line 9 in fetch
  File "/srv/app/tasks.py", line 12 in handle
"""
IDLE_LOOP = f"""{COROUTINE}\
Stack (most recent call first):
  File "{PYTHON}/selectors.py", line 468 in select
  File "{PYTHON}/asyncio/base_events.py", line 1907 in _run_once
"""
BLOCKED_LOOP = f"""{COROUTINE}\
Stack (most recent call first):
  File "{PYTHON}/socket.py", line 708 in readinto
  File "/srv/app/image.py", line 31 in resize
"""
AT_TIMEOUT = {"cause": "timeout", "error": "task processing timeout: 30s", "signal": 9}

CAUSES = [
    ({**AT_TIMEOUT, "stack": IDLE_LOOP}, "timeout", "web.py in fetch"),
    ({**AT_TIMEOUT, "stack": BLOCKED_LOOP}, "timeout", "image.py in resize"),
    ({"cause": "crash", "signal": 11, "stack": STACK}, "crash: SIGSEGV", "image.py in resize"),
    ({"cause": "crash", "signal": 9}, "crash: SIGKILL", ""),
    ({"cause": "crash", "signal": 9, "oom": "the kernel killed 1 process"}, "memory", ""),
    ({"cause": "crash", "signal": 99}, "crash: signal 99", ""),
    ({"cause": "crash", "exit_code": 3}, "crash: exit code 3", ""),
    ({"cause": "timeout", "error": "task processing timeout: 30s"}, "timeout", ""),
    ({"cause": "timeout", "error": "no progress for 60s"}, "stall", ""),
    (
        {"cause": "timeout", "error": "no progress for 60s", "signal": 9, "stack": STACK},
        "stall",
        "image.py in resize",
    ),
    ({"cause": "lost", "error": "node lost: vm"}, "lost", ""),
    ({"cause": "lost_unstarted", "error": "given up"}, "lost_unstarted", ""),
]


@pytest.mark.parametrize(("facts", "cause", "line"), CAUSES, ids=[one[1] + one[2] for one in CAUSES])
def test_causes_without_an_exception(facts, cause, line):
    found = group(**facts)
    assert (found.cause, found.error_class, found.line) == (cause, "", line)


def test_the_step_in_which_a_worker_crashed_does_not_split_a_group():
    first = group(cause="crash", error="worker crashed in step page-1: signal 11 (SIGSEGV)", signal=11)
    second = group(cause="crash", error="worker crashed in step page-2: signal 11 (SIGSEGV)", signal=11)
    assert first == second


CLASSES = {
    "KeyError: 'user'": "KeyError",
    "requests.exceptions.ConnectionError: refused": "requests.exceptions.ConnectionError",
    "TimeoutError": "TimeoutError",
    "shop.make.<locals>.Broken: x": "shop.make.<locals>.Broken",
    "Broken (its text cannot be read: ValueError)": "Broken",
    "ValueError: first\nsecond": "ValueError",
    "the worker cannot decode this task's row: x": "",
    "": "",
}


@pytest.mark.parametrize("error", CLASSES)
def test_the_class_of_an_error(error):
    assert group(error=error).error_class == CLASSES[error]


def test_texts_are_bounded():
    found = group(error=f"{'x' * 900}.Error: y", text=traceback((*OWN[:3], "x" * 2000)))
    assert len(found.line) == 300
    assert len(found.error_class) == 200
    assert len(error_line("x" * 2000 + "\nmore")) == 300


@pytest.mark.parametrize(
    "text", ["no traceback at all", 'File "', "Traceback (most recent call last):", "\n\n"]
)
def test_any_text_has_a_group(text):
    assert group(text=text, error=text).line == ""
