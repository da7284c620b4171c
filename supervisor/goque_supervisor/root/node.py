"""What the root knows of its node: the state that changes, and the frozen view that others decide by."""

from __future__ import annotations

from dataclasses import dataclass

from goque_supervisor.root.lease_clock import LeaseClock


@dataclass(frozen=True)
class NodeView:
    """The node at one moment; whoever decides by it asks for a new one each time.

    Attributes:
        owner: the name of the node's newest lease, empty before the first lease.
        may_claim_as: the name to claim under, empty while the node has no lease or has lost it.
        seq: the number of the last heartbeat that the database acknowledged.
        node_timeout: seconds of silence after which others call this node dead.
        all_owners: all names under which this node may still hold tasks, the newest last.
        is_up: whether the node has had a lease, so that all services run.
        is_quiet: whether SIGUSR2 made the node stop claiming.
        is_stopping: whether a shutdown has begun.
        ends_when_idle: whether the tree was started with --drain.
    """

    owner: str = ""
    may_claim_as: str = ""
    seq: int = 0
    node_timeout: float = 30.0
    all_owners: tuple[str, ...] = ()
    is_up: bool = False
    is_quiet: bool = False
    is_stopping: bool = False
    ends_when_idle: bool = False

    @property
    def former_owners(self) -> list[str]:
        """The names under which this node may still hold tasks but claims none now."""
        return [owner for owner in self.all_owners if owner != self.may_claim_as]


@dataclass
class Node:
    """The node's state; only the root changes it. The attributes are those of its view."""

    lease_clock: LeaseClock
    ends_when_idle: bool
    is_up: bool = False
    is_quiet: bool = False
    is_stopping: bool = False

    def view(self) -> NodeView:
        """Return the node as it is now."""
        return NodeView(
            owner=self.lease_clock.owner,
            may_claim_as=self.lease_clock.may_claim_as,
            seq=self.lease_clock.seq,
            node_timeout=self.lease_clock.node_timeout,
            all_owners=tuple(self.lease_clock.all_owners),
            is_up=self.is_up,
            is_quiet=self.is_quiet,
            is_stopping=self.is_stopping,
            ends_when_idle=self.ends_when_idle,
        )
