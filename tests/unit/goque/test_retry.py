from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from goque import retry
from goque.errors import ConfigurationError


@pytest.mark.parametrize(
    ("strategy", "waits"),
    [
        (retry.static(10), [10, 10, 10]),
        (retry.static(timedelta(minutes=1)), [60, 60, 60]),
        (retry.step([1, 2, 5]), [1, 2, 5, 5, 5]),
        (retry.round_step([1, timedelta(seconds=2)]), [1, 2, 1, 2]),
        (retry.exponential(1, 10), [1, 2, 4, 8, 10, 10]),
        (retry.exponential(0), [0, 0]),
        (retry.exponential(10, 3600, factor=6), [10, 60, 360, 2160, 3600, 3600]),
        (retry.exponential(5, 7, factor=1), [5, 5, 5]),
    ],
)
def test_the_nth_failure_waits_the_nth_period(strategy, waits):
    assert [strategy(failures).total_seconds() for failures in range(1, len(waits) + 1)] == waits


def test_the_periods_of_the_original():
    assert [period.total_seconds() / 60 for period in retry.FIBONACCI_PERIODS] == [
        1,
        2,
        3,
        5,
        8,
        13,
        21,
        34,
        55,
        89,
    ]
    assert retry.step(retry.STRONG_PERIODS)(99) == timedelta(hours=1)


def test_jitter_stays_within_its_factor():
    strategy = retry.exponential(10, 1000, jitter=0.5)
    waits = [strategy(2).total_seconds() for _ in range(200)]
    assert all(10 <= wait <= 30 for wait in waits)
    assert len(set(waits)) > 100


def test_the_millionth_failure_waits_the_maximum():
    assert retry.exponential(1, 60)(1_000_000) == timedelta(seconds=60)
    assert retry.exponential(0, 60, factor=7)(1_000_000) == timedelta(0)
    assert retry.DEFAULT(2**31) <= timedelta(seconds=3600 * 1.1)


def test_strategies_cross_a_wire_as_data():
    for strategy in (retry.static(1), retry.step([1]), retry.round_step([1]), retry.exponential(1, 2, 0.5)):
        assert msgspec.json.decode(msgspec.json.encode(strategy), type=retry.Strategy) == strategy


@pytest.mark.parametrize(
    "make",
    [
        lambda: retry.static(-1),
        lambda: retry.static(float("nan")),
        lambda: retry.static(float("inf")),
        lambda: retry.static(True),
        lambda: retry.static("1"),
        lambda: retry.step([]),
        lambda: retry.step([1, -1]),
        lambda: retry.step(5),
        lambda: retry.round_step([]),
        lambda: retry.exponential(jitter=1.5),
        lambda: retry.exponential(jitter=-0.1),
        lambda: retry.exponential(maximum=-1),
        lambda: retry.exponential(factor=0.5),
        lambda: retry.exponential(factor=1001),
        lambda: retry.exponential(factor=float("nan")),
        lambda: retry.exponential(factor=True),
    ],
)
def test_periods_that_make_no_sense_are_refused(make):
    with pytest.raises(ConfigurationError):
        make()


def test_an_answer_of_any_kind_becomes_seconds():
    assert retry.delay_of(5) == 5
    assert retry.delay_of(timedelta(minutes=1)) == 60
    assert retry.delay_of(-5) == 0
    assert retry.delay_of(float("inf")) == retry.MAX_DELAY
    assert 50 < retry.delay_of(datetime.now(UTC) + timedelta(seconds=60)) <= 60


@pytest.mark.parametrize("answer", [None, "5", True, float("nan"), datetime(2026, 1, 1)])  # noqa: DTZ001 - naive on purpose
def test_an_answer_that_is_no_time_is_refused(answer):
    with pytest.raises(ConfigurationError, match="next_attempt_at"):
        retry.delay_of(answer)
