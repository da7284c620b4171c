"""Restart policy, told as histories of exits with the time as an argument."""

from __future__ import annotations

import pytest

from goque_supervisor.root.restart_policy import Backoff, BootWatch, Intensity


@pytest.mark.parametrize(
    ("lives", "waits"),
    [
        ([0.0], [0.0]),
        ([0.0] * 6, [0.0, 0.1, 0.2, 0.4, 0.8, 1.6]),
        ([0.0] * 20, [0.0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, *[30.0] * 10]),
        ([0.0, 0.0, 0.0, 10.0, 0.0], [0.0, 0.1, 0.2, 0.0, 0.1]),
        ([9.9, 9.9, 9.9], [0.0, 0.1, 0.2]),
        ([3600.0] * 5, [0.0] * 5),
    ],
)
def test_a_child_waits_longer_the_more_often_it_fails_until_it_has_lived_a_while(
    lives: list[float], waits: list[float]
) -> None:
    backoff = Backoff()
    assert [backoff.after_exit(lived) for lived in lives] == pytest.approx(waits)


def test_a_child_that_fails_for_years_waits_no_longer_than_the_longest() -> None:
    assert Backoff(failures=100_000).after_exit(0.0) == 30.0


@pytest.mark.parametrize(
    ("times", "verdicts"),
    [
        ([0, 1, 2, 3, 4], [False] * 5),
        ([0, 1, 2, 3, 4, 5], [False] * 5 + [True]),
        ([0, 1, 2, 3, 4, 60], [False] * 5 + [True]),
        ([0, 1, 2, 3, 4, 60.1], [False] * 6),
        ([0, 100, 200, 300, 400, 500, 600], [False] * 7),
        ([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11], [False] * 5 + [True] + [False] * 5 + [True]),
    ],
)
def test_more_than_five_restarts_in_a_minute_are_too_many_and_then_the_count_begins_anew(
    times: list[float], verdicts: list[bool]
) -> None:
    intensity = Intensity()
    assert [intensity.too_many(now) for now in times] == verdicts


def test_three_failed_boots_in_a_row_hold_a_type_and_one_that_works_releases_it() -> None:
    watch = BootWatch()
    assert [watch.failed(), watch.failed()] == pytest.approx([0.4, 0.8])
    assert not watch.held
    assert watch.failed() == 30.0
    assert watch.held
    assert not watch.ever_booted
    assert watch.failed() == 30.0
    watch.booted()
    assert (watch.held, watch.ever_booted) == (False, True)
    assert watch.failed() == pytest.approx(0.4)
