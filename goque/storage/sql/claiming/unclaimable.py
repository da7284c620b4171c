"""Remember due tasks that a claim cannot change, as when a trigger undoes it; later claims skip them. No I/O here."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Mapping
from typing import Any, Final

KEPT: Final = 60.0
"""Seconds until goque tries such a task again, and logs its type again."""

EMPTY_CLAIMS: Final = 3
"""The third empty claim in a row checks whether there are tasks that it cannot change."""

_log: Final = logging.getLogger("goque.storage")


_Level = tuple[str, int | None]
"""What a claim asked for: a type, and one priority of it or None for all."""


class Unclaimable:
    """Remembers, for each type, the tasks that a claim locked but could not change."""

    def __init__(self) -> None:
        self._keys: dict[str, dict[Hashable, float]] = {}
        self._empty_claims: dict[_Level, int] = {}
        self._suspected: set[_Level] = set()
        self._logged_at: dict[str, float] = {}

    def keys(self, task_type: str, now: float) -> list[Any]:
        """Return the keys of the tasks that claims must skip now."""
        known = self._keys.get(task_type)
        if not known:
            return []
        self._keys[task_type] = known = {key: until for key, until in known.items() if now < until}
        return list(known)

    def is_suspected(self, task_type: str, priority: int | None = None) -> bool:
        """Return whether an empty claim must check for tasks that it cannot change."""
        level = task_type, priority
        return level in self._suspected or self._empty_claims.get(level, 0) == EMPTY_CLAIMS - 1

    def claimed(
        self,
        task_type: str,
        number: int,
        stuck: Mapping[Hashable, str],
        now: float,
        *,
        priority: int | None = None,
    ) -> None:
        """Record how many tasks a claim got, and the keys and ids of those that it could not change."""
        if stuck:
            self._add(task_type, stuck, now)
        level = task_type, priority
        self._suspected.discard(level)
        if number:
            self._empty_claims.pop(level, None)
        else:
            self._empty_claims[level] = self._empty_claims.get(level, 0) + 1

    def is_due(self, task_type: str, now: float) -> bool:
        """Return whether a due task can be claimed. If the last claim was empty, the next one checks why."""
        self.seen_due(task_type)
        return not self.keys(task_type, now)

    def seen_due(self, task_type: str, priority: int | None = None) -> None:
        """Record that a task is due. If the last claim that could have taken it was empty, the next one checks why."""
        for level in {(task_type, priority), (task_type, None)}:
            if self._empty_claims.get(level):
                self._suspected.add(level)

    def _add(self, task_type: str, stuck: Mapping[Hashable, str], now: float) -> None:
        """Skip these tasks for `KEPT` seconds, and log that once in this time."""
        self._keys.setdefault(task_type, {}).update(dict.fromkeys(stuck, now + KEPT))
        if now - self._logged_at.get(task_type, -KEPT) >= KEPT:
            self._logged_at[task_type] = now
            some_id = next(iter(stuck.values()))
            _log.warning(
                "cannot claim %s of type %r (does a trigger undo the claim, or is the id not a UUID?): "
                "other tasks are claimed first, and goque tries again in %gs",
                f"the task {some_id!r}" if len(stuck) == 1 else f"{len(stuck)} tasks, such as {some_id!r},",
                task_type,
                KEPT,
            )
