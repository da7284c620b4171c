"""The chaos run itself, briefly, on every kind of database.

That each guard is needed for it to pass is a matter of chance and of minutes: `scripts/chaos --prove` shows it.
"""

from __future__ import annotations

import os
import random

import pytest
from chaos import Chaos

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
