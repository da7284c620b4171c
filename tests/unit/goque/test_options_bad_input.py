"""All that can be registered wrongly is refused there and then, in one line with the option and the value."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

import goque
from goque import ConfigurationError, PeriodicJob, Registry, Task, cron_job
from goque.callbacks import CODE_OPTIONS
from goque.options import LIMIT_OPTIONS, PROCESS_OPTIONS, ProcessorOptions

DAILY = cron_job("daily", "@daily", lambda: Task("report"))


async def later(*arguments: Any) -> None: ...


class LaterObject:
    async def __call__(self, task: Task) -> None: ...


WRONG_DURATIONS = (-1, math.nan, math.inf, True, "30", timedelta(days=40000), [30], None)
WRONG_COUNTS = (0, -1, 1.5, True, "3", 10**12)
WRONG_FLAGS = (1, 0, "yes", None)
WRONG = {
    "max_running": (*WRONG_COUNTS,),
    "min_workers": WRONG_COUNTS,
    "idle_timeout": (*WRONG_DURATIONS, 0),
    "workers": (*WRONG_COUNTS, None),
    "concurrency": (*WRONG_COUNTS, None),
    "timeout": (*WRONG_DURATIONS, 0),
    "timeout_grace": WRONG_DURATIONS,
    "stall_timeout": (-1, 0, math.nan, math.inf, True, "60", timedelta(days=40000), timedelta(0), [60]),
    "max_attempts": (*WRONG_COUNTS, None),
    "max_crashes": WRONG_COUNTS,
    "max_memory": (0, -1, "1G", math.nan, True),
    "max_tasks": WRONG_COUNTS,
    "next_attempt_at": (None, 60, "exponential", timedelta, later, lambda: 5, lambda a, b: 5),
    "retry": (
        goque.retry.static,
        goque.retry.exponential,
        None,
        60,
        "exponential",
        timedelta,
        later,
        lambda: 5,
        lambda a, b: 5,
    ),
    "retry_on": ("ValueError", ValueError("x"), int, [ValueError, 3], goque.Snooze, goque.WorkerCrashed),
    "no_retry_on": ("ValueError", 5, int, (KeyError, None), goque.RetryTask, goque.TaskCanceled),
    "crash_handler": ("print", 3, later, lambda: None, lambda a, b: None),
    "hooks_before": ("print", 3, [print, 3], later, LaterObject(), lambda: None, [print, lambda a, b: None]),
    "hooks_after": ("print", 3, [None], later, lambda task: None),
    "fetch_tick": (*WRONG_DURATIONS, 0),
    "fetch_timeout": (*WRONG_DURATIONS, 0),
    "fetch_max_tasks": (*WRONG_COUNTS, None),
    "cleaner_period": (*WRONG_DURATIONS, 0),
    "cleaner_timeout": (*WRONG_DURATIONS, 0),
    "cleaner_updated_at_time_ago": WRONG_DURATIONS,
    "cleaner_keep_failed": WRONG_DURATIONS,
    "healer_period": (*WRONG_DURATIONS, 0),
    "healer_timeout": (*WRONG_DURATIONS, 0),
    "healer_updated_at_time_ago": (*WRONG_DURATIONS, 0),
    "store_result": WRONG_FLAGS,
    "max_result": (*WRONG_COUNTS, None),
    "priority": (101, -101, 1.0, "1", True, None),
    "cancel_on_decode_error": WRONG_FLAGS,
    "verbose": WRONG_FLAGS,
    "limit": WRONG_COUNTS,
    "limit_per_key": WRONG_COUNTS,
    "limit_key": (7, b"k"),
    "rate": (10, "100/60", (100, 60), goque.Rate),
}


def culprit(value: Any) -> Any:
    """Return the part of the value that is wrong."""
    return value[-1] if isinstance(value, list | tuple) and value[-1] != 30 else value


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, all_ in WRONG.items() for value in all_])
def test_an_option_wrong_in_type_or_range_is_named_with_its_value(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError) as raised:
        Registry().add_processor("send", goque.noop_task_processor, **{name: value})
    said = str(raised.value)
    assert said.startswith(f"the processor of 'send': {name} ")
    wrong = culprit(value)
    assert (wrong.__name__ if isinstance(wrong, type) else f"{wrong!r:.80}") in said
    assert "\n" not in said


def test_there_are_wrong_values_for_every_option() -> None:
    derived = {"strategy", "retry_timeouts", "has_crash_handler", "limits", "takes_turns"}
    assert set(WRONG) == (
        (set(ProcessorOptions.__struct_fields__) - derived) | CODE_OPTIONS | PROCESS_OPTIONS | LIMIT_OPTIONS
    )


def test_an_unknown_option_is_answered_with_the_nearest() -> None:
    with pytest.raises(
        ConfigurationError, match="'send': unknown option 'max_attempt'; did you mean max_att"
    ):
        Registry().add_processor("send", goque.noop_task_processor, max_attempt=3)


def test_retry_and_next_attempt_at_are_one_option() -> None:
    with pytest.raises(ConfigurationError, match="give one of them, not both") as raised:
        Registry().add_processor(
            "send",
            goque.noop_task_processor,
            retry=goque.retry.static(1),
            next_attempt_at=goque.retry.static(2),
        )
    assert "Static(period=1.0)" in str(raised.value)
    assert "Static(period=2.0)" in str(raised.value)


class NotJson: ...


def payload_no_json_becomes(payload: NotJson) -> None: ...


def registered(**processors: Any) -> Registry:
    registry = Registry()
    for task_type, processor in processors.items():
        registry.add_processor(task_type, processor)
    return registry


def twice(add: Callable[[Registry], None]) -> None:
    registry = Registry()
    add(registry)
    add(registry)


NAIVE = datetime(2026, 1, 1)  # noqa: DTZ001 - that is the mistake

REFUSED: dict[str, tuple[Callable[[], Any], list[str]]] = {
    "two processors for one type": (
        lambda: twice(lambda registry: registry.add_processor("send", goque.noop_task_processor)),
        ["type 'send'", "already"],
    ),
    "two jobs of one name": (
        lambda: twice(lambda registry: registry.add_periodic_job(DAILY)),
        ["'daily'", "already"],
    ),
    "a type that is no text": (lambda: Registry().add_processor(5, print), ["type", "5"]),  # type: ignore[arg-type]
    "an empty type": (lambda: Registry().add_processor("", print), ["type", "1 to 255"]),
    "an unknown time zone": (
        lambda: cron_job("daily", "@daily", lambda: Task("t"), tz="Europe/Pragu"),
        ["'daily'", "time zone 'Europe/Pragu'", "Europe/Prague"],
    ),
    "a zone that is no text": (
        lambda: cron_job("daily", "@daily", lambda: Task("t"), tz=5),  # type: ignore[arg-type]
        ["'daily'", "tz", "5"],
    ),
    "an impossible cron": (
        lambda: cron_job("daily", "0 0 30 2 *", lambda: Task("t")),
        ["'daily'", "'0 0 30 2 *'", "never"],
    ),
    "a cron out of range": (
        lambda: cron_job("daily", "61 * * * *", lambda: Task("t")),
        ["'daily'", "'61 * * * *'"],
    ),
    "a cron that is no text": (lambda: cron_job("daily", 5, lambda: Task("t")), ["'daily'", "5"]),  # type: ignore[arg-type]
    "a schedule that cannot be called": (
        lambda: PeriodicJob("daily", "@daily", lambda: Task("t")),  # type: ignore[arg-type]
        ["'daily'", "schedule", "'@daily'"],
    ),
    "a schedule that takes nothing": (
        lambda: PeriodicJob("daily", lambda: None, lambda: Task("t")),  # type: ignore[arg-type,misc]
        ["'daily'", "schedule"],
    ),
    "a schedule that is async": (
        lambda: PeriodicJob("daily", later, lambda: Task("t")),  # type: ignore[arg-type]
        ["'daily'", "schedule", "async"],
    ),
    "a factory that cannot be called": (
        lambda: PeriodicJob("daily", DAILY.schedule, Task("t")),  # type: ignore[arg-type]
        ["'daily'", "factory", "<Task t"],
    ),
    "a factory with two arguments": (
        lambda: PeriodicJob("daily", DAILY.schedule, lambda a, b: Task("t")),  # type: ignore[arg-type,misc]
        ["'daily'", "factory", "(a, b)"],
    ),
    "a misfire policy that there is not": (
        lambda: PeriodicJob("daily", DAILY.schedule, DAILY.factory, misfire="twice"),  # type: ignore[arg-type]
        ["'daily'", "misfire", "'twice'"],
    ),
    "run_on_start that is no bool": (
        lambda: PeriodicJob("daily", DAILY.schedule, DAILY.factory, run_on_start=1),  # type: ignore[arg-type]
        ["'daily'", "run_on_start", "1"],
    ),
    "a naive datetime to run at": (lambda: Task("t", run_at=NAIVE), ["run_at", repr(NAIVE)]),
    "a naive datetime to be asked with": (
        lambda: goque.CronSchedule("@daily")(NAIVE),
        ["time zone", str(NAIVE)],
    ),
    "run_at and delay": (
        lambda: Task("t", run_at=NAIVE.astimezone(), delay=5),
        ["run_at", "delay"],
    ),
    "a payload type that no JSON becomes": (
        lambda: registered(send=payload_no_json_becomes),
        ["'send'", "NotJson", "cannot come from JSON"],
    ),
    "a handler without a parameter": (lambda: registered(send=lambda: None), ["'send'", "one argument"]),
    "a handler with two parameters": (lambda: registered(send=lambda a, b: None), ["'send'", "'b'"]),
    "a handler that cannot be called": (lambda: registered(send="print"), ["'send'", "'print'"]),
    "a class for a handler": (lambda: registered(send=NotJson), ["'send'", "NotJson()"]),
    "a job that is none": (lambda: Registry().add_periodic_job("daily"), ["periodic job", "'daily'"]),  # type: ignore[arg-type]
    "a database that is no text": (lambda: Registry(database_url=5), ["database_url", "5"]),  # type: ignore[arg-type]
    "a metadata key that is no text": (
        lambda: Task("t", metadata={5: 1}),  # type: ignore[dict-item]
        ["metadata", "5"],
    ),
    "a negative delay": (lambda: Task("t", delay=-1), ["delay", "-1"]),
    "a priority out of range": (lambda: Task("t", priority=101), ["priority", "101"]),
    "a filter on a naive datetime": (
        lambda: goque.TaskFilter(updated_before=NAIVE),
        ["updated_before", repr(NAIVE)],
    ),
    "a filter on a status that there is not": (
        lambda: goque.TaskFilter(status="finished"),  # type: ignore[arg-type]
        ["status", "'finished'"],
    ),
    "jitter without end": (lambda: goque.retry.exponential(jitter=2), ["jitter", "2"]),
    "a negative period": (lambda: goque.retry.step([1, -5]), ["periods", "-5"]),
    "a flag that is text": (
        lambda: registered(
            mail=goque.typed_task_processor(goque.noop_task_processor, dict, cancel_on_decode_error="no")  # type: ignore[arg-type]  # that is the mistake
        ),
        ["'mail'", "cancel_on_decode_error", "'no'"],
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_meant_is_refused_and_named(what: str) -> None:
    register, named = REFUSED[what]
    with pytest.raises(ConfigurationError) as raised:
        register()
    said = str(raised.value)
    assert [part for part in named if part not in said] == [], said
    assert "\n" not in said
