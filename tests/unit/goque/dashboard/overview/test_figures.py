"""The figures of a range: short ones count the table, long ones add up roll-ups; times always come from roll-ups."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from goque.dashboard.overview.figures import Figures, busiest_first
from goque.dashboard.readings.history import Picture
from goque.dashboard.readings.past import RangeSums, Runs
from goque.dashboard.readings.ranges import RANGES
from goque.describe.run_counts import RunCounts, bucket_of
from goque.storage.contract import QueueDepth

NOW = datetime(2026, 11, 23, 12, 0, 30, tzinfo=UTC)
NOON = 1_795_435_200


def counts(done: int = 0, error: int = 0, gone: int = 0, run: float = 1.0, wait: float = 0.1) -> RunCounts:
    ends = {"done": done, "error": error, "attempts_left": gone}
    total = done + error + gone
    return RunCounts(ends, {bucket_of(run): total}, {bucket_of(wait): total})


def figures(window: str, runs: Runs, picture: Picture | None = None) -> Figures:
    over = RANGES[window]
    rows = [(slot, {name: one}) for name, slots in runs.items() for slot, one in slots.items()]
    sums = RangeSums.of(rows, over, NOW.timestamp() - over.seconds)
    return Figures(picture or Picture(types=("mail", "ocr")), sums, over, NOW)


def test_noon_is_noon() -> None:
    assert datetime.fromtimestamp(NOON, UTC) == NOW.replace(second=0)


@pytest.mark.parametrize(("window", "step"), [("6h", 600), ("24h", 600), ("7d", 3600)])
def test_a_long_range_adds_up_its_slots_and_no_older_one(window: str, step: int) -> None:
    over = RANGES[window]
    assert over.rollup == step
    runs = {
        "mail": {NOON: counts(3, 1), NOON - step: counts(4, 0, 2), NOON - over.seconds - step: counts(1000)},
        "ocr": {NOON: counts(10)},
    }
    found = figures(window, runs)
    assert (found.number("done"), found.number("failed"), found.number("gone")) == (17, 3, 2)
    assert (found.number("done", ("mail",)), found.number("done", ("sms",))) == (7, 0)
    [mail, ocr] = found.types
    assert (mail.done, mail.failures, mail.gone, ocr.done) == (7, 3, 2, 10)
    assert found.throughput().is_empty is False
    assert found.throughput(("sms",)).is_empty is True


def test_times_are_those_of_the_range_and_of_the_types() -> None:
    runs = {
        "mail": {NOON - 60: counts(90, run=0.5, wait=0.25), NOON - 7000: counts(999, run=900.0)},
        "ocr": {NOON - 60: counts(10, run=60.0, wait=8.0)},
    }
    found = figures("1h", runs)
    assert found.run_times().p50 == pytest.approx(0.5, rel=0.1)
    assert found.run_times().p95 == pytest.approx(60.0, rel=0.1)
    assert found.waits(("mail",)).p95 == pytest.approx(0.25, rel=0.1)
    assert found.waits(("sms",)).p50 is None
    chart = found.run_chart(("ocr",))
    assert [kind for kind, _path in chart.lines] == ["high", "median"]
    assert found.run_chart(("sms",)).is_empty


def test_a_short_range_counts_what_is_in_the_table() -> None:
    ended = {"mail": {"done": {NOON: 5, NOON - 700: 50}, "attempts_left": {NOON: 1}, "canceled": {NOON: 2}}}
    picture = Picture(types=("mail",), ended=ended, known_since=NOON - 3600)
    runs = {"mail": {NOON: counts(999)}}
    found = figures("10m", runs, picture)
    assert (found.number("done"), found.number("gone"), found.number("canceled")) == (5, 1, 2)
    assert figures("1h", runs, picture).number("done") == 55
    assert found.rate() == pytest.approx(5 / 60)


def test_a_week_names_its_days() -> None:
    chart = figures("7d", {"mail": {NOON: counts(1)}}).throughput()
    assert chart.times[0].split()[0] in {"Mon", "Tue"}
    assert ":" not in figures("1h", {}).throughput().times[0].split(":")[0]


def test_busy_types_come_first() -> None:
    depths = [QueueDepth("ocr", "new", 3, 0.0), QueueDepth("ocr", "error", 1, 9.0)]
    picture = Picture(types=("mail", "ocr"), depths=depths)
    first, second = busiest_first(figures("6h", {"mail": {NOON: counts(9)}}, picture).types)
    assert (first.name, first.waiting, first.waited, second.name) == ("ocr", 4, 9.0, "mail")
