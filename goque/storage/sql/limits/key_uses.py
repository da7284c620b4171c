"""How the keys of a type use its limits, and when a waiting task of one may start. No I/O here."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from goque.storage.contract import KeyUse
from goque.storage.sql.limits.holders import Holders
from goque.task_rules.limits import NO_KEY, Limits, Pace, Rate


class Waiting(NamedTuple):
    """How many tasks wait, and the seconds until the first of them is due; infinite if none waits."""

    number: int = 0
    due_in: float = math.inf

    def with_others(self, others: Waiting) -> Waiting:
        """Return what these and other tasks are together."""
        return Waiting(self.number + others.number, min(self.due_in, others.due_in))


class NextStart(NamedTuple):
    """When the next task of a type may start.

    Attributes:
        start_in: seconds; None if each key that waits is full.
        is_key_full: whether a key that waits is full.
    """

    start_in: float | None
    is_key_full: bool


@dataclass(frozen=True)
class UseOfKeys:
    """What was read of the keys of a type.

    Attributes:
        running: how many tasks of a key hold a place.
        waiting: what waits, of the keys with the most.
        without_key: what waits that has no key at all.
        paces: how far the starts are, of some keys.
    """

    running: Mapping[str, int]
    waiting: dict[str, Waiting]
    without_key: Waiting
    paces: dict[str, Pace]

    def names(self) -> list[str]:
        """Return the keys, those with the most running and waiting tasks first."""
        keys = {*self.running, *self.waiting, *self.paces}
        keys.discard(NO_KEY)
        if self.running.get(NO_KEY) or self.waits(NO_KEY).number:
            keys.add(NO_KEY)
        return sorted(keys, key=lambda key: (-self.running.get(key, 0), -self.waits(key).number, key))

    def waits(self, key: str) -> Waiting:
        """Return what waits of a key."""
        waiting = self.waiting.get(key, Waiting())
        return waiting.with_others(self.without_key) if key == NO_KEY else waiting

    def all_waiting(self) -> Waiting:
        """Return what waits of all keys that were read."""
        total = self.without_key
        for waiting in self.waiting.values():
            total = total.with_others(waiting)
        return total

    def use(self, key: str, rate: Rate | None, now: float, of: Holders) -> KeyUse:
        """Return how one key uses its limits; tasks without a key have no rate of their own."""
        waiting = self.waits(key)
        return KeyUse(
            key,
            self.running.get(key, 0),
            waiting.number,
            self._wait(key, rate, now),
            waiting.due_in if waiting.number else None,
            tuple(of.owners.get(key, ())),
            tuple(of.named.get(key, ())),
        )

    def next_start(
        self, limits: Limits, rate_of_keys: Rate | None, wait_of_type: float, now: float
    ) -> NextStart:
        """Return when the next task may start, of the keys that were read."""
        starts, is_key_full = [], False
        for key in {*self.waiting, NO_KEY}:
            waiting = self.waits(key)
            if not waiting.number:
                continue
            if key and limits.per_key is not None and self.running.get(key, 0) >= limits.per_key:
                is_key_full = True
            else:
                starts.append(max(wait_of_type, self._wait(key, rate_of_keys, now), waiting.due_in))
        return NextStart(min(starts, default=None), is_key_full)

    def _wait(self, key: str, rate: Rate | None, now: float) -> float:
        return self.paces.get(key, Pace()).seconds_until_next(rate, now) if key else 0.0

    def without_pace(self, names: Sequence[str]) -> list[str]:
        """Return the keys among these, and among those that wait, of which it is not known how far their starts are."""
        return [key for key in dict.fromkeys((*names, *self.waiting)) if key and key not in self.paces]
