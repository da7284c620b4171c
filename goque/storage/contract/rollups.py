"""What the lease, the cleaner and the dashboard ask about runs that were counted over a longer time."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol

import msgspec


class RollupRow(msgspec.Struct, frozen=True):
    """What was run in one slot of time.

    Attributes:
        step: how many seconds the slot is long.
        slot: its start in seconds since 1970.
        writer: who counted; empty for what was merged.
        runs: the counts as `goque.describe.run_counts` encodes them.
    """

    step: int
    slot: int
    writer: str
    runs: str


class Rollups(Protocol):
    """Keep counts of runs by slots of time."""

    @abstractmethod
    def put_rollups(self, rows_at: Callable[[datetime], Sequence[RollupRow]]) -> None:
        """Write rows in one transaction; a row of the same slot and writer is replaced.

        Args:
            rows_at: makes the rows; it gets the time by the database's clock.
        """

    @abstractmethod
    def rollups(self, step: int, since: int, *, limit: int) -> list[RollupRow]:
        """Read the rows with slots of this length that start at `since` or later, the newest first."""

    @abstractmethod
    def merge_rollups(
        self, step: int, age: float, merge: Callable[[Sequence[str]], str], *, limit: int
    ) -> int:
        """Merge the rows of slots that ended more than `age` seconds ago, up to `limit` slots of one length.

        Args:
            step: the length of the slots.
            age: seconds since the end of a slot, after which no one writes to it.
            merge: makes one text of the texts of a slot.
            limit: the bound of one batch; call again while it is reached.

        Returns: how many slots were merged.
        """

    @abstractmethod
    def delete_rollups(self, step: int, age: float, *, limit: int) -> int:
        """Delete up to `limit` slots of one length that started more than `age` seconds ago.

        Returns: how many rows went.
        """
