"""Cron in time zones: compared with a walk over every second of local time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import dill
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goque import ConfigurationError, CronSchedule

ZONES = ("Australia/Lord_Howe", "Asia/Kathmandu", "America/Santiago", "Pacific/Apia", "Europe/Prague", "UTC")
CHANGES = {
    "Australia/Lord_Howe": ["2026-04-04", "2026-10-03"],
    "Asia/Kathmandu": ["1985-12-31", "2026-06-01"],
    "America/Santiago": ["2026-04-04", "2026-09-05"],
    "Pacific/Apia": ["2011-12-29", "2011-04-01", "2011-09-23"],
    "Europe/Prague": ["2026-03-28", "2026-10-24"],
    "UTC": ["2026-01-01"],
}
"""Days shortly before something odd happens to the clocks."""


def fires(spec: str, tz: str, start: str, count: int) -> list[str]:
    schedule, zone, slots = CronSchedule(spec, tz), ZoneInfo(tz), []
    slot = datetime.fromisoformat(start).replace(tzinfo=zone)
    for _ in range(count):
        following = schedule(slot)
        assert following is not None
        assert following.tzinfo is UTC
        slot = following
        slots.append(slot.astimezone(zone).strftime("%m-%d %H:%M%z"))
    return slots


def test_a_fixed_time_in_the_gap_runs_at_its_end() -> None:
    assert fires("30 2 * * *", "Europe/Prague", "2026-03-28T00:00", 3) == [
        "03-28 02:30+0100",
        "03-29 03:00+0200",
        "03-30 02:30+0200",
    ]


def test_a_fixed_time_that_comes_twice_runs_at_the_first() -> None:
    assert fires("30 2 * * *", "Europe/Prague", "2026-10-24T00:00", 3) == [
        "10-24 02:30+0200",
        "10-25 02:30+0200",
        "10-26 02:30+0100",
    ]


def test_several_fixed_times_in_one_gap_are_one_run() -> None:
    assert fires("0,20,40 2,3 * * *", "Europe/Prague", "2026-03-29T00:00", 4) == [
        "03-29 03:00+0200",
        "03-29 03:20+0200",
        "03-29 03:40+0200",
        "03-30 02:00+0200",
    ]


def test_an_interval_follows_real_time_through_the_doubled_hour_and_the_gap() -> None:
    doubled = fires("*/30 * * * *", "Europe/Prague", "2026-10-25T01:30", 5)
    assert doubled == [
        "10-25 02:00+0200",
        "10-25 02:30+0200",
        "10-25 02:00+0100",
        "10-25 02:30+0100",
        "10-25 03:00+0100",
    ]
    assert fires("@hourly", "Europe/Prague", "2026-03-29T00:30", 2) == [
        "03-29 01:00+0100",
        "03-29 03:00+0200",
    ]


def test_a_day_that_does_not_exist_runs_at_the_beginning_of_the_next() -> None:
    assert fires("0 12 * * *", "Pacific/Apia", "2011-12-29T00:00", 3) == [
        "12-29 12:00-1000",
        "12-31 00:00+1400",
        "12-31 12:00+1400",
    ]


def test_a_gap_of_half_an_hour() -> None:
    assert fires("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T03:00", 2) == [
        "10-04 02:30+1100",
        "10-05 02:15+1100",
    ]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("@hourly", "2026-01-01T01:00:00"),
        ("@Daily", "2026-01-02T00:00:00"),
        ("@midnight", "2026-01-02T00:00:00"),
        ("@weekly", "2026-01-04T00:00:00"),
        ("@monthly", "2026-02-01T00:00:00"),
        ("@yearly", "2027-01-01T00:00:00"),
        ("@annually", "2027-01-01T00:00:00"),
        ("15 * * * * *", "2026-01-01T00:00:15"),
        ("  5   4  *  *  * ", "2026-01-01T04:05:00"),
        ("0 0 * * mon-fri", "2026-01-02T00:00:00"),
        ("0 0 29 2 *", "2028-02-29T00:00:00"),
        ("0 0 1 * 5", "2026-01-02T00:00:00"),
        ("0 0 l * *", "2026-01-31T00:00:00"),
    ],
)
def test_what_expressions_mean(spec: str, expected: str) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    assert CronSchedule(spec)(start) == datetime.fromisoformat(expected).replace(tzinfo=UTC)


WRONG = (
    "",
    "* * * *",
    "* * * * * * *",
    "60 * * * *",
    "*/0 * * * *",
    "a * * * *",
    "0 0 30 2 *",
    "@reboot",
    "@often",
    "r * * * *",
    "h h * * *",
    "٣ * * * *",
    "1,, * * * *",
    5,
    None,
)


@pytest.mark.parametrize("spec", WRONG)
def test_an_expression_that_cannot_be_meant_is_refused(spec: Any) -> None:
    with pytest.raises(ConfigurationError) as raised:
        CronSchedule(spec)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "tz", ["Europe/Pragu", "", "Europe", "../../etc/passwd", "/etc/passwd", None, "a\0b"]
)
def test_an_unknown_zone_is_refused(tz: str) -> None:
    with pytest.raises(ConfigurationError, match="time zone"):
        CronSchedule("@daily", tz)


def test_a_near_miss_of_a_zone_is_named() -> None:
    with pytest.raises(ConfigurationError, match="Europe/Prague"):
        CronSchedule("@daily", "Europe/Pragu")


def test_it_must_be_asked_with_a_zone() -> None:
    with pytest.raises(ConfigurationError, match="time zone"):
        CronSchedule("@daily")(datetime(2026, 1, 1))  # noqa: DTZ001 - that is the mistake


def test_fractions_of_a_second_do_not_matter() -> None:
    schedule = CronSchedule("* * * * * *")
    assert schedule(datetime(2026, 1, 1, 0, 0, 0, 999999, UTC)) == datetime(2026, 1, 1, 0, 0, 1, tzinfo=UTC)


def test_the_end_of_time_is_no_error() -> None:
    assert CronSchedule("0 0 29 2 *")(datetime(9999, 12, 31, 23, tzinfo=UTC)) is None


def test_it_travels_to_other_processes() -> None:
    schedule = CronSchedule("30 2 * * *", "Europe/Prague")
    assert dill.loads(dill.dumps(schedule)) == schedule


def minutes_of_local_time(zone: ZoneInfo, start: datetime, days: int) -> list[tuple[datetime, datetime]]:
    """Walk real time minute by minute and note what the clock on the wall shows."""
    instants = [start + timedelta(minutes=minute) for minute in range(days * 1440)]
    return [(instant, instant.astimezone(zone).replace(tzinfo=None, fold=0)) for instant in instants]


def fixed_times_by_walking(walk: list[tuple[datetime, datetime]], minute: int, hour: int) -> list[datetime]:
    """Take the first instant at which the clock shows the time, or has just jumped over it."""
    found, done = [], set()
    for (_, before), (instant, wall) in pairwise(walk):
        day = before.replace(hour=0, minute=0)
        while day <= wall:
            wanted = day.replace(hour=hour, minute=minute)
            if before < wanted <= wall and wanted not in done:
                done.add(wanted)
                found.append(instant)
            day += timedelta(days=1)
    return sorted(set(found))


cases = st.sampled_from([(zone, day) for zone in ZONES for day in CHANGES[zone]])


@settings(deadline=None, max_examples=150)
@given(case=cases, minute=st.integers(0, 59), hour=st.integers(0, 23))
def test_fixed_times_are_those_of_a_walk_over_local_time(
    case: tuple[str, str], minute: int, hour: int
) -> None:
    tz, day = case
    zone = ZoneInfo(tz)
    start = datetime.fromisoformat(day).replace(tzinfo=zone).astimezone(UTC)
    walk = minutes_of_local_time(zone, start, days=4)
    expected = fixed_times_by_walking(walk, minute, hour)
    schedule, slot, slots = CronSchedule(f"{minute} {hour} * * *", tz), start, []
    while (following := schedule(slot)) is not None and following <= walk[-1][0]:
        slot = following
        slots.append(slot)
    assert slots == expected


@settings(deadline=None, max_examples=60)
@given(case=cases, step=st.sampled_from([5, 7, 20, 30]), hours=st.sampled_from(["*", "*/3", "1-4"]))
def test_intervals_are_every_instant_at_which_the_clock_matches(
    case: tuple[str, str], step: int, hours: str
) -> None:
    tz, day = case
    zone = ZoneInfo(tz)
    start = datetime.fromisoformat(day).replace(tzinfo=zone).astimezone(UTC)
    walk = minutes_of_local_time(zone, start, days=3)
    wanted = {"*": range(24), "*/3": range(0, 24, 3), "1-4": range(1, 5)}[hours]
    expected = [instant for instant, wall in walk[1:] if wall.minute % step == 0 and wall.hour in wanted]
    schedule, slot, slots = CronSchedule(f"*/{step} {hours} * * *", tz), start, []
    while (following := schedule(slot)) is not None and following <= walk[-1][0]:
        slot = following
        slots.append(slot)
    assert slots == expected
