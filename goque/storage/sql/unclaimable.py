"""Due tasks that a claim cannot change, as when a trigger undoes it: the next claims begin behind them. No I/O here."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Mapping
from typing import Any, Final

KEPT: Final = 60.0
"""Seconds until such a task is tried again, and its type is logged again."""

EMPTY_CLAIMS: Final = 3
"""After so many claims in a row that got nothing, one looks whether something is in its way."""

_log: Final = logging.getLogger("goque.storage")


class Unclaimable:
    """Remembers for each type which tasks a claim locked and could not change."""

    def __init__(self) -> None:
        self._keys: dict[str, dict[Hashable, float]] = {}
        self._empty_claims: dict[str, int] = {}
        self._suspected: set[str] = set()
        self._logged_at: dict[str, float] = {}

    def keys(self, task_type: str, now: float) -> list[Any]:
        """Return the tasks that claims leave out for now."""
        known = self._keys.get(task_type)
        if not known:
            return []
        self._keys[task_type] = known = {key: until for key, until in known.items() if now < until}
        return list(known)

    def is_suspected(self, task_type: str) -> bool:
        """Return whether a claim that gets nothing is to find out why."""
        return task_type in self._suspected or self._empty_claims.get(task_type, 0) == EMPTY_CLAIMS - 1

    def claimed(self, task_type: str, number: int, stuck: Mapping[Hashable, str], now: float) -> None:
        """Take note of how many tasks a claim got, and of the ids of those that it could not change."""
        if stuck:
            self._add(task_type, stuck, now)
        self._suspected.discard(task_type)
        if number:
            self._empty_claims.pop(task_type, None)
        else:
            self._empty_claims[task_type] = self._empty_claims.get(task_type, 0) + 1

    def is_due(self, task_type: str, now: float) -> bool:
        """Return whether what is due may be claimed; if the last claim got nothing, the next finds out why."""
        if self._empty_claims.get(task_type):
            self._suspected.add(task_type)
        return not self.keys(task_type, now)

    def _add(self, task_type: str, stuck: Mapping[Hashable, str], now: float) -> None:
        """Leave out tasks for a while, and say so once in it."""
        self._keys.setdefault(task_type, {}).update(dict.fromkeys(stuck, now + KEPT))
        if now - self._logged_at.get(task_type, -KEPT) >= KEPT:
            self._logged_at[task_type] = now
            some_id = next(iter(stuck.values()))
            _log.warning(
                "a claim cannot change %s of type %r (does a trigger undo it, or is the id no UUID?): "
                "other tasks go first, and it is tried again in %gs",
                f"the task {some_id!r}" if len(stuck) == 1 else f"{len(stuck)} tasks, such as {some_id!r},",
                task_type,
                KEPT,
            )
