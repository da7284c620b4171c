"""How many runs ended, how long they took, and how late they started: small counts that can be added.

Durations go into buckets on a logarithmic scale, four for each doubling. So a percentile is off by 9 % at most, and the
counts of any two nodes and any two slots of time add up.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Final, TypeVar

import msgspec

from goque.task_row import TaskStatus

MINUTE: Final = 60
FINE: Final = 600
COARSE: Final = 3600
STEPS: Final = {MINUTE: 2 * 3600, FINE: 26 * 3600, COARSE: 8 * 86400}
"""The lengths of slots, and how long the counts of each are kept, in seconds."""

ENDS: Final = (TaskStatus.DONE, TaskStatus.ERROR, TaskStatus.ATTEMPTS_LEFT, TaskStatus.CANCELED)
FAILED: Final = (TaskStatus.ERROR, TaskStatus.ATTEMPTS_LEFT)

PER_DOUBLING: Final = 4
LOWEST: Final = -10
"""The power of two where the second bucket begins: a millisecond."""

HIGHEST: Final = 20
"""The power of two where the last bucket begins: twelve days."""

BOUNDS: Final = [
    2.0 ** (LOWEST + step / PER_DOUBLING) for step in range((HIGHEST - LOWEST) * PER_DOUBLING + 1)
]
"""The seconds where each bucket begins, from the second on."""

BUCKETS: Final = len(BOUNDS) + 1
bucket_of: Final[Callable[[float], int]] = partial(bisect_right, BOUNDS)
"""Returns the bucket of a duration. Fetchers ask twice for each task, so it is no function in Python."""

MAX_COUNT: Final = 2**53
MAX_TYPES: Final = 500
"""How many types one row counts; of more, those with the most runs."""


KeyT = TypeVar("KeyT", int, str)


class RunCounts(msgspec.Struct, omit_defaults=True):
    """Counts of the runs of one type.

    Attributes:
        ends: how many ended, by the status that the task got.
        run: how long the handlers ran, by bucket.
        wait: how long after they were due the runs started, by bucket.
    """

    ends: dict[str, int] = msgspec.field(default_factory=dict)
    run: dict[int, int] = msgspec.field(default_factory=dict)
    wait: dict[int, int] = msgspec.field(default_factory=dict)

    def add(self, other: RunCounts) -> None:
        """Add other counts."""
        _add(self.ends, other.ends)
        _add(self.run, other.run)
        _add(self.wait, other.wait)

    def since(self, before: RunCounts) -> RunCounts:
        """Return what has been counted since an earlier state of the same counters."""
        return RunCounts(
            _less(self.ends, before.ends), _less(self.run, before.run), _less(self.wait, before.wait)
        )

    @property
    def total(self) -> int:
        """How many runs ended."""
        return sum(self.ends.values())

    @property
    def failed(self) -> int:
        """How many attempts failed."""
        return sum(self.ends.get(status, 0) for status in FAILED)


def middle_of(bucket: int) -> float:
    """Return the duration in the middle of a bucket, in seconds."""
    if bucket <= 0:
        return 2.0 ** (LOWEST - 1)
    return float(2.0 ** ((min(bucket, BUCKETS - 1) - 0.5) / PER_DOUBLING + LOWEST))


def quantile(counts: Mapping[int, int], part: float) -> float | None:
    """Return a quantile of the durations in these buckets, off by 9 % at most; None if there are none."""
    left = math.ceil(sum(counts.values()) * part)
    if left <= 0:
        return None
    for bucket in sorted(counts):
        left -= counts[bucket]
        if left <= 0:
            return middle_of(bucket)
    return None


def encode_runs(runs: Mapping[str, RunCounts]) -> str:
    """Encode the counts of some types for a row."""
    kept = sorted(runs, key=lambda name: (-runs[name].total, name))[:MAX_TYPES]
    return msgspec.json.encode({name: runs[name] for name in sorted(kept)}).decode()


def decode_runs(text: str) -> dict[str, RunCounts]:
    """Decode a row; what somebody else has written there counts as nothing."""
    try:
        runs = msgspec.json.decode(text, type=dict[str, RunCounts])
    except (msgspec.MsgspecError, RecursionError, ValueError):
        return {}
    return {name: counts for name, counts in runs.items() if _is_sane(counts)}


def merge_runs(texts: Iterable[str]) -> str:
    """Make one text of the counts of several writers."""
    return encode_runs(add_up(map(decode_runs, texts)))


def add_up(parts: Iterable[Mapping[str, RunCounts]]) -> dict[str, RunCounts]:
    """Return the sums of some counts by type."""
    sums: dict[str, RunCounts] = {}
    for runs in parts:
        for name, counts in runs.items():
            sums.setdefault(name, RunCounts()).add(counts)
    return sums


def _is_sane(counts: RunCounts) -> bool:
    numbers = (*counts.ends.values(), *counts.run.values(), *counts.wait.values())
    return all(0 <= number < MAX_COUNT for number in numbers)


def _add(sums: dict[KeyT, int], others: Mapping[KeyT, int]) -> None:
    for key, number in others.items():
        sums[key] = sums.get(key, 0) + number


def _less(now: Mapping[KeyT, int], before: Mapping[KeyT, int]) -> dict[KeyT, int]:
    return {key: number - before.get(key, 0) for key, number in now.items() if number > before.get(key, 0)}
