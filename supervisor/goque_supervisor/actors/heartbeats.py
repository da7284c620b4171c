"""Number the heartbeats of a node, and decide why the database did not accept a heartbeat. No I/O here.

If the table has a lower number than one that the database has acknowledged, a failover or a restore has lost commits.
A heartbeat without an answer may or may not have been written, so each try gets a higher number.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from goque.storage.contract import NodeRow

MAX_SEQ: Final = 2**31 - 1
"""No node lives long enough for this number of heartbeats. A higher number comes from somebody else."""


class Verdict(Enum):
    """Why a heartbeat changed nothing."""

    COUNTED = auto()  # an earlier try was written, and only its answer was lost
    BEHIND = auto()  # the table has the higher number of an unanswered try: continue with the next number
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
        """Record that the database has accepted the last try."""
        self.acknowledged = self.tried

    def judge(self, row: NodeRow | None) -> Verdict:
        """Return why the last try changed nothing, from the node's current row."""
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
        """Describe the loss of commits that the heartbeats show."""
        now = "its row is gone" if row is None else f"the table has heartbeat {row.seq}"
        return f"heartbeat {self.acknowledged} was acknowledged, but {now}"
