"""The healer: returns what dead nodes held, and what was claimed without an owner and abandoned.

A node is called dead when this process has itself seen the same heartbeat for node_timeout on its own
monotonic clock, while the database took this process's writes all the time: a database that is locked or gone proves
nothing about anybody.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Final

from goque.errors import DatabaseUnavailableError
from goque.storage.storage import NodeRow
from goque_supervisor.actor import Actor
from goque_supervisor.control import Channel, Ready
from goque_supervisor.healing import heal
from goque_supervisor.recovery import Recovery

BATCH: Final = 500
DEAD_NODE_KEPT: Final = 86400.0
HEALER_PERIOD: Final = 300.0
HEALER_AGE: Final = 3600.0
UNOWNED: Final = "node lost: the claim of this task has no owner, and nothing was heard of it"


class Healer(Actor):
    """Looks at every node's heartbeat a sixth of node_timeout apart."""

    def __init__(self, boot: dict[str, Any], channel: Channel) -> None:
        super().__init__(boot, channel)
        self.node_timeout = float(boot["node_timeout"])
        self.seen: dict[str, tuple[int, float]] = {}
        self._recovered = False
        self._unowned_at = 0.0

    def run_once(self) -> float:
        """Recover what an earlier tree of this machine left, then look once at nodes and at claims without one."""
        if not self._recovered:
            Recovery(self.storage, Path(self.boot["run_base"]), self.boot["database_fingerprint"]).run()
            self._recovered = True
            self.channel.send(Ready({"recovered": True}))
        try:
            self._prove_writable()
            for node in self.storage.nodes():
                self._look_at(node)
            self._heal_unowned()
        except DatabaseUnavailableError:
            self.seen.clear()  # silence of others proves nothing while the database is silent to us
            raise
        return self.node_timeout / 6

    def _prove_writable(self) -> None:
        """Write something: only a database that takes our writes lets us judge who does not write."""
        self.storage.delete_dead_nodes(DEAD_NODE_KEPT)

    def _look_at(self, node: NodeRow) -> None:
        if node.state != "alive":
            self._heal(node)
            return
        now = time.monotonic()
        seq, since = self.seen.get(node.id, (-1, now))
        if seq != node.seq:
            self.seen[node.id] = (node.seq, now)
        elif now - since >= self.node_timeout and node.id != self.boot["owner"]:
            del self.seen[node.id]
            if self.storage.mark_node_dead(node.id, seq):
                self.log.warning(
                    "node %s (%s, pid %d) has been silent for %gs: its tasks are returned",
                    node.id,
                    node.host,
                    node.pid,
                    now - since,
                )
                self._heal(node)

    def _heal(self, node: NodeRow) -> None:
        policies = self.storage.type_policies()
        cause = f"node lost: {node.host} (supervisor pid {node.pid}) went silent while it ran this task"
        while rows := self.storage.held_tasks(node.id, limit=BATCH):
            changes = [heal(row, cause, policies.get(row.type)) for row in rows]
            written = self.storage.settle_if_held(changes, node=node.id)
            self.log.warning("returned %d tasks of dead node %s", len(written), node.id)

    def _heal_unowned(self) -> None:
        now = time.monotonic()
        if now < self._unowned_at:
            return
        periods = [spec["options"].get("healer_period", HEALER_PERIOD) for spec in self.boot["types"]]
        self._unowned_at = now + min(periods, default=HEALER_PERIOD)
        policies = self.storage.type_policies()
        for age in sorted({HEALER_AGE, *(policy.healer_age for policy in policies.values())}):
            rows = [
                row
                for row in self.storage.unowned_claims(age, limit=BATCH)
                if age >= (policies[row.type].healer_age if row.type in policies else HEALER_AGE)
            ]
            changes = [heal(row, UNOWNED, policies.get(row.type)) for row in rows]
            if changes and (count := self.storage.settle_unowned_if_unchanged(rows, changes)):
                self.log.warning("returned %d tasks whose claim had no owner", count)


def run(boot: dict[str, Any], channel: Channel) -> None:
    """Run the healer in this process."""
    Healer(boot, channel).run()
