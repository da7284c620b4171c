"""How the end of a handler becomes an outcome, whatever it returned or raised."""

from __future__ import annotations

import asyncio
import logging
import math
from datetime import UTC, datetime, timedelta
from io import UnsupportedOperation
from typing import Any

import pytest

from goque import (
    ConfigurationError,
    InvalidPayloadFormatError,
    PayloadDecodeError,
    PayloadEncodeError,
    RateLimited,
    Registry,
    RetryTask,
    Snooze,
    Task,
    TaskCanceled,
    TaskTimeout,
)
from goque.callbacks import Callbacks
from goque.errors import MAX_DELAY
from goque.execution.error_texts import named_message_of, traceback_of
from goque.execution.run_handler import (
    call_hooks,
    outcome_of_error,
    outcome_of_return,
    prepare,
    with_duration,
    with_users_delay,
)
from goque.handlers.processor_table import processors_of
from goque.options import ProcessorOptions, check_options
from goque.outcome import Outcome, OutcomeKind
from goque.task_row import TaskRow
from goque.task_rules.error_lines import MAX_ERRORS_BYTES

KEEPS = ProcessorOptions(store_result=True, max_result=20)


ROW = TaskRow(
    "id", "t", "key", b"{}", "processing", 2, None, b"{}", datetime.now(UTC), None, datetime.now(UTC)
)


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")

    __repr__ = __str__


class Leaver(BaseException):
    def __str__(self) -> str:
        raise SystemExit


@pytest.mark.parametrize(
    ("value", "options", "outcome"),
    [
        (None, KEEPS, Outcome(OutcomeKind.DONE)),
        (None, ProcessorOptions(), Outcome(OutcomeKind.DONE)),
        ({"n": 1}, KEEPS, Outcome(OutcomeKind.DONE, result=b'{"n":1}')),
        ("x" * 18, KEEPS, Outcome(OutcomeKind.DONE, result=b'"' + b"x" * 18 + b'"')),
    ],
)
def test_what_a_handler_returns_is_kept_if_it_is_wanted_and_fits(
    value: Any, options: ProcessorOptions, outcome: Outcome
) -> None:
    assert outcome_of_return(value, options, Task("t")) == outcome


@pytest.mark.parametrize(
    ("value", "result", "reason"),
    [
        (1, b"1", ""),
        (object(), None, "result of type object cannot be JSON"),
        (["x" * 17], None, "result has 21 bytes, more than max_result 20"),
        ("x" * 21, None, "result has more than max_result 20 bytes"),
        (float("nan"), None, "result is nan"),
    ],
)
def test_without_store_result_a_result_goes_along_for_tasks_that_need_it_and_is_no_error(
    value: Any, result: bytes | None, reason: str
) -> None:
    outcome = outcome_of_return(value, ProcessorOptions(max_result=20), Task("t"))
    assert (outcome.kind, outcome.result, outcome.needed_result) == (OutcomeKind.DONE, None, result)
    assert outcome.no_result.startswith(reason)
    assert bool(outcome.no_result) == (result is None)


def test_a_model_whose_own_code_fails_has_no_result_and_no_error() -> None:
    class Model:
        def model_dump_json(self, **_options: Any) -> str:
            raise KeyError("gone")

    outcome = outcome_of_return(Model(), ProcessorOptions(), Task("t"))
    assert (outcome.kind, outcome.no_result) == (OutcomeKind.DONE, "'gone'")


ENDLESS: list[Any] = []
ENDLESS.append(ENDLESS)


@pytest.mark.parametrize(
    ("value", "error", "said"),
    [
        (
            "x" * 19,
            InvalidPayloadFormatError,
            "result has 21 bytes, more than max_result 20; store it elsewhere",
        ),
        (object(), PayloadEncodeError, "result of type object cannot be JSON"),
        ({1: object()}, PayloadEncodeError, "result.1 of type object cannot be JSON"),
        (ENDLESS, InvalidPayloadFormatError, "result is nested deeper"),
        ("\0", InvalidPayloadFormatError, "result has a NUL character"),
    ],
)
def test_a_result_that_no_database_keeps_fails_the_attempt(
    value: Any, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        outcome_of_return(value, KEEPS, Task("t"))


def test_a_coroutine_that_nobody_awaits_fails_the_attempt_and_warns_nobody() -> None:
    with pytest.raises(TypeError, match="async def"):
        outcome_of_return(asyncio.sleep(0), ProcessorOptions(), Task("t"))


@pytest.mark.parametrize(
    ("options", "error", "final"),
    [
        ({}, ValueError("x"), False),
        ({"no_retry_on": ValueError}, ValueError("x"), True),
        ({"no_retry_on": ValueError}, UnicodeError("a subclass"), True),
        ({"no_retry_on": ValueError}, KeyError("x"), False),
        ({"no_retry_on": [ValueError, KeyError]}, KeyError("x"), True),
        ({"retry_on": OSError}, ConnectionError("x"), False),
        ({"retry_on": OSError}, ValueError("x"), True),
        ({"retry_on": (OSError, ValueError)}, ValueError("x"), False),
        ({"retry_on": (), "no_retry_on": ()}, ValueError("x"), True),
        ({"retry_on": OSError, "no_retry_on": FileNotFoundError}, FileNotFoundError("x"), True),
        ({"retry_on": Exception}, SystemExit(1), True),
        ({"no_retry_on": PayloadDecodeError}, PayloadDecodeError("x"), True),
        ({"retry_on": OSError}, RetryTask("asked for"), False),
        ({"no_retry_on": Exception}, RetryTask("asked for"), False),
        ({"no_retry_on": Exception}, Snooze(1), False),
        ({"no_retry_on": Exception}, TaskCanceled("why"), False),
    ],
)
def test_the_exception_decides_whether_there_is_another_attempt(
    options: dict[str, Any], error: BaseException, final: bool
) -> None:
    callbacks = check_options(options)[1]
    assert outcome_of_error(error, timed_out="", callbacks=callbacks).final is final


def test_nobody_asks_for_the_delay_after_a_last_attempt() -> None:
    asked = Callbacks(next_attempt_at=lambda failures: 1 / 0)
    last = Outcome(OutcomeKind.FAILED, final=True)
    assert with_users_delay(last, ROW, asked) is last


def undecodable(metadata: bytes) -> TaskRow:
    now = datetime(2026, 11, 23, tzinfo=UTC)
    return TaskRow("id", "t", "key", b'{"to": 3}', "processing", 0, None, metadata, now, None, now)


@pytest.mark.parametrize(("metadata", "known"), [(b'{"user": 7}', {"user": 7}), (b"not json", {})])
@pytest.mark.parametrize(("cancel", "raised"), [(False, PayloadDecodeError), (True, TaskCanceled)])
def test_a_payload_that_does_not_decode_is_the_calls_failure_and_hooks_get_the_task(
    metadata: bytes, known: dict[str, Any], cancel: bool, raised: type[Exception]
) -> None:
    registry = Registry()
    registry.processor("t", cancel_on_decode_error=cancel)(needs_text)
    task, call = prepare(processors_of(registry).get("t"), undecodable(metadata))
    assert (task.id, task.metadata, task.raw_payload) == ("id", known, '{"to": 3}')
    with pytest.raises(raised if known else PayloadDecodeError) as refusal:
        call()
    assert outcome_of_error(refusal.value, timed_out="").undecodable
    if known:
        assert "at `$[...]`" in str(refusal.value)


def needs_text(to: dict[str, str]) -> None: ...


@pytest.mark.parametrize(
    ("error", "kind", "text", "delay"),
    [
        (ValueError("boom"), OutcomeKind.FAILED, "ValueError: boom", None),
        (ValueError(), OutcomeKind.FAILED, "ValueError", None),
        (KeyError("k"), OutcomeKind.FAILED, "KeyError: 'k'", None),
        (SystemExit(), OutcomeKind.FAILED, "SystemExit", None),
        (SystemExit(3), OutcomeKind.FAILED, "SystemExit: 3", None),
        (KeyboardInterrupt(), OutcomeKind.FAILED, "KeyboardInterrupt", None),
        (Mute(), OutcomeKind.FAILED, f"{__name__}.Mute (its text cannot be read: RuntimeError)", None),
        (Leaver(), OutcomeKind.FAILED, f"{__name__}.Leaver (its text cannot be read: SystemExit)", None),
        (TaskCanceled("why"), OutcomeKind.CANCELED, "why", None),
        (TaskCanceled(), OutcomeKind.CANCELED, "", None),
        (RetryTask("busy", delay=7), OutcomeKind.FAILED, "goque.RetryTask: busy", 7.0),
        (RetryTask(delay=timedelta(minutes=1)), OutcomeKind.FAILED, "goque.RetryTask: retry requested", 60.0),
        (RetryTask(), OutcomeKind.FAILED, "goque.RetryTask: retry requested", None),
        (Snooze(2.5), OutcomeKind.SNOOZED, "", 2.5),
        (RateLimited(0), OutcomeKind.RATE_LIMITED, "", 0.0),
        (TaskTimeout("my own"), OutcomeKind.FAILED, "goque.TaskTimeout: my own", None),
        (UnsupportedOperation("read"), OutcomeKind.FAILED, "io.UnsupportedOperation: read", None),
    ],
)
def test_what_a_handler_raises_decides(
    error: BaseException, kind: OutcomeKind, text: str, delay: float | None
) -> None:
    made = outcome_of_error(error, timed_out="")
    assert (made.kind, made.error, made.delay) == (kind, text, delay)


@pytest.mark.parametrize("error", [ValueError("mine"), Snooze(1), TaskCanceled(), RetryTask(), SystemExit(0)])
def test_once_its_time_is_up_whatever_a_handler_raises_is_a_timeout(error: BaseException) -> None:
    text = "task processing timeout: 2.5s (in step a)"
    made = outcome_of_error(error, timed_out=text)
    assert (made.kind, made.error) == (OutcomeKind.TIMED_OUT, text)
    assert not made.final
    _, chosen = check_options({"no_retry_on": TaskTimeout})
    assert outcome_of_error(error, timed_out=text, callbacks=chosen).final


def test_texts_are_printable_and_bounded() -> None:
    for text in ("x" * 10_000_000, "ž" * 1_000_000, "\udcff" * 100_000, "\x00\x1b[31m"):
        said = named_message_of(ValueError(text))
        assert len(said.encode()) <= MAX_ERRORS_BYTES
        assert said.replace("\n", "").replace("…", "").isprintable()
    assert named_message_of(ValueError("\udcff\x00")) == r"ValueError: \udcff\x00"


def test_a_traceback_shows_the_handlers_frames_and_survives_what_cannot_be_shown() -> None:
    def handler() -> None:
        raise ValueError("boom")

    with pytest.raises(ValueError, match="boom") as raised:
        handler()
    assert "in handler" in traceback_of(raised.value)
    assert traceback_of(raised.value).rstrip().endswith("ValueError: boom")
    assert "Mute" in traceback_of(Mute())
    assert "Leaver" in traceback_of(Leaver())


@pytest.mark.parametrize(
    ("kind", "own_delay", "answer", "expected"),
    [
        (OutcomeKind.FAILED, None, 7, 7.0),
        (OutcomeKind.FAILED, None, timedelta(seconds=8), 8.0),
        (OutcomeKind.TIMED_OUT, None, 7, 7.0),
        (OutcomeKind.FAILED, 3.0, 7, 3.0),
        (OutcomeKind.DONE, None, 7, None),
        (OutcomeKind.CANCELED, None, 7, None),
        (OutcomeKind.FAILED, None, -7, 0.0),
        (OutcomeKind.FAILED, None, float("nan"), None),
        (OutcomeKind.FAILED, None, "soon", None),
        (OutcomeKind.FAILED, None, datetime(2000, 1, 1, tzinfo=UTC), 0.0),
        (OutcomeKind.FAILED, None, datetime(2000, 1, 1), None),  # noqa: DTZ001 - naive on purpose
        (OutcomeKind.FAILED, None, ZeroDivisionError, None),
    ],
)
def test_a_function_of_the_users_chooses_the_delay_of_failures_that_have_none(
    kind: OutcomeKind, own_delay: float | None, answer: Any, expected: float | None
) -> None:
    asked = []

    def next_attempt_at(failures: int) -> Any:
        asked.append(failures)
        if answer is ZeroDivisionError:
            return 1 / 0
        return answer

    made = with_users_delay(Outcome(kind, delay=own_delay), ROW, Callbacks(next_attempt_at=next_attempt_at))
    assert made.delay == expected
    assert asked in ([], [3])


def test_hooks_that_raise_are_logged_and_the_others_are_called(caplog: pytest.LogCaptureFixture) -> None:
    called = []

    def broken(task: Task) -> None:
        raise SystemExit

    def fine(task: Task) -> None:
        called.append(task)

    task = Task("t")
    with caplog.at_level(logging.ERROR):
        call_hooks((broken, fine), task)
    assert called == [task]
    assert "hook broken failed" in caplog.text


def test_the_timeout_of_the_task_passes_through_a_hook() -> None:
    def slow(task: Task) -> None:
        raise TaskTimeout

    with pytest.raises(TaskTimeout):
        call_hooks((slow,), Task("t"))


def test_an_outcome_is_completed_with_where_and_how_long_it_ran() -> None:
    made = with_duration(Outcome(OutcomeKind.FAILED, "boom", "tb", 3.0), 1.5, 42)
    assert made == Outcome(OutcomeKind.FAILED, "boom", "tb", 3.0, None, 1.5, 42)


@pytest.mark.parametrize("delay", ["10", True, [10], {}])
def test_a_delay_that_is_no_duration_fails_the_attempt_and_says_so(delay):
    for kind, make in (("Snooze", Snooze), ("RetryTask", lambda value: RetryTask(delay=value))):
        with pytest.raises(ConfigurationError) as refusal:
            make(delay)
        assert str(refusal.value) == f"the delay of {kind} must be seconds or a timedelta, not {delay!r}"
    with pytest.raises(ConfigurationError, match="the delay of Snooze"):
        Snooze(None)


@pytest.mark.parametrize("delay", [-1, math.inf, math.nan, 10**400, timedelta(seconds=-1)])
@pytest.mark.parametrize(
    ("make", "name"),
    [
        (RateLimited, "retry_after of RateLimited"),
        (Snooze, "the delay of Snooze"),
        (lambda delay: RetryTask(delay=delay), "the delay of RetryTask"),
    ],
)
def test_a_delay_that_no_task_can_wait_fails_the_attempt_and_says_so(
    make: Any, name: str, delay: Any
) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        make(delay)
    made = outcome_of_error(refusal.value, timed_out="")
    assert (made.kind, made.delay) == (OutcomeKind.FAILED, None)
    assert made.error.startswith(
        f"goque.ConfigurationError: {name} must be 0 or more seconds and under 100 years, not "
    )
    assert len(made.error.splitlines()) == 1


@pytest.mark.parametrize(("delay", "used"), [(-1.0, 0.0), (math.nan, 0.0), (math.inf, MAX_DELAY)])
def test_a_delay_that_was_changed_afterwards_is_one_that_a_database_can_add(
    delay: float, used: float
) -> None:
    error = Snooze(1)
    error.delay = delay
    assert outcome_of_error(error, timed_out="").delay == used
