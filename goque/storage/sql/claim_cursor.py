"""Where the next claim of a type may begin: after what the last one took, for a while. Pure decisions.

What was claimed stays in the index until a vacuum, and a claim from the head of the queue passes it all: after some
hundred thousand tasks that takes longer than the claim itself, and if a transaction that stays open keeps the dead
rows alive, a hundred times longer. So in a stream of full claims only one in a while begins at the head, where
tasks of a higher priority, or with an earlier date, may have come meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from goque.task import TaskRow

MIN_CLAIM: Final = 50
"""The fewest rows of a claim worth remembering: in a trickle each claim begins at the head."""

MAX_AGE: Final = 0.1
"""Seconds after which a claim begins at the head again, unless that takes long."""

AGE_PER_CLAIM: Final = 10
"""A claim from the head that took long is not made again before so many times as long."""


@dataclass(slots=True)
class _Position:
    priority: int
    due: datetime
    until: float


class ClaimCursor:
    """Remembers for each type the last row, in the order of claims, of a claim that got as many as it wanted."""

    def __init__(self) -> None:
        self._positions: dict[str, _Position] = {}

    def of(self, task_type: str, now: float) -> tuple[int, datetime] | None:
        """Return the priority and the date from which on to claim, None to begin at the head."""
        position = self._positions.get(task_type)
        return (position.priority, position.due) if position is not None and now < position.until else None

    def claimed(
        self, task_type: str, rows: Sequence[TaskRow], limit: int, *, began: float | None, now: float
    ) -> None:
        """Take note of a claim.

        Args:
            task_type: of which type.
            rows: what it got, in the order of claims.
            limit: how many it wanted.
            began: when it began, if it did so at the head; by the clock of `now`.
            now: the time.
        """
        position = self._positions.get(task_type)
        if len(rows) < limit or limit < MIN_CLAIM:
            self._positions.pop(task_type, None)
        elif began is not None:
            until = now + max(MAX_AGE, AGE_PER_CLAIM * (now - began))
            self._positions[task_type] = _Position(rows[-1].priority, rows[-1].next_attempt_at, until)
        elif position is not None:
            position.priority, position.due = rows[-1].priority, rows[-1].next_attempt_at
