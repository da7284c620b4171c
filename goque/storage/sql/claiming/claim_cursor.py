"""Decide where the next claim begins: for a short time, after the tasks of the last one like it. No I/O here.

Claimed tasks leave dead entries in the index until the next vacuum, and a claim from the head of the queue reads them
all. After some hundred thousand tasks that takes longer than the claim itself. If an open transaction prevents the
vacuum, it takes a hundred times longer. So in a series of full claims only a few begin at the head. These find new
tasks with a higher priority or an earlier date.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from goque.task_row import TaskRow

MIN_CLAIM: Final = 50
"""Claims with a smaller limit are not remembered, and each of them begins at the head."""

MAX_AGE: Final = 0.1
"""Seconds after which a claim begins at the head again, unless that takes long."""

AGE_PER_CLAIM: Final = 10
"""After a slow claim from the head, the next one waits this many times its duration."""


@dataclass(slots=True)
class _Position:
    priority: int
    due: datetime
    until: float


class ClaimCursor:
    """Remembers, for the claims of each type, and of each single priority of it, the last row of the last full one."""

    def __init__(self) -> None:
        self._positions: dict[tuple[str, int | None], _Position] = {}

    def of(self, task_type: str, now: float, *, priority: int | None = None) -> tuple[int, datetime] | None:
        """Return the priority and the date at which to begin, or None to begin at the head."""
        position = self._positions.get((task_type, priority))
        return (position.priority, position.due) if position is not None and now < position.until else None

    def claimed(
        self,
        task_type: str,
        rows: Sequence[TaskRow],
        limit: int,
        *,
        began: float | None,
        now: float,
        priority: int | None = None,
    ) -> None:
        """Record a claim.

        Args:
            task_type: the type.
            rows: the claimed rows, in the order of claims.
            limit: the limit of the claim.
            began: the time at which it began, on the clock of `now`; None if it did not begin at the head.
            now: the current time.
            priority: the only priority that was claimed; None if the claim was of all.
        """
        key = task_type, priority
        position = self._positions.get(key)
        if len(rows) < limit or limit < MIN_CLAIM:
            self._positions.pop(key, None)
        elif began is not None:
            until = now + max(MAX_AGE, AGE_PER_CLAIM * (now - began))
            self._positions[key] = _Position(rows[-1].priority, rows[-1].next_attempt_at, until)
        elif position is not None:
            position.priority, position.due = rows[-1].priority, rows[-1].next_attempt_at
