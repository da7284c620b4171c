"""Cron against real local time, over years, in zones whose offsets are odd or change oddly."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise
from typing import NamedTuple
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from goque import CronSchedule

ZONES = (
    "Africa/Casablanca",  # its daylight saving is negative, and pauses for Ramadan
    "Africa/Monrovia",  # 44 minutes and 30 seconds west until 1972
    "America/Caracas",  # went from -4:00 to -4:30 and back
    "America/Santiago",  # changes at midnight
    "America/St_Johns",  # half an hour, and changes at one minute past midnight until 2011
    "Antarctica/Troll",  # two hours of daylight saving
    "Asia/Kathmandu",  # 5:45
    "Asia/Pyongyang",  # half an hour back in 2015, forth in 2018
    "Asia/Tehran",  # 3:30, changes at midnight
    "Australia/Lord_Howe",  # half an hour of daylight saving
    "Europe/Dublin",  # winter time is the exception
    "Europe/Prague",
    "Pacific/Apia",  # left 30 December 2011 out
    "Pacific/Chatham",  # 12:45
    "Pacific/Kiritimati",  # left a day out in 1994
)
HOUR, SECOND = timedelta(hours=1), timedelta(seconds=1)


class Stretch(NamedTuple):
    """A time with one offset: from its first second to the first of the next."""

    start: datetime
    end: datetime
    offset: timedelta


@cache
def stretches(tz: str, year: int) -> list[Stretch]:
    """Walk real time from a little before a year to a little after, and note where the offset changes."""
    zone = ZoneInfo(tz)
    begin, end = datetime(year - 1, 12, 1, tzinfo=UTC), datetime(year + 1, 2, 1, tzinfo=UTC)
    changes, instant = [begin], begin
    while instant < end:
        following = instant + 6 * HOUR
        if offset(following, zone) != offset(instant, zone):
            changes.append(first_other_offset(instant, zone))
        instant = following
    return [Stretch(start, stop, offset(start, zone)) for start, stop in pairwise([*changes, end])]


def first_other_offset(instant: datetime, zone: ZoneInfo) -> datetime:
    was = offset(instant, zone)
    for step in (HOUR, timedelta(minutes=1), SECOND):
        while offset(instant + step, zone) == was:
            instant += step
    return instant + SECOND


def offset(instant: datetime, zone: ZoneInfo) -> timedelta:
    found = instant.astimezone(zone).utcoffset()
    assert found is not None
    return found


def first_instant_at(local: datetime, tz: str, year: int) -> datetime:
    """Return the first instant at which the clock on the wall shows this time, or has just jumped past it."""
    for stretch in stretches(tz, year):
        if stretch.end + stretch.offset > local.replace(tzinfo=UTC):
            return max(stretch.start, local.replace(tzinfo=UTC) - stretch.offset)
    raise AssertionError(f"{local} is not in {year}")


def runs(spec: str, tz: str, after: datetime, until: datetime) -> list[datetime]:
    schedule, slots = CronSchedule(spec, tz), [after]
    while (following := schedule(slots[-1])) is not None and following <= until:
        slots.append(following)
    return slots[1:]


years = st.sampled_from([1971, 1994, 2007, 2011, 2015, 2018, 2024, 2026, 2030])
zones = st.sampled_from(ZONES)


@settings(deadline=None, max_examples=60)
@given(tz=zones, year=years, minute=st.integers(0, 59), hour=st.integers(0, 23))
def test_a_fixed_time_runs_once_on_each_local_day_of_a_year(
    tz: str, year: int, minute: int, hour: int
) -> None:
    newyear = datetime(year, 1, 1, hour, minute)  # noqa: DTZ001 - a clock on the wall has no zone
    times = [newyear + timedelta(days=day) for day in range(366)]
    expected = sorted({first_instant_at(time, tz, year) for time in times})
    assert runs(f"{minute} {hour} * * *", tz, expected[0] - SECOND, expected[-1]) == expected


@settings(deadline=None, max_examples=60)
@given(
    tz=zones,
    year=years,
    step=st.sampled_from([5, 7, 15, 30]),
    hours=st.sampled_from(["*", "*/2", "0-3", "2"]),
    data=st.data(),
)
def test_an_interval_runs_at_every_instant_at_which_the_clock_matches(
    tz: str, year: int, step: int, hours: str, data: st.DataObject
) -> None:
    wanted = {"*": range(24), "*/2": range(0, 24, 2), "0-3": range(4), "2": range(2, 3)}[hours]
    change = data.draw(st.sampled_from(stretches(tz, year))).start
    start = change - data.draw(st.integers(1, 40)) * HOUR
    end = start + 60 * HOUR
    expected = []
    for stretch in stretches(tz, year):
        clock = (stretch.start + stretch.offset + timedelta(seconds=59)).replace(second=0)
        clock = max(clock, (start + stretch.offset).replace(second=0))
        while (instant := clock - stretch.offset) < min(stretch.end, end + SECOND):
            if instant > start and clock.minute % step == 0 and clock.hour in wanted:
                expected.append(instant)
            clock += timedelta(minutes=1)
    start = max(start, stretches(tz, year)[0].start)
    assert runs(f"*/{step} {hours} * * *", tz, start, end) == [slot for slot in expected if slot > start]


@settings(deadline=None, max_examples=200)
@given(
    tz=zones,
    start=st.datetimes(datetime(1970, 1, 2), datetime(2037, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - the zone follows
    spec=st.sampled_from(["30 2 * * *", "*/15 * * * *", "0 0 * * 1", "0 0 1 * *", "15 1-3 * * *", "@hourly"]),
)
def test_what_follows_is_later_and_nothing_lies_between(tz: str, start: datetime, spec: str) -> None:
    schedule = CronSchedule(spec, tz)
    following = schedule(start)
    assert following is not None
    assert following > start
    between = start + (following - start) / 2
    assert schedule(between) == following
    assert schedule(following - timedelta(microseconds=1)) == following
