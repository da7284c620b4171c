"""When two failed attempts count as the same failure."""

from __future__ import annotations

import pytest

from goque.describe.same_failure import FailureKey, failure_key, is_same_failure
from goque.task_rules.failed_attempt import FailedAttempt

TRACEBACK = """Traceback (most recent call last):
  File "/srv/shop/mails.py", line {line}, in send
    deliver({argument})
    ~~~~~~~^^^^^^^
  File "/srv/.venv/lib/python3.12/site-packages/smtp/client.py", line 9, in deliver
    raise OSError("refused")
OSError: refused
"""
STACK = """Fatal Python error: Segmentation fault

Stack (most recent call first):
  File "/usr/lib/python3.12/ctypes/__init__.py", line 519 in string_at
  File "/srv/shop/mails.py", line 15 in send
  and 33 frames of goque, which called it
"""


def failed(
    cause: str, error: str, traceback: str | None = None, *, stack: str | None = None
) -> FailedAttempt:
    return FailedAttempt(1, cause, error, traceback=traceback, stack=stack)


def raised(error: str = "OSError: refused", *, line: int = 3, argument: str = "mail") -> FailedAttempt:
    return failed("failed", error, TRACEBACK.format(line=line, argument=argument))


@pytest.mark.parametrize(
    ("attempt", "key"),
    [
        (raised(), FailureKey("failed", "OSError", "mails.py in send: deliver(mail)")),
        (
            failed("crash", "worker crashed in step page-7: signal 11 (SIGSEGV)", stack=STACK),
            FailureKey("crash", "worker crashed: signal 11 (SIGSEGV)", "mails.py in send"),
        ),
        (
            failed("timeout", "task processing timeout: 30s (in step page-7)"),
            FailureKey("timeout", "task processing timeout: 30s", ""),
        ),
        (failed("failed", "shop.errors.Refused: no"), FailureKey("failed", "shop.errors.Refused", "")),
        (failed("failed", "KeyError"), FailureKey("failed", "KeyError", "")),
    ],
)
def test_the_key_of_an_attempt(attempt: FailedAttempt, key: FailureKey) -> None:
    assert failure_key(attempt) == key


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (raised("OSError: another message", line=30), True),
        (raised(argument="None"), False),
        (raised("ValueError: refused"), False),
        (failed("failed", "OSError: refused"), True),
        (failed("crash", "worker crashed: exit code 3"), False),
    ],
)
def test_the_message_and_the_number_of_the_line_do_not_count(other: FailedAttempt, *, same: bool) -> None:
    assert is_same_failure(raised(), other) is same
    assert is_same_failure(other, raised()) is same


def test_the_last_of_chained_exceptions_counts() -> None:
    first = TRACEBACK.format(line=3, argument="first")
    second = TRACEBACK.format(line=4, argument="second")
    both = f"{first}\nDuring handling of the above exception, another exception occurred:\n\n{second}"
    assert failure_key(failed("failed", "OSError: x", both)).line == "mails.py in send: deliver(second)"
