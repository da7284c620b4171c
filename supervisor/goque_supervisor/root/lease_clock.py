"""How long a node may count on its lease, judged by the root alone, with the time as an argument.

Others call this node dead when they have seen the same heartbeat for node_timeout. They cannot have seen it before it
was sent; so a root that stops by its own clock a little before node_timeout after the last heartbeat was *sent* stops
before any other node takes its tasks, even if the lease's process, the network or the database fail meanwhile.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

HOLD_FRACTION: Final = 5 / 6
"""The part of node_timeout after which a lease counts as lost. The rest is for noticing it and for killing handlers."""


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
        silent_for = now - self._renewed_at
        expired = bool(self.owner) and not self.is_lost and silent_for > self.node_timeout * HOLD_FRACTION
        self.is_lost = self.is_lost or expired
        return expired
