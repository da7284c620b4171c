"""The chaos run itself, briefly, on every kind of database; and that each guard is needed for it to pass."""

from __future__ import annotations

import os
import random

import pytest
from chaos import GUARDS, Chaos

SECONDS = 30.0


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
def test_without_one_of_its_guards_it_goes_red(guard: str) -> None:
    for number in range(1, 6):
        chaos = Chaos("sqlite", number, 25.0, rate=15, sabotage=guard)  # no backlog: others begin at once
        chaos.run()
        if chaos.complaints:
            return
    pytest.fail(f"five runs without {guard} saw nothing wrong")
