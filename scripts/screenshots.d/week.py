"""A week of the shop's work in roll-ups, as its nodes would have written them."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from goque.describe.run_counts import STEPS, RunCounts, bucket_of, encode_runs
from goque.storage.contract import RollupRow

DAY = 86400
MAX_DRAWN = 60
"""How many durations are drawn for one slot; their counts are scaled."""


def rollups(
    now: datetime, kinds: Iterable[tuple[str, float, float, float]], chance: random.Random
) -> Iterator[RollupRow]:
    """Yield the rows of the last days.

    Args:
        now: the present.
        kinds: the name of each type, its tasks per second, the seconds of a run, and the share that fails.
        chance: draws the durations.
    """
    kinds = list(kinds)
    end = int(now.timestamp())
    for step, kept in STEPS.items():
        for slot in range((end - kept) // step * step, end, step):
            part = min(1.0, (end - slot) / step)
            busy = part * wave(slot)
            runs = {
                name: counts(rate * step * busy, took, fails, busy, chance)
                for name, rate, took, fails in kinds
            }
            yield RollupRow(step, slot, "", encode_runs(runs))


def wave(slot: int) -> float:
    """Return how busy the shop is: little at night and on Sundays, most in the evening."""
    hour = slot % DAY / 3600
    weekday = datetime.fromtimestamp(slot, UTC).weekday()
    evening = math.exp(-((hour - 19) ** 2) / 12)
    return (0.25 + 0.5 * math.sin(math.pi * hour / 24) ** 2 + evening) * (0.55 if weekday == 6 else 1.0)


def counts(number: float, took: float, fails: float, busy: float, chance: random.Random) -> RunCounts:
    """Draw the counts of one type in one slot."""
    total = int(number) + (chance.random() < number % 1)
    drawn = min(total, MAX_DRAWN)
    if not drawn:
        return RunCounts()
    failed = sum(chance.random() < fails for _ in range(drawn))
    run = Counter(bucket_of(took * chance.lognormvariate(0, 0.5)) for _ in range(drawn))
    wait = Counter(bucket_of(0.04 * (1 + 6 * busy**2) * chance.lognormvariate(0, 0.8)) for _ in range(drawn))
    ends = {"done": drawn - failed, "error": failed}
    scaled = total / drawn
    return RunCounts(
        {end: round(count * scaled) for end, count in ends.items() if count},
        {bucket: round(count * scaled) for bucket, count in run.items()},
        {bucket: round(count * scaled) for bucket, count in wait.items()},
    )
