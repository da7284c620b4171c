"""How long a node may count on its lease, judged by the root alone, with the time as an argument.

Others call this node dead when they have seen the same heartbeat for node_timeout. They cannot have seen it before it
was sent; so a root that stops by its own clock a little before node_timeout after the last heartbeat was *sent* stops
before any other node takes its tasks, even if the lease's process, the network or the database fail meanwhile.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

HOLD_FRACTION: Final = 5 / 6
"""The part of node_timeout after which a lease counts as lost. The rest is for noticing it and for killing handlers."""

MIN_REST: Final = 1.0
"""Seconds that should be left for that: on a busy machine the root and the killed processes wait for a processor."""

SHORTEST_HOLD_FRACTION: Final = 2 / 3
"""The part of a short node_timeout for which a lease holds whatever `MIN_REST` says: four heartbeats."""


@dataclass
class LeaseClock:
    """What the root knows of its node's lease.

    Attributes:
        node_timeout: seconds of silence after which others call this node dead.
        owner: the name under which the node claims, empty before the first lease.
        former_owners: names that others have declared dead.
        is_lost: whether nothing may be claimed until there is another heartbeat.
        is_suspect: whether nothing may be claimed until there is a new name, because the database has lost commits.
        seq: the number of the last heartbeat that the database acknowledged.
    """

    node_timeout: float
    owner: str = ""
    former_owners: list[str] = field(default_factory=list)
    is_lost: bool = False
    is_suspect: bool = False
    seq: int = 0
    _renewed_at: float = 0.0

    @property
    def hold(self) -> float:
        """Seconds after the last heartbeat for which the lease holds."""
        longest = min(self.node_timeout * HOLD_FRACTION, self.node_timeout - MIN_REST)
        return max(longest, self.node_timeout * SHORTEST_HOLD_FRACTION)

    @property
    def may_claim_as(self) -> str:
        """The name to claim under now, empty for not at all."""
        return "" if self.is_lost or self.is_suspect else self.owner

    @property
    def all_owners(self) -> list[str]:
        """All names under which this node may still hold tasks."""
        return [*self.former_owners, self.owner] if self.owner else []

    def begin(self, owner: str, sent_at: float) -> bool:
        """Take a name; returns whether it replaces another."""
        replaced = bool(self.owner) and owner != self.owner
        if replaced:
            self.former_owners.append(self.owner)
        self.owner = owner
        self.is_suspect = False
        self.seq = 0
        self.renewed(sent_at)
        return replaced

    def renewed(self, sent_at: float, seq: int = 1) -> bool:
        """Record a heartbeat that the database took, by when it was sent; returns whether that ends a loss."""
        self.seq = max(self.seq, seq)
        self._renewed_at = max(self._renewed_at, sent_at)
        regained, self.is_lost = self.is_lost, False
        return regained

    def expire(self, now: float) -> bool:
        """Return whether the lease is lost from this moment on; true once for each loss."""
        expired = bool(self.owner) and not self.is_lost and now - self._renewed_at > self.hold
        self.is_lost = self.is_lost or expired
        return expired

    def seconds_left(self, now: float) -> float:
        """Return the seconds until the lease can be lost, infinity if there is none to lose."""
        if self.is_lost or not self.owner:
            return math.inf
        return max(0.0, self._renewed_at + self.hold - now)
