"""Tasks of a limited type that have no key: another program, or a manager without a registry, enqueued them.

They wait in the index of plain claims, where tasks with keys wait too. Where a type has no tasks with keys, they are
claimed from there. Else they are given the key that stands for none, some thousand at a time, and take their turn.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Final

from goque.errors import GoqueError
from goque.storage.sql.dialect import Dialect
from goque.storage.sql.session import Session
from goque.telemetry.rate_limit import RateLimit

log: Final = logging.getLogger("goque.storage")

LOOK_PERIOD: Final = 0.1
"""Seconds between two looks for waiting tasks without a key."""

CLAIMED_PERIOD: Final = 1.0
"""Seconds between two looks for claimed ones: those from before the type was limited."""

MAX_ALONE: Final = 20
"""How many tasks are changed one by one where some of them cannot be changed."""

FIRST_ONES: Final = 200
NEXT_ONES: Final = 1000


class Keyless:
    """Finds the tasks of a limited type that have no key.

    Args:
        dialect: the dialect.
    """

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._sql = dialect.sql.limits
        self._look_at: dict[str, float] = {}
        self._look_at_claimed: dict[str, float] = {}
        self._after: dict[str, str] = {}
        self._lines = RateLimit()

    def due(self, session: Session, task_type: str, limit: int, past: Sequence[Any]) -> list[tuple[Any, str]]:
        """Return due tasks without a key, highest priority first, where no task has one."""
        found: list[tuple[Any, str]] = []
        levels = self._dialect.due_levels(session, {task_type: past})
        for priority in sorted((level.priority for level in levels if level.seconds <= 0), reverse=True):
            params = {
                "task_type": task_type,
                "priority": priority,
                "limit": limit - len(found),
                "past": self._dialect.encode_list(past),
            }
            found += (
                (place, self._dialect.read_text(task_id))
                for place, task_id in session.rows(self._sql.without_key, params)
            )
            if len(found) >= limit:
                break
        return found

    def adopt_some(self, session: Session, task_type: str, now: float) -> None:
        """Give waiting tasks without a key the key that stands for none, if the type has others with keys.

        The first ones in the order of claims are looked at each time, and of all others a part, so that none waits for
        ever behind tasks with keys that are full.
        """
        if now < self._look_at.get(task_type, 0.0) or not self._dialect.keys.next_keys(
            session, task_type, None, 1
        ):
            return
        self._look_at[task_type] = now + LOOK_PERIOD
        text = self._dialect.read_text
        rows = session.rows(self._sql.first_ones, {"task_type": task_type, "most": FIRST_ONES})
        ids = {text(row[0]) for row in rows}
        params = {"task_type": task_type, "after": self._after.pop(task_type, ""), "most": NEXT_ONES}
        for external_id, task_id in session.rows(self._sql.next_ones, params):
            if task_id is None:
                self._after[task_type] = text(external_id)
            else:
                ids.add(text(task_id))
        self._adopt(session, task_type, ids)

    def adopt_claimed(self, session: Session, task_type: str, now: float) -> None:
        """Give claimed tasks without a key that key, so that they are counted: from before the type was limited."""
        if not self._sql.held_without_key or now < self._look_at_claimed.get(task_type, 0.0):
            return
        self._look_at_claimed[task_type] = now + CLAIMED_PERIOD
        rows = session.rows(self._sql.held_without_key, {"task_type": task_type})
        self._adopt(session, task_type, {self._dialect.read_text(row[0]) for row in rows})

    def _adopt(self, session: Session, task_type: str, ids: set[str]) -> None:
        """Give tasks the key that stands for none. One that cannot be changed does not keep the others waiting."""
        if not ids or self._adopt_these(session, sorted(ids)):
            return
        left = [task_id for task_id in sorted(ids)[:MAX_ALONE] if not self._adopt_these(session, [task_id])]
        if left and self._lines.admits(task_type):
            log.warning(
                "the database refuses to change %d tasks of type %r, such as %r (does a trigger raise an error?): "
                "they wait, and other tasks are claimed",
                len(left),
                task_type,
                left[0],
            )

    def _adopt_these(self, session: Session, ids: Sequence[str]) -> bool:
        """Change these tasks in a savepoint; returns whether the database allowed it."""
        statements = self._dialect.sql
        session.run(statements.savepoint)
        try:
            session.run(self._sql.adopt, {"ids": self._dialect.encode_list(ids)})
        except GoqueError:
            raise
        except Exception:  # noqa: BLE001 - the driver's error: a trigger that raises, or a value out of range
            session.run(statements.rollback_savepoint)
            session.run(statements.release_savepoint)
            return False
        session.run(statements.release_savepoint)
        return True
