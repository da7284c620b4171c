"""One handler run inline: decoded, surrounded and judged as in a worker."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import msgspec
import pytest

import goque
from goque import ConfigurationError, GoqueError, Task, TaskStatus
from goque.testing import crash_on_purpose, run_task, slots_between


class Email(msgspec.Struct):
    to: str


@pytest.fixture
def registry():
    return goque.Registry()


def test_the_payload_is_decoded_by_the_annotation(registry):
    registry.add_processor("mail", typed)
    run = run_task(registry, Task("mail", {"to": "ada"}))
    assert (run.status, run.returned, run.error, run.errors) == (TaskStatus.DONE, "ada", None, "")


def typed(email: Email) -> str:
    return email.to


def test_a_payload_that_does_not_decode_fails_the_attempt_and_names_the_field(registry):
    registry.add_processor("mail", typed)
    run = run_task(registry, Task("mail", {"too": "ada"}))
    assert (run.status, run.attempts) == (TaskStatus.ERROR, 1)
    with pytest.raises(goque.PayloadDecodeError, match="`to`"):
        run.raise_for_error()


def test_the_task_its_values_and_the_hooks_are_around_the_handler(registry):
    seen = []

    def handler(task):
        seen.append((goque.current_task() is task, task.status, goque.values(), goque.tx_from_context()))
        raise ValueError("boom")

    registry.add_processor(
        "mail",
        handler,
        hooks_before=lambda task: seen.append(task.external_id),
        hooks_after=lambda task, error: seen.append(repr(error)),
    )
    with goque.with_value("tenant", "acme"), goque.with_tx(SimpleNamespace()):
        run = run_task(registry, Task("mail", external_id="order-7", metadata={"own": 1}))
    assert seen == ["order-7", (True, "pending", {"tenant": "acme", "own": 1}, None), "ValueError('boom')"]
    assert (run.status, run.attempts, run.delay) == (TaskStatus.ERROR, 1, pytest.approx(10, rel=0.1))
    assert run.errors == "attempt 1: ValueError: boom\n"


@pytest.mark.parametrize(
    ("raised", "attempts", "ends"),
    [
        (goque.TaskCanceled("sold out"), 0, ("canceled", 0, "canceled: sold out\n", None)),
        (goque.RetryTask("later", delay=7), 0, ("error", 1, "attempt 1: goque.RetryTask: later\n", 7.0)),
        (goque.Snooze(60), 2, ("error", 2, "", 60.0)),
        (ValueError("boom"), 4, ("attempts_left", 5, "attempt 5: ValueError: boom\n", None)),
        (KeyError("no retry"), 0, ("attempts_left", 1, "attempt 1: KeyError: 'no retry'\n", None)),
        (SystemExit(3), 0, ("error", 1, "attempt 1: SystemExit: 3\n", pytest.approx(10, rel=0.1))),
    ],
)
def test_what_a_handler_raises_ends_as_in_a_worker(registry, raised, attempts, ends):
    def handler(task):
        raise raised

    registry.add_processor("mail", handler, no_retry_on=KeyError)
    run = run_task(registry, Task("mail"), attempts=attempts)
    assert (run.status, run.attempts, run.errors, run.delay) == ends
    assert run.error is raised


def test_the_traceback_begins_at_the_handler(registry):
    def handler(task):
        raise ValueError("boom")

    registry.add_processor("mail", handler)
    first = run_task(registry, Task("mail")).error.__traceback__
    while first.tb_frame.f_globals["__name__"].startswith("goque."):
        first = first.tb_next
    assert first.tb_frame.f_code.co_name == "handler"


def test_a_result_is_kept_where_the_processor_says_so(registry):
    registry.add_processor("sum", lambda task: sum(task.payload), store_result=True)
    registry.add_processor("forget", lambda task: 3)
    assert run_task(registry, Task("sum", [1, 2])).result == 3
    forgetful = run_task(registry, Task("forget"))
    assert (forgetful.result, forgetful.returned) == (None, 3)


def test_async_handlers_run_on_a_loop(registry):
    async def handler(task):
        await asyncio.sleep(0)
        return task.payload

    registry.add_processor("mail", handler)
    assert run_task(registry, Task("mail", 3)).returned == 3


async def _within(registry):
    with pytest.raises(GoqueError, match=r"has a running loop; await it in a thread"):
        run_task(registry, Task("mail"))


def test_an_async_handler_in_a_running_loop_is_refused_with_what_to_do(registry):
    async def handler(task):
        pass

    registry.add_processor("mail", handler)
    asyncio.run(_within(registry))


@pytest.mark.parametrize("swallows", [False, True])
def test_a_plain_handler_past_its_timeout_is_interrupted(registry, swallows):
    told = []

    def handler(task):
        with contextlib.suppress(goque.TaskTimeout) if swallows else contextlib.nullcontext():
            threading.Event().wait(30)

    registry.add_processor("slow", handler, timeout=0.05, hooks_after=lambda task, error: told.append(error))
    run = run_task(registry, Task("slow"))
    assert (run.errors, run.status) == ("attempt 1: task processing timeout: 0.05s\n", TaskStatus.ERROR)
    assert isinstance(run.error, goque.TaskTimeout)
    assert isinstance(told[0], goque.TaskTimeout)
    assert signal.getitimer(signal.ITIMER_REAL)[0] != 0.05


def test_an_async_handler_past_its_timeout_is_cancelled(registry):
    async def handler(task):
        await asyncio.Event().wait()

    registry.add_processor("slow", handler, timeout=0.05)
    run = run_task(registry, Task("slow"))
    assert run.errors == "attempt 1: task processing timeout: 0.05s\n"
    assert isinstance(run.error, goque.TaskTimeout)


def test_in_another_thread_a_handler_is_charged_when_it_returns(registry):
    registry.add_processor("slow", lambda task: time.sleep(0.02), timeout=0.001)
    runs = []
    thread = threading.Thread(target=lambda: runs.append(run_task(registry, Task("slow"))))
    thread.start()
    thread.join()
    assert runs[0].errors == "attempt 1: task processing timeout: 0.001s\n"
    assert isinstance(runs[0].error, goque.TaskTimeout)


def test_an_alarm_of_somebody_else_stays_in_force(registry):
    registry.add_processor("quick", lambda task: None, timeout=10)
    rung = []
    before = signal.signal(signal.SIGALRM, lambda number, frame: rung.append(number))
    pending = signal.setitimer(signal.ITIMER_REAL, 60, 5)
    try:
        run_task(registry, Task("quick"))
        left, interval = signal.getitimer(signal.ITIMER_REAL)
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        registry.add_processor("slow", lambda task: threading.Event().wait(0.1), timeout=5)
        assert run_task(registry, Task("slow")).status == TaskStatus.DONE
    finally:
        signal.signal(signal.SIGALRM, before)
        signal.setitimer(signal.ITIMER_REAL, *pending)
    assert 50 < left <= 60
    assert interval == 5
    assert rung == [signal.SIGALRM]


@pytest.mark.parametrize("end", [KeyboardInterrupt, pytest.fail.Exception])
def test_what_is_meant_for_the_test_passes_through(registry, end):
    def handler(task):
        raise end("now")

    registry.add_processor("mail", handler)
    with pytest.raises(end):
        run_task(registry, Task("mail"))


def test_a_handler_that_is_to_crash_is_not_run_here(registry):
    registry.add_processor("mail", lambda task: None)
    with (
        crash_on_purpose(registry, "mail", when="after"),
        pytest.raises(GoqueError, match="run it in a tree"),
    ):
        run_task(registry, Task("mail"))
    assert run_task(registry, Task("mail")).status == TaskStatus.DONE


def test_what_cannot_be_run_is_refused(registry):
    registry.add_processor("mail", lambda task: None)
    with pytest.raises(ConfigurationError, match="no processor is registered for type 'male'"):
        run_task(registry, Task("male"))
    with pytest.raises(ConfigurationError, match="attempts must be a whole number from 0 up, not -1"):
        run_task(registry, Task("mail"), attempts=-1)
    with pytest.raises(ConfigurationError, match="only a Task"):
        run_task(registry, "mail")
    crash = crash_on_purpose(registry, "mail", when="during")
    with pytest.raises(ConfigurationError, match="when must be 'before' or 'after', not 'during'"), crash:
        pass


def test_a_users_own_retry_decides_the_delay(registry):
    def handler(task):
        raise ValueError("boom")

    registry.add_processor("mail", handler, retry=lambda failures: timedelta(minutes=failures))
    assert run_task(registry, Task("mail"), attempts=2).delay == 180.0


def test_slots_of_a_schedule_are_listed_without_a_database():
    job = goque.cron_job("nightly", "30 2 * * *", lambda: Task("report"), tz="Europe/Prague")
    start = datetime(2026, 3, 28, tzinfo=UTC)
    slots = slots_between(job, start, start + timedelta(days=2, hours=1))
    assert [f"{slot:%d %H:%M}" for slot in slots] == ["28 01:30", "29 01:00", "30 00:30"]
    with pytest.raises(ConfigurationError, match="start must be a datetime with a time zone"):
        slots_between(job, datetime(2026, 3, 28), start)  # noqa: DTZ001 - the bad input
