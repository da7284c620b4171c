"""The chaos run itself, briefly, on every kind of database; and that it sees when a guard is missing."""

from __future__ import annotations

import os
import random

import pytest
from chaos import GUARDS, Chaos

SECONDS = 40.0
SECONDS_WITHOUT_A_GUARD = 20.0


def seed() -> int:
    return int(os.environ.get("GOQUE_TEST_SEED") or random.SystemRandom().randrange(1_000_000))


@pytest.mark.timeout(400)
@pytest.mark.parametrize("where", ["sqlite", "postgresql", "mysql"])
def test_nothing_is_lost_doubled_or_left_behind(where: str) -> None:
    chaos = Chaos(where, seed(), SECONDS, rate=30)
    chaos.run()
    print(chaos.report())  # noqa: T201 - pytest shows it when the test failed
    assert chaos.complaints == []


@pytest.mark.timeout(600)
@pytest.mark.parametrize("guard", GUARDS)
def test_without_any_one_of_its_guards_it_does_not_add_up(guard: str) -> None:
    """Whether a fault meets the gap is chance, so there are up to three runs, as in `scripts/chaos --prove`."""
    complaints: list[str] = []
    first = seed()
    for chosen in range(first, first + 3):
        chaos = Chaos("sqlite", chosen, SECONDS_WITHOUT_A_GUARD, rate=30, sabotage=guard)
        chaos.run()
        if complaints := chaos.complaints:
            break
    assert complaints
