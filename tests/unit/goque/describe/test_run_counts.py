"""Counts of runs in buckets: they add up, and their percentiles are off by a known part at most."""

from __future__ import annotations

import math
import random

import pytest

from goque.describe.run_counts import (
    BUCKETS,
    MAX_TYPES,
    RunCounts,
    add_up,
    bucket_of,
    decode_runs,
    encode_runs,
    merge_runs,
    middle_of,
    quantile,
)

ERROR = 2 ** (1 / 8) - 1
"""Half a bucket, on a logarithmic scale."""


@pytest.mark.parametrize("seconds", [0.00098, 0.0012, 0.01, 0.25, 1.0, 1.5, 59.9, 3600.0, 86400.0, 900_000.0])
def test_the_middle_of_a_bucket_is_near_what_is_in_it(seconds: float) -> None:
    assert middle_of(bucket_of(seconds)) == pytest.approx(seconds, rel=ERROR + 1e-9)


@pytest.mark.parametrize("seconds", [0.0, -1.0, 1e-9, math.nan, math.inf, 1e30, 2.0**-10, 2.0**20])
def test_every_duration_has_a_bucket(seconds: float) -> None:
    assert 0 <= bucket_of(seconds) < BUCKETS


def test_a_longer_duration_is_never_in_a_lower_bucket() -> None:
    buckets = [bucket_of(0.0001 * 1.07**power) for power in range(345)]
    assert buckets == sorted(buckets)
    assert (buckets[0], buckets[-1]) == (0, BUCKETS - 1)


@pytest.mark.parametrize("part", [0.5, 0.95, 0.99])
def test_a_percentile_is_off_by_nine_percent_at_most(part: float) -> None:
    chance = random.Random(7)
    times = sorted(chance.lognormvariate(0, 2) for _ in range(999))
    counts = RunCounts()
    for seconds in times:
        counts.add(RunCounts({}, {bucket_of(seconds): 1}))
    exact = times[math.ceil(len(times) * part) - 1]
    assert quantile(counts.run, part) == pytest.approx(exact, rel=ERROR + 1e-9)


def test_nothing_has_no_percentile() -> None:
    assert quantile({}, 0.5) is None
    assert quantile({7: 0}, 0.5) is None


def test_counts_add_up_and_are_told_apart() -> None:
    before = RunCounts({"done": 2, "error": 1}, {4: 3}, {1: 3})
    now = RunCounts({"done": 5, "error": 1, "canceled": 1}, {4: 5, 9: 2}, {1: 7})
    news = now.since(before)
    assert news == RunCounts({"done": 3, "canceled": 1}, {4: 2, 9: 2}, {1: 4})
    assert (news.total, news.failed, now.failed) == (4, 0, 1)
    sums = add_up([{"mail": before}, {"mail": news, "ocr": news}])
    assert sums == {"mail": now, "ocr": news}
    assert before == RunCounts({"done": 2, "error": 1}, {4: 3}, {1: 3})


def test_a_row_comes_back_as_it_was_and_has_a_bounded_number_of_types() -> None:
    runs = {"mail": RunCounts({"done": 2}, {44: 2}, {0: 2}), "€": RunCounts({"error": 1})}
    assert decode_runs(encode_runs(runs)) == runs
    assert merge_runs([encode_runs(runs), encode_runs({"mail": RunCounts({"done": 1})})]) == encode_runs(
        {"mail": RunCounts({"done": 3}, {44: 2}, {0: 2}), "€": RunCounts({"error": 1})}
    )
    many = {f"type-{number}": RunCounts({"done": number}) for number in range(MAX_TYPES + 9)}
    assert set(decode_runs(encode_runs(many))) == {f"type-{number}" for number in range(9, MAX_TYPES + 9)}


@pytest.mark.parametrize(
    "text",
    ["", "x", "[1]", '{"a": 1}', '{"a": {"run": {"x": 1}}}', '{"a": {"ends": {"done": -1}}}', "[" * 9999],
)
def test_what_is_no_row_counts_as_nothing(text: str) -> None:
    assert decode_runs(text) == {}
