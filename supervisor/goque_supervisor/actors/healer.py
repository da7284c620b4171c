"""The healer: returns the tasks of dead nodes, and tasks that were claimed without an owner and abandoned.

A node is dead if this process has seen the same heartbeat of it for node_timeout on its own monotonic clock, while the
database accepted this process's writes all the time (silent_nodes.py). A database that is locked or does not answer
proves nothing about other nodes.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from goque.errors import DatabaseUnavailableError
from goque.storage.contract import NodeRow, TypePolicy
from goque.task_row import TaskRow, Token
from goque.telemetry import tracing
from goque_supervisor.actors.actor import Actor
from goque_supervisor.actors.crash_recovery import CrashRecovery
from goque_supervisor.actors.healing import heal
from goque_supervisor.actors.own_policies import own_policies
from goque_supervisor.actors.per_type_timer import PERIOD, PerTypeTimer
from goque_supervisor.actors.silent_nodes import SilentNodes
from goque_supervisor.ipc.channel import Channel
from goque_supervisor.ipc.control import Ready
from goque_supervisor.ipc.failure_report import Reported
from goque_supervisor.metrics.counters import CountersByType
from goque_supervisor.recovery.failure_reports import FailureReports
from goque_supervisor.recovery.settle_rows import Decided, decide_each, log_set_aside, settle_each

BATCH: Final = 500
MAX_ASIDE: Final = 10_000
SOME_IDS: Final = 5
DEAD_NODE_KEPT: Final = 86400.0
UNKNOWN_OWNER: Final = "node lost: goque_node has no row of the node that claimed this task"
UNOWNED: Final = "node lost: the claim of this task has no owner, and the row has not changed for long"


class Healer(Actor):
    """Reads the heartbeats of all nodes six times in each node_timeout."""

    def __init__(self, boot: dict[str, Any], channel: Channel) -> None:
        super().__init__(boot, channel)
        self.node_timeout = float(boot["node_timeout"])
        self.counters = CountersByType(boot["counters"])
        self._silent_nodes = SilentNodes(self.node_timeout)
        self._looked_for_unknown_at = 0.0
        self._recovered = False
        self._heal_unpublished: float | None = boot["heal_unpublished"]
        period = (
            PERIOD if self._heal_unpublished is None else max(1.0, min(PERIOD, self._heal_unpublished / 2))
        )
        self.per_type_timer = PerTypeTimer("healer", boot["types"], unpublished_period=period)
        self._own = own_policies(boot["types"], boot["own_types"])
        self._failure_reports = FailureReports(
            channel.send, {spec["type"]: spec.get("reports", Reported.NONE) for spec in boot["types"]}
        )

    def run_once(self) -> float:
        """Recover the dead trees of this machine first, then check all nodes and the claims without an owner."""
        if not self._recovered:
            CrashRecovery(
                self.storage,
                Path(self.boot["run_base"]),
                self.boot["database_fingerprint"],
                self._failure_reports.tell,
            ).run()
            self._recovered = True
            self.channel.send(Ready({"recovered": True}))
        try:
            self._prove_writable()
            self._heal_nodes()
            self._heal_unknown_owners()
            self._heal_unowned()
            self._go_on_with_flows()
            return min(self.node_timeout / 6, self.per_type_timer.pause())
        except DatabaseUnavailableError:
            self._silent_nodes.forget()
            raise

    def _prove_writable(self) -> None:
        """Write to the database: a missing heartbeat proves a death only if the database accepts writes."""
        self.storage.delete_dead_nodes(DEAD_NODE_KEPT)

    def _heal_nodes(self) -> None:
        """Return the tasks of nodes that are dead or become dead now."""
        nodes, now = self.storage.nodes(), time.monotonic()
        silent = self._silent_nodes.look([node for node in nodes if node.state == "alive"], now)
        for node in nodes:
            if node.state != "alive":
                self._heal(node.id, _lost(node))
        for node, seconds in silent:
            if node.id != self.boot["owner"] and self.storage.mark_node_dead(node.id, node.seq):
                self.log.warning(
                    "node %s (%s, pid %d) has sent no heartbeat for %.1fs: the healer returns its tasks",
                    node.id,
                    node.host,
                    node.pid,
                    seconds,
                )
                self._heal(node.id, _lost(node))

    def _heal_unknown_owners(self) -> None:
        """Return the tasks of owners that no row of goque_node names, if it has been so for node_timeout."""
        now = time.monotonic()
        if now - self._looked_for_unknown_at < self.node_timeout / 2:
            return
        self._looked_for_unknown_at = now
        for owner in self._silent_nodes.look_at_unknown(self.storage.unknown_owners(), now):
            self._heal(owner, UNKNOWN_OWNER)

    def _heal(self, owner: str, cause: str) -> None:
        policies = self._policies()
        aside: dict[Token, TaskRow] = {}
        while self.go_on() and len(aside) < MAX_ASIDE:
            held = self.storage.claimed_by_owner(owner, limit=BATCH + len(aside))
            rows = [row for row in held if row.token not in aside]
            if not rows:
                break
            aside |= {row.token: row for row in rows}
            decided = decide_each(rows, lambda row: heal(row, cause, policies.get(row.type)))
            began, traced = time.perf_counter(), tracing.started()
            written = settle_each(decided, lambda these: self._settle_claimed(these, owner))
            self._count([row for row in rows if row.token in written], time.perf_counter() - began, traced)
            self._failure_reports.tell(pair for pair in decided if pair[0].token in written)
            if written:
                self.log.warning("returned %d task(s) of dead node %s", len(written), owner)
            aside = {token: row for token, row in aside.items() if token not in written}
        else:
            return
        for row in held:
            log_set_aside(row)

    def _go_on_with_flows(self) -> None:
        """Go on with flows whose tasks ended unseen: by the Go library, by hand, or deleted."""
        found = BATCH
        while found == BATCH and self.go_on():
            found = self.storage.go_on_with_flows(limit=BATCH)
            if found:
                self.log.info(
                    "continued flows: other programs had ended or deleted %d task(s) that other tasks need",
                    found,
                )

    def _heal_unowned(self) -> None:
        """Return old claims without an owner.

        Types that no supervisor has published belong to the Go library, which heals them by its own rules. They are
        healed here only with `--heal-unpublished`.
        """
        policies = self._policies()
        wanted: list[str | None] = [*policies]
        if self._heal_unpublished is not None:
            wanted.append(None)
        for task_type in self.per_type_timer.due(wanted):
            policy = None if task_type is None else policies[task_type]
            self._heal_unowned_of(task_type, policy, limit=self.per_type_timer.begin(task_type))

    def _policies(self) -> dict[str, TypePolicy]:
        return {**self._own, **self.storage.type_policies()}

    def _heal_unowned_of(self, task_type: str | None, policy: TypePolicy | None, limit: float) -> None:
        age = policy.healer_age if policy is not None else self._heal_unpublished
        assert age is not None, "types without a policy are healed only by the age that the operator gave"
        left: set[Token] = set()
        is_full = True
        while is_full and len(left) < MAX_ASIDE and time.monotonic() < limit and self.go_on():
            found = self.storage.unowned_claims(age, task_type, limit=BATCH + len(left))
            is_full = len(found) == BATCH + len(left)
            rows = [row for row in found if row.token not in left]
            left |= {row.token for row in rows}
            rows = [row for row in rows if task_type is not None or row.type not in self._own]
            decided = decide_each(rows, lambda row: heal(row, UNOWNED, policy))
            began, traced = time.perf_counter(), tracing.started()
            written = settle_each(decided, self._settle_unowned)
            left -= written
            self._failure_reports.tell(pair for pair in decided if pair[0].token in written)
            healed = [row for row in rows if row.token in written]
            if healed:
                self._count(healed, time.perf_counter() - began, traced)
                self.log.warning(
                    "returned %d task(s) of type %s whose claim had no owner: %s",
                    len(healed),
                    _some(sorted({repr(row.type) for row in healed})),
                    _some([row.id for row in healed]),
                )

    def _settle_claimed(self, decided: Sequence[Decided], owner: str) -> set[Token]:
        return self.storage.settle_if_held([change for _row, change in decided], node=owner)

    def _settle_unowned(self, decided: Sequence[Decided]) -> set[Token]:
        rows, changes = [row for row, _change in decided], [change for _row, change in decided]
        return self.storage.settle_unowned_if_unchanged(rows, changes)

    def _count(self, rows: Sequence[TaskRow], duration: float, traced: int) -> None:
        by_type: dict[str, list[TaskRow]] = {}
        for row in rows:
            by_type.setdefault(row.type, []).append(row)
        for task_type, healed in by_type.items():
            self.counters[task_type].count("healed", len(healed))
            self.counters[task_type].observe("health", duration)
            tracing.tell("heal", task_type, healed, traced)


def run(boot: dict[str, Any], channel: Channel) -> None:
    """Run the healer in this process."""
    Healer(boot, channel).run()


def _lost(node: NodeRow) -> str:
    return (
        f"node lost: {node.host} (supervisor pid {node.pid}) sent no more heartbeats while it ran this task"
    )


def _some(names: list[str]) -> str:
    return ", ".join(names[:SOME_IDS]) + (", …" if len(names) > SOME_IDS else "")
