"""Decide from which type to claim next: the highest priority first, and in turns within one priority. No I/O here.

A type with a long backlog delays the others by one claim, and not by its length.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from goque.storage.contract import Claim, DueLevel

FRESH: Final = 0.02
"""Seconds for which goque trusts what it has learned of due tasks. A task of a higher priority may come meanwhile."""


COST: Final = 10
"""A question is asked again after this many times its duration. Dead entries of an index can make it slow."""


class Turns:
    """Remembers which types have due tasks, and whose turn it is.

    Args:
        types: the types of the pool.
        rest: seconds for which a type is left alone after a claim that found nothing although a task was due.

    Attributes:
        leaves_due: whether, when it learned last, a task was due of a type that is left alone.
    """

    def __init__(self, types: Iterable[str], rest: float) -> None:
        self._order = list(types)
        self._rest = rest
        self._levels: dict[str, list[int]] = {}
        self._taken: set[str] = set()
        self._rests_until: dict[str, float] = {}
        self.leaves_due = False
        self._fresh_until = float("-inf")

    def is_fresh(self, now: float) -> bool:
        """Return whether it need not learn again what is due."""
        return bool(self._levels) and now < self._fresh_until

    @property
    def has_due(self) -> bool:
        """Whether a task is due, as far as it has learned."""
        return bool(self._levels)

    def forget(self) -> None:
        """Learn again before the next claim, because there may be new tasks."""
        self._levels.clear()
        self._rests_until.clear()

    def wake(self, task_type: str) -> None:
        """Leave a type alone no longer."""
        if self._rests_until.pop(task_type, None) is not None:
            self._fresh_until = float("-inf")

    def hold(self, task_type: str, now: float, seconds: float | None) -> None:
        """Leave a type alone that its limits hold back: until its rate allows more, and not longer than others."""
        rest = self._rest if seconds is None else min(self._rest, seconds)
        self._levels.pop(task_type, None)
        self._rests_until[task_type] = now + rest

    def learn(
        self,
        levels: Sequence[DueLevel],
        now: float,
        *,
        took: float = 0.0,
        waits_for_time: Callable[[str], bool] = lambda _type: False,
    ) -> float | None:
        """Take note of what is due, and return the seconds until more is due, None if nothing waits.

        Args:
            levels: what is due, and when more is.
            now: the current time.
            took: how many seconds the answer took. After a slow answer the next question comes later.
            waits_for_time: returns whether the tasks of a type that is left alone wait for nothing but their rate.
        """
        self._fresh_until = now + max(FRESH, COST * took)
        self._rests_until = {name: until for name, until in self._rests_until.items() if now < until}
        self._levels = {}
        self._taken.clear()
        self.leaves_due = False
        for level in levels:
            if level.seconds > 0:
                continue
            if level.type in self._rests_until:
                self.leaves_due |= not waits_for_time(level.type)
            else:
                self._levels.setdefault(level.type, []).append(level.priority)
        for priorities in self._levels.values():
            priorities.sort()
        waits = [level.seconds for level in levels if level.seconds > 0]
        waits += [until - now for until in self._rests_until.values()]
        return min(waits, default=None)

    def next(self, limit_of: Callable[[str], int]) -> list[str]:
        """Return the types of the highest priority of which tasks may be claimed now, in the order of their turns.

        Args:
            limit_of: returns how many tasks of a type may be claimed now.
        """
        best: list[str] = []
        highest = 0
        for name in self._order:
            priorities = self._levels.get(name)
            if not priorities or (best and priorities[-1] < highest) or limit_of(name) <= 0:
                continue
            if best and priorities[-1] > highest:
                best = []
            highest = priorities[-1]
            best.append(name)
        return best

    def priority(self, task_type: str) -> int:
        """Return the highest priority of which the type has a due task."""
        return self._levels[task_type][-1]

    def claimed(self, claim: Claim, found: int, now: float) -> None:
        """Record a claim. The next turns are those of the other types of this priority, if there are some."""
        self._order.remove(claim.type)
        self._order.append(claim.type)
        taken_before = claim.type in self._taken
        self._taken.add(claim.type)
        if found >= claim.limit:
            return
        priorities = self._levels.get(claim.type)
        if priorities and priorities[-1] == claim.priority:
            priorities.pop()
        if not priorities:
            self._levels.pop(claim.type, None)
        if not found:
            self._levels.pop(claim.type, None)
            # After a claim that took the last one, the next may be due at any time.
            if not taken_before:
                self._rests_until[claim.type] = now + self._rest
