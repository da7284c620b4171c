"""How soon a fetcher claims after a wake-up."""

from __future__ import annotations

import pytest

from goque_supervisor.fetcher.claiming.wakeup_backoff import FREE_MISSES, MAX_PAUSE, MEMORY, WakeupBackoff

NOW = 100.0


def after(misses):
    wakes = WakeupBackoff()
    for _ in range(misses):
        wakes.claimed(0, NOW)
    return wakes


@pytest.mark.parametrize("misses", [0, 1, FREE_MISSES])
def test_a_few_misses_cost_no_promptness(misses):
    assert after(misses).pause(NOW) == 0


def test_the_pause_grows_with_the_misses_up_to_the_longest():
    pauses = [after(misses).pause(NOW) for misses in range(FREE_MISSES, 100)]
    assert pauses == sorted(pauses)
    assert 0 < pauses[1] < MAX_PAUSE
    assert pauses[-1] == MAX_PAUSE


def test_a_claim_that_finds_work_makes_the_next_one_prompt():
    wakes = after(100)
    wakes.claimed(1, NOW)
    assert wakes.pause(NOW) == 0


def test_after_a_quiet_moment_the_next_one_is_prompt_and_the_misses_are_forgotten():
    wakes = after(100)
    assert wakes.pause(NOW + MEMORY) == MAX_PAUSE
    assert wakes.pause(NOW + MEMORY * 1.01) == 0
    assert wakes.pause(NOW) == 0
