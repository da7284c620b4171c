"""Which slots are due, and the task of each."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import dill
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goque import ConfigurationError, CronSchedule, PeriodicJob, Registry, Task, cron_job
from goque.periodic.jobs import (
    GRACE,
    MAX_CATCH_UP,
    MAX_STEPS,
    PeriodicJobError,
    next_due,
    next_slot,
    next_slots,
    slot_text,
    slots_due,
)
from goque.periodic.slot_tasks import task_by_hand, task_for_slot, task_for_start

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def tick() -> Task:
    return Task("tick")


def each_hour(after: datetime) -> datetime:
    return after + HOUR


def hourly(misfire: Any = "skip", factory: Any = tick) -> PeriodicJob:
    return cron_job("hourly", "@hourly", factory, misfire=misfire)


@pytest.mark.parametrize("misfire", ["skip", "once", "all"])
def test_nothing_is_due_before_the_first_look_or_between_slots(misfire: str) -> None:
    job = hourly(misfire)
    assert slots_due(job, None, NOON) == []
    assert slots_due(job, NOON, NOON) == []
    assert slots_due(job, NOON, NOON + timedelta(minutes=59)) == []
    assert slots_due(job, NOON + HOUR, NOON) == []


@pytest.mark.parametrize("misfire", ["skip", "once", "all"])
def test_a_slot_is_due_at_its_time(misfire: str) -> None:
    assert slots_due(hourly(misfire), NOON - HOUR, NOON) == [NOON]
    assert slots_due(hourly(misfire), NOON - HOUR, NOON + timedelta(seconds=3)) == [NOON]


def test_skip_runs_the_newest_slot_while_it_is_recent() -> None:
    job = hourly("skip")
    assert slots_due(job, NOON - 5 * HOUR, NOON + GRACE) == [NOON]
    assert slots_due(job, NOON - 5 * HOUR, NOON + GRACE + timedelta(seconds=1)) == []


def test_once_runs_the_newest_for_all_that_were_missed() -> None:
    assert slots_due(hourly("once"), NOON - 5 * HOUR, NOON + 0.9 * HOUR) == [NOON]


def test_all_runs_each_slot_in_order_up_to_the_cap() -> None:
    assert slots_due(hourly("all"), NOON - 3 * HOUR, NOON) == [NOON - 2 * HOUR, NOON - HOUR, NOON]
    many = slots_due(hourly("all"), NOON - 500 * HOUR, NOON)
    assert many == [NOON - (MAX_CATCH_UP - 1 - n) * HOUR for n in range(MAX_CATCH_UP)]


@pytest.mark.parametrize(("misfire", "count"), [("skip", 1), ("once", 1), ("all", MAX_CATCH_UP)])
def test_years_of_missed_seconds_are_not_walked_through(misfire: Any, count: int) -> None:
    calls = 0

    class Counting(type(cron_job("x", "* * * * * *", tick).schedule)):  # type: ignore[misc]  # any CronSchedule
        def __call__(self, after: datetime) -> datetime | None:
            nonlocal calls
            calls += 1
            following: datetime | None = super().__call__(after)
            return following

    job = PeriodicJob("seconds", Counting("* * * * * *"), tick, misfire=misfire)
    slots = slots_due(job, NOON - timedelta(days=1000), NOON)
    assert len(slots) == count
    assert slots[-1] == NOON
    assert calls < 2500


def test_a_schedule_that_counts_from_its_last_slot_keeps_its_phase() -> None:
    job = PeriodicJob("interval", each_hour, tick, misfire="all")
    last = NOON - timedelta(minutes=150)
    assert slots_due(job, last, NOON) == [last + HOUR, last + 2 * HOUR]


def test_the_slot_to_wait_for_keeps_the_phase_too() -> None:
    interval = PeriodicJob("interval", each_hour, tick)
    last = NOON - timedelta(minutes=150)
    assert next_due(interval, last, NOON) == NOON + timedelta(minutes=30)
    assert next_due(interval, last, last + HOUR) == last + 2 * HOUR
    assert next_due(interval, None, NOON) == NOON + HOUR
    assert next_due(hourly(), last, NOON) == NOON + HOUR
    assert next_due(PeriodicJob("ended", lambda _: None, tick), last, NOON) is None


def test_such_a_schedule_starts_anew_after_too_long_a_pause() -> None:
    def each_second(after: datetime) -> datetime:
        return after + timedelta(seconds=1)

    job = PeriodicJob("interval", each_second, tick)
    assert slots_due(job, NOON - timedelta(seconds=2 * MAX_STEPS), NOON) == [NOON]


@pytest.mark.fault(42)
@pytest.mark.parametrize(
    ("schedule", "said"),
    [
        (lambda after: after, "does not advance"),
        (lambda after: after - HOUR, "does not advance"),
        (lambda after: (after + HOUR).replace(tzinfo=None), "aware datetime"),
        (lambda after: (after + HOUR).timestamp(), "aware datetime"),
        (lambda after: 1 / 0, "ZeroDivisionError"),
    ],
)
def test_a_schedule_that_breaks_its_promise_is_named(schedule: Callable[[datetime], Any], said: str) -> None:
    job = PeriodicJob("broken", schedule, tick)
    for ask in (lambda: slots_due(job, NOON - HOUR, NOON + 5 * HOUR), lambda: next_slot(job, NOON)):
        with pytest.raises(PeriodicJobError, match="'broken'") as raised:
            ask()
        assert said in str(raised.value)


def test_a_schedule_may_end() -> None:
    job = PeriodicJob("ended", lambda _: None, tick, misfire="all")
    assert next_slot(job, NOON) is None
    assert slots_due(job, NOON - HOUR, NOON) == []


def test_slots_come_back_in_utc() -> None:
    elsewhere = timezone(timedelta(hours=5, minutes=45))
    job = PeriodicJob("x", lambda after: after.astimezone(elsewhere) + HOUR, tick)
    slot = next_slot(job, NOON)
    assert slot == NOON + HOUR
    assert slot is not None
    assert slot.tzinfo is UTC


def test_the_text_of_a_slot_has_a_fraction_only_if_the_slot_has_one() -> None:
    assert slot_text(datetime(2026, 11, 23, 21, tzinfo=UTC)) == "2026-11-23T21:00:00Z"
    assert slot_text(datetime(2026, 11, 23, 21, 0, 0, 500000, UTC)) == "2026-11-23T21:00:00.500000Z"
    assert slot_text(datetime(2026, 11, 23, 21, tzinfo=timezone(HOUR))) == "2026-11-23T20:00:00Z"
    with pytest.raises(ConfigurationError, match="time zone"):
        slot_text(datetime(2026, 11, 23, 21))  # noqa: DTZ001 - that is the mistake


def test_the_task_of_a_slot_is_named_after_it() -> None:
    task = task_for_slot(hourly(), NOON)
    assert (task.type, task.external_id) == ("tick", "hourly:2026-11-23T12:00:00Z")


def test_a_factory_may_want_the_slot() -> None:
    task = task_for_slot(hourly(factory=lambda slot: Task("tick", {"slot": slot_text(slot)})), NOON)
    assert task.payload == {"slot": "2026-11-23T12:00:00Z"}
    bound_early = task_for_slot(hourly(factory=lambda kind="bound": Task(kind)), NOON)
    assert bound_early.type == "bound"


def test_an_external_id_of_the_factory_is_kept() -> None:
    assert task_for_slot(hourly(factory=lambda: Task("t", external_id="mine")), NOON).external_id == "mine"


def test_a_factory_may_return_the_same_task_each_time() -> None:
    one = Task("tick", delay=5, priority=3)
    job = hourly(factory=lambda: one)
    first, second = task_for_slot(job, NOON), task_for_slot(job, NOON + HOUR)
    assert first.id != second.id
    assert second.external_id == "hourly:2026-11-23T13:00:00Z"
    assert (second.delay, second.priority) == (5, 3)


def test_the_task_of_a_start_is_named_after_the_node() -> None:
    assert task_for_start(hourly(), "node-1", NOON).external_id == "hourly:start:node-1"


def test_the_task_of_a_run_by_hand_is_one_of_its_own() -> None:
    first, second = task_by_hand(hourly(), NOON), task_by_hand(hourly(), NOON)
    assert first.external_id.startswith("hourly:run:")
    assert first.external_id != second.external_id
    with_slot = task_by_hand(hourly(factory=lambda slot: Task("t", slot_text(slot))), NOON)
    assert with_slot.payload == "2026-11-23T12:00:00Z"


def test_jitter_puts_a_slot_off_alike_on_every_node_and_each_slot_differently() -> None:
    job = cron_job("hourly", "@hourly", tick, jitter=timedelta(minutes=2))
    assert job.jitter == 120
    slots = [NOON + n * HOUR for n in range(50)]
    delays = [task_for_slot(job, slot).delay for slot in slots]
    assert delays == [task_for_slot(job, slot).delay for slot in slots]
    assert len(set(delays)) == 50
    assert min(delays) >= 0
    assert 60 < max(delays) <= 120
    assert task_for_slot(job, NOON).external_id == "hourly:2026-11-23T12:00:00Z"
    assert task_for_start(job, "node-1", NOON).delay == task_by_hand(job, NOON).delay == 0


def test_jitter_comes_on_top_of_what_the_factory_chose() -> None:
    for chosen in ({"delay": 600}, {"run_at": NOON}):
        job = cron_job("hourly", "@hourly", lambda chosen=chosen: Task("tick", **chosen), jitter=60)
        task = task_for_slot(job, NOON)
        if task.next_attempt_at is None:
            assert 600 < task.delay <= 660
        else:
            assert NOON < task.next_attempt_at <= NOON + timedelta(seconds=60)


def test_without_jitter_a_task_is_due_at_once() -> None:
    assert task_for_slot(hourly(), NOON).delay == 0


def test_the_next_slots_are_for_people_to_look_at() -> None:
    assert next_slots(hourly(), None, NOON, 3) == [NOON + n * HOUR for n in (1, 2, 3)]
    interval = PeriodicJob("interval", each_hour, tick)
    late = NOON - timedelta(minutes=90)
    assert next_slots(interval, late, NOON, 2) == [NOON + 0.5 * HOUR, NOON + 1.5 * HOUR]
    ends = PeriodicJob("ends", lambda after: NOON + HOUR if after < NOON + HOUR else None, tick)
    assert next_slots(ends, None, NOON, 5) == [NOON + HOUR]


def test_decorators_register_a_factory_and_leave_it_as_it_is() -> None:
    registry = Registry()

    @registry.cron("0 3 * * *", tz="Europe/Prague", misfire="once", jitter=30)
    def nightly() -> Task:
        return Task("report")

    @registry.periodic(each_hour, name="each hour", run_on_start=True)
    def hour() -> Task:
        return Task("tick")

    assert nightly().type == "report"
    first, second = registry.jobs
    assert (first.name, first.schedule, first.misfire, first.jitter) == (
        "nightly",
        CronSchedule("0 3 * * *", "Europe/Prague"),
        "once",
        30.0,
    )
    assert (second.name, second.factory, second.run_on_start) == ("each hour", hour, True)
    assert registry.get_job("nightly") is first
    with pytest.raises(ConfigurationError, match="'nightly' already"):
        registry.cron("@daily")(nightly)
    with pytest.raises(ConfigurationError, match="name='nightly'"):
        registry.cron("@daily")(lambda: Task("report"))
    with pytest.raises(ConfigurationError, match="did you mean 'nightly'"):
        registry.get_job("nightl")


gaps = st.lists(st.integers(0, 5_000), min_size=1, max_size=12)


@settings(deadline=None, max_examples=50)
@given(looks=gaps, spec=st.sampled_from(["*/7 * * * *", "@hourly", "30 2 * * *"]))
def test_all_enqueues_each_slot_once_and_in_order_however_the_looks_fall(looks: list[int], spec: str) -> None:
    job = cron_job("any", spec, tick, misfire="all")
    last, now, enqueued = NOON, NOON, []
    for gap in looks:
        before, now = now, now + timedelta(seconds=gap)
        due = slots_due(job, last, now)
        assert all(before < slot <= now for slot in due)
        enqueued += due
        last = due[-1] if due else last
    slot, expected = job.schedule(NOON), []
    while slot is not None and slot <= now:
        expected.append(slot)
        slot = job.schedule(slot)
    assert enqueued == expected


@settings(deadline=None, max_examples=50)
@given(looks=gaps, misfire=st.sampled_from(["skip", "once"]))
def test_skip_and_once_enqueue_at_most_one_slot_a_look_and_none_twice(looks: list[int], misfire: Any) -> None:
    job = cron_job("any", "*/7 * * * *", tick, misfire=misfire)
    last, now, enqueued = NOON, NOON, []
    for gap in looks:
        now += timedelta(seconds=gap)
        due = slots_due(job, last, now)
        assert len(due) <= 1
        assert misfire == "once" or all(now - slot <= GRACE for slot in due)
        if misfire == "once":
            missed = job.schedule(last)
            assert bool(due) == (missed is not None and missed <= now)
        enqueued += due
        last = due[-1] if due else last
    assert enqueued == sorted(set(enqueued))


def no_text() -> Task:
    class Silent(Exception):
        def __str__(self) -> str:
            raise ValueError

    raise Silent


@pytest.mark.fault(42)
@pytest.mark.parametrize(
    ("factory", "said"),
    [
        (lambda: None, "must return a goque.Task, not None"),
        (lambda: "tick", "must return a goque.Task"),
        (lambda: 1 / 0, "ZeroDivisionError: division by zero"),
        (lambda: Task(""), "ConfigurationError"),
        (lambda: exit(3), "SystemExit"),  # noqa: PLR1722 - what a factory may do
        (no_text, "Silent"),
    ],
)
def test_a_factory_that_fails_is_named(factory: Any, said: str) -> None:
    with pytest.raises(PeriodicJobError, match="'hourly'") as raised:
        task_for_slot(hourly(factory=factory), NOON)
    assert said in str(raised.value)


async def later() -> Task:
    return Task("tick")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"schedule": "@hourly"}, "schedule"),
        ({"factory": None}, "factory"),
        ({"factory": lambda a, b: Task("t")}, "no argument, or one"),
        ({"factory": later}, "async"),
        ({"misfire": "twice"}, "misfire"),
        ({"run_on_start": "yes"}, "run_on_start"),
        ({"jitter": -1}, "jitter must be 0 or more seconds and under 100 years, not -1"),
        ({"jitter": "1m"}, "jitter must be seconds or a timedelta, not '1m'"),
        ({"name": "x" * 201}, "200"),
    ],
)
def test_a_wrong_job_is_refused_and_named(change: dict[str, Any], said: str) -> None:
    arguments: dict[str, Any] = {"name": "report", "schedule": each_hour, "factory": tick} | change
    with pytest.raises(ConfigurationError, match=f"periodic job '{arguments['name'][:6]}") as raised:
        PeriodicJob(**arguments)
    assert said in str(raised.value)


@pytest.mark.parametrize("name", ["", "a\nb", 5, None])
def test_a_job_needs_a_name(name: Any) -> None:
    with pytest.raises(ConfigurationError, match="name of a periodic job"):
        PeriodicJob(name, each_hour, tick)


@pytest.mark.parametrize(("spec", "tz"), [("61 * * * *", "UTC"), ("@daily", "Europe/Atlantis")])
def test_a_wrong_cron_job_names_itself(spec: str, tz: str) -> None:
    with pytest.raises(ConfigurationError, match="periodic job 'nightly'"):
        cron_job("nightly", spec, tick, tz=tz)


def test_jobs_travel_to_other_processes() -> None:
    word = "tick"
    job = cron_job(
        "nightly", "0 3 * * *", lambda: Task(word), tz="Europe/Prague", run_on_start=True, misfire="once"
    )
    copy = dill.loads(dill.dumps(job))
    assert (copy.name, copy.schedule, copy.run_on_start, copy.misfire) == (
        "nightly",
        job.schedule,
        True,
        "once",
    )
    assert task_for_slot(copy, NOON).type == "tick"
