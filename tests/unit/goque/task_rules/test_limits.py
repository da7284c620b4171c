"""Rates as one timestamp, and limits as they are declared, set and read."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest

import goque
from goque.errors import ConfigurationError
from goque.task_rules.limits import (
    LimitChanges,
    Limits,
    Pace,
    Rate,
    encode_limits,
    read_changes,
    read_limits,
)

NOW = 1_800_000_000.0


def starts_in(rate: Rate, *, looks: int, every: float, wanted: int) -> list[float]:
    """Return when tasks start of which there are always enough, if somebody looks from time to time."""
    pace, starts, chance = Pace(), [], random.Random(7)
    for look in range(looks):
        now = NOW + look * every + chance.random() * every
        granted = pace.grants(rate, now, wanted)
        if granted:
            pace = Pace(pace.after(rate, now, granted))
        starts += [now] * granted
    return starts


@pytest.mark.parametrize(
    "rate", [Rate(100, per=60), Rate(100, per=60, burst=10), Rate(3, per=1, burst=1), Rate(1, per=7)]
)
def test_in_no_window_do_more_start_than_the_burst_and_what_its_length_allows(rate: Rate) -> None:
    starts = starts_in(rate, looks=2000, every=0.11, wanted=50)
    burst = rate.burst or rate.count
    for first in range(0, len(starts), 7):
        for last in range(first, len(starts), 11):
            allowed = burst + (starts[last] - starts[first]) / rate.interval
            assert last - first + 1 <= allowed + 1e-3


def test_on_average_as_many_start_as_it_says() -> None:
    starts = starts_in(Rate(100, per=60, burst=10), looks=6000, every=0.1, wanted=50)
    assert 1008 <= len(starts) <= 1010  # in ten minutes, with the burst at the beginning


def test_the_wait_until_the_next_start_is_exact() -> None:
    rate = Rate(6, per=60, burst=2)
    pace = Pace(Pace().after(rate, NOW, 2))
    wait = pace.seconds_until_next(rate, NOW)
    assert wait == pytest.approx(10.0)
    assert pace.grants(rate, NOW + wait - 0.001, 5) == 0
    assert pace.grants(rate, NOW + wait, 5) == 1


def test_nothing_starts_before_it_may_whatever_the_rate() -> None:
    pace = Pace(not_before=NOW + 5)
    for rate in (None, Rate(100, per=1)):
        assert pace.grants(rate, NOW, 5) == 0
        assert pace.seconds_until_next(rate, NOW) == 5.0
        assert pace.grants(rate, NOW + 5, 5) == 5


def test_an_arrival_that_no_start_can_have_led_to_counts_as_a_burst_that_is_used_up() -> None:
    rate = Rate(1, per=10)
    beyond = Pace(NOW + 3600)
    assert beyond.is_beyond(rate, NOW)
    assert beyond.grants(rate, NOW, 5) == 0
    assert beyond.seconds_until_next(rate, NOW) == 10
    left = Pace(beyond.after(rate, NOW, 0))
    assert not left.is_beyond(rate, NOW)
    assert left.grants(rate, NOW + 10, 5) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"count": 0, "per": 1}, "the count of a Rate must be a whole number from 1 up, not 0"),
        ({"count": 1, "per": 0}, "per of a Rate must be more than 0 seconds"),
        ({"count": 1, "per": "60"}, "per of a Rate must be seconds or a timedelta, not '60'"),
        ({"count": 1, "per": 1, "burst": 1.5}, "burst of a Rate must be a whole number"),
        ({"count": 1, "per": 1, "per_key": 1}, "per_key of a Rate must be True or False, not 1"),
        ({"count": 10**9, "per": 1}, "a Rate of 1000000000 per 1s is no limit; leave it out"),
    ],
)
def test_a_wrong_rate_is_refused(arguments: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        Rate(**arguments)  # type: ignore[arg-type]


def test_a_rate_takes_a_timedelta_and_says_what_it_is() -> None:
    rate = goque.Rate(100, per=timedelta(minutes=1), burst=10, per_key=True)
    assert rate == Rate(100, 60.0, 10, per_key=True)
    assert str(rate) == "100/60, burst 10, for each key"


def test_what_is_set_lies_over_what_is_declared_and_stays_where_it_is_left_out() -> None:
    declared = Limits(limit=5, rate=Rate(1, per=1))
    set_first = LimitChanges(limit=3)
    both = set_first.merged(LimitChanges(rate=None))
    assert set_first.applied_to(declared) == Limits(limit=3, rate=Rate(1, per=1))
    assert both.applied_to(declared) == Limits(limit=3)
    assert both.merged(LimitChanges(limit=None)).applied_to(declared) == Limits()


def test_columns_are_read_as_they_were_written() -> None:
    limits = Limits(limit=5, per_key=2, rate=Rate(1, per=60, burst=3, per_key=True))
    assert read_limits(encode_limits(limits)) == limits
    assert encode_limits(Limits()) is None
    changes = LimitChanges(limit=None, rate=Rate(2, per=1))
    assert read_changes(encode_limits(changes)) == changes


@pytest.mark.parametrize(
    "text",
    [
        "",
        "garbage",
        "[]",
        "null",
        '{"limit": 0}',
        '{"limit": "3"}',
        '{"rate": {"count": 1, "per": -1}}',
        "\ud800",
    ],
)
def test_a_column_that_says_nothing_bounds_nothing(text: str) -> None:
    assert read_limits(text) == Limits()
    assert read_changes(text) == LimitChanges()
