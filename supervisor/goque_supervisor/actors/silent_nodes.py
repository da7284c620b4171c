"""Which nodes count as dead because nothing was heard of them for node_timeout. It does no I/O."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from goque.storage.contract import NodeRow


@dataclass(slots=True)
class SilentNodes:
    """Remembers since when this process has seen the same heartbeats, and owners that have no node.

    What it remembers is forgotten when it proves nothing, and every node then has its whole node_timeout again:

    - after a long pause between two looks, because its cause may have stopped the other nodes too;
    - if a heartbeat is older than before, because the database has lost some: a node may have sent later ones.

    Times are CLOCK_MONOTONIC seconds.

    Args:
        node_timeout: seconds.
    """

    node_timeout: float
    _seen: dict[str, tuple[int, float]] = field(default_factory=dict)
    _unknown: dict[str, float] = field(default_factory=dict)
    _looked_at: float = 0.0

    def look(self, nodes: Sequence[NodeRow], now: float) -> list[tuple[NodeRow, float]]:
        """Take the rows of nodes that count as alive; returns the dead ones, and for how long each was silent."""
        if now - self._looked_at > self.node_timeout / 2 or any(self._is_older(node) for node in nodes):
            self.forget()
        self._looked_at = now
        seen, self._seen = self._seen, {}
        dead: list[tuple[NodeRow, float]] = []
        for node in nodes:
            seq, since = seen.get(node.id, (node.seq, now))
            if seq == node.seq and now - since >= self.node_timeout:
                dead.append((node, now - since))
            else:
                self._seen[node.id] = (node.seq, since if seq == node.seq else now)
        return dead

    def _is_older(self, node: NodeRow) -> bool:
        return node.id in self._seen and node.seq < self._seen[node.id][0]

    def look_at_unknown(self, owners: Iterable[str], now: float) -> list[str]:
        """Take the owners of tasks that no row of goque_node names; returns those that stayed so for node_timeout.

        A living node whose row somebody has deleted takes a new name before that.
        """
        self._unknown = {owner: self._unknown.get(owner, now) for owner in owners}
        return [owner for owner, since in self._unknown.items() if now - since >= self.node_timeout]

    def forget(self) -> None:
        """Forget everything. The database may have taken no heartbeats, as when it does not answer."""
        self._seen.clear()
        self._unknown.clear()
