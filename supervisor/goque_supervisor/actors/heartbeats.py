"""Numbers the heartbeats of a node, and judges a heartbeat that the database did not take. Pure.

The database must never know a lower number than one that it has acknowledged. If it does, a failover or a restore has
lost commits. A heartbeat that was not answered may count or not, so the number rises with every try.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from goque.storage.contract import NodeRow

MAX_SEQ: Final = 2**31 - 1
"""No node lives for so many heartbeats: a higher number was written by somebody else."""


class Verdict(Enum):
    """What a heartbeat that changed nothing means."""

    COUNTED = auto()  # an earlier try was written, and only its answer was lost
    BEHIND = auto()  # the table has a higher number, which was not answered: go on from there
    DECLARED_DEAD = auto()
    COMMITS_LOST = auto()
    OVERWRITTEN = auto()


@dataclass
class Heartbeats:
    """The numbers of one node's heartbeats.

    Attributes:
        acknowledged: the highest number that the database has acknowledged.
        tried: the highest number that was sent.
    """

    acknowledged: int = 1
    tried: int = 1

    def next(self) -> int:
        """Return the number of the next try."""
        self.tried = max(self.tried, self.acknowledged) + 1
        return self.tried

    def acknowledge(self) -> None:
        """Record that the database has taken the last try."""
        self.acknowledged = self.tried

    def judge(self, row: NodeRow | None) -> Verdict:
        """Say why the last try changed nothing, by the node's row as it is now."""
        if row is None or row.seq < self.acknowledged:
            return Verdict.COMMITS_LOST
        if row.state != "alive":
            return Verdict.DECLARED_DEAD
        if row.seq == self.tried:
            return Verdict.COUNTED
        if row.seq > MAX_SEQ:
            return Verdict.OVERWRITTEN
        self.tried = max(self.tried, row.seq)
        return Verdict.BEHIND

    def describe_loss(self, row: NodeRow | None) -> str:
        """Say which commits were lost, as far as the heartbeats show it."""
        now = "its row is gone now" if row is None else f"the table has heartbeat {row.seq} now"
        return f"heartbeat {self.acknowledged} was acknowledged, and {now}"
