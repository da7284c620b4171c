"""What the root reports of its tree: to the log at SIGUSR1, and to lease and monitor every second."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, Protocol

from goque_supervisor.root.child import Child
from goque_supervisor.root.node import NodeView
from goque_supervisor.root.nursery_process import NurseryProcess
from goque_supervisor.root.pools.pool_group import PoolGroup
from goque_supervisor.root.pools.pool_groups import PoolGroups

MAX_JOBS: Final = 10


class ReportedProcesses(Protocol):
    """The processes to report."""

    @property
    def guard_pid(self) -> int:
        """The pid of the guard."""

    def living(self) -> list[Child]:
        """Return every process from the request to start it until it is reaped."""


class ReportedNurseries(Protocol):
    """The nurseries to report."""

    @property
    def app(self) -> dict[str, Any]:
        """How the newest import describes the app."""

    def __iter__(self) -> Iterator[NurseryProcess]: ...


class Status:
    """Reports a tree.

    Args:
        processes: the processes of the tree.
        nurseries: its nurseries.
        groups: its pool groups.
        node: returns the node as it is now.
        child_restarts: how often processes were started again, by role.
        started_at: when the root began (CLOCK_MONOTONIC seconds, like all times here).
    """

    def __init__(
        self,
        processes: ReportedProcesses,
        nurseries: ReportedNurseries,
        groups: PoolGroups,
        *,
        node: Callable[[], NodeView],
        child_restarts: Counter[str],
        started_at: float,
    ) -> None:
        self._processes = processes
        self._nurseries = nurseries
        self._groups = groups
        self._node = node
        self._child_restarts = child_restarts
        self._started_at = started_at

    def describe_tree(self, now: float) -> tuple[str, list[str]]:
        """Describe the tree for people: in a line, and in a block of further ones."""
        lines = [f"guard pid {self._processes.guard_pid}"]
        lines += [
            f"{nursery.kind} nursery pid {nursery.pid}, generation {nursery.generation}"
            f"{'' if nursery.ready else ', not ready'}"
            for nursery in self._nurseries
        ]
        lines += [_describe(child, now) for child in self._processes.living() if not child.pool]
        for group in self._groups:
            lines += _describe_group(group, now)
        return f"the tree of pid {os.getpid()}: {', '.join(self._describe_node())}", lines

    def list_processes(self) -> list[dict[str, Any]]:
        """List every process that has a pid, as plain data."""
        started_at = self._started_at
        return [
            {"name": "root", "pid": os.getpid(), "started_at": started_at},
            {"name": "guard", "pid": self._processes.guard_pid, "started_at": started_at},
            *(
                {
                    "name": f"{nursery.kind} nursery",
                    "pid": nursery.pid,
                    "started_at": nursery.started_at,
                }
                for nursery in self._nurseries
            ),
            *(_as_data(child) for child in self._processes.living() if child.pid),
        ]

    def tree_state(self) -> dict[str, Any]:
        """Describe the tree as plain data, for the monitor's metrics and the node report of the lease."""
        node = self._node()
        states = {group.spec.name: _group_state(group) for group in self._groups}
        return {
            "types": {name: state for state in states.values() for name in state["types"]},
            "pools": states,
            "held_types": [name for group in self._groups for name in group.spec.held_types],
            "child_restarts": dict(self._child_restarts),
            "lease": bool(node.may_claim_as),
            "stopping": node.is_stopping,
            "quiet": node.is_quiet,
            "known_types": [described["type"] for described in self._nurseries.app.get("types", ())],
            "started_at": self._started_at,
        }

    def _describe_node(self) -> Iterator[str]:
        node = self._node()
        if node.is_stopping:
            yield "stopping"
        if node.is_quiet:
            yield "quiet until the next SIGUSR2"
        if not node.owner:
            yield "no lease yet"
        else:
            yield f"lease {'held' if node.may_claim_as else 'LOST'} as {node.owner}"
        restarts = ", ".join(f"{count} of {name}" for name, count in sorted(self._child_restarts.items()))
        yield f"restarts: {restarts or 'none'}"


def _as_data(child: Child) -> dict[str, Any]:
    described: dict[str, Any] = {
        "name": child.spec.name,
        "pid": child.pid,
        "started_at": child.started_at,
    }
    if child.spec.role == "worker":
        leaves = child.stop_by or child.killed_for is not None or child.retire_reason
        described |= {
            "pool": child.pool,
            "state": "ending" if leaves else "ready" if child.ready_at else "booting",
            "box": str(child.box.path) if child.box is not None else "",
        }
    return described


def _group_state(group: PoolGroup) -> dict[str, Any]:
    workers, fetcher = group.workers, group.fetcher
    return {
        "types": group.spec.types,
        "slots": group.spec.workers,
        "size": group.spec.options["workers"],
        "states": _worker_states(workers),
        "workers": len(workers),
        "ready": sum(worker.ready for worker in workers),
        "fetcher": bool(fetcher and fetcher.ready_at),
        "held": group.boot.held,
        "restarts": dict(group.restarts),
    }


def _worker_states(workers: Sequence[Child]) -> dict[str, int]:
    """Count the workers by what they do: idle, busy or starting."""
    counts = {"idle": 0, "busy": 0, "starting": 0}
    for worker in workers:
        is_busy = worker.box is not None and bool(worker.box.read().running)
        counts["starting" if not worker.ready_at else "busy" if is_busy else "idle"] += 1
    return counts


def _describe_group(group: PoolGroup, now: float) -> Iterator[str]:
    notes = [f"{len(group.workers)} of {group.spec.workers} workers"]
    notes += ["held: its workers do not boot"] if group.boot.held else []
    notes += ["draining"] if group.draining else []
    notes += [f"{len(group.unsettled_exits)} dead workers not settled yet"] if group.unsettled_exits else []
    notes += [f"replaced: {count} for {reason}" for reason, count in sorted(group.restarts.items())]
    yield f"{group.spec.title}: {', '.join(notes)}"
    yield f"  {_describe(group.fetcher, now) if group.fetcher else 'no fetcher'}, epoch {group.epoch}"
    for worker in group.workers:
        yield f"  {_describe(worker, now)}"
        yield from _describe_jobs(worker, now)


def _describe(child: Child, now: float) -> str:
    notes = [f"pid {child.pid}" if child.pid else "being forked", f"up {now - child.started_at:.0f}s"]
    notes += [] if child.ready_at else ["not ready"]
    notes += [f"generation {child.generation}"] if child.box is not None else []
    notes += [f"last heartbeat {now - child.beat_at:.1f}s ago"] if child.box is None and child.pid else []
    notes += [f"to be replaced: {child.retire_reason}"] if child.retire_reason else []
    notes += [f"killed: {child.killed_for}"] if child.killed_for else []
    notes += [f"killed in {child.stop_by - now:.0f}s if it has not stopped"] if child.stop_by else []
    return f"{child.spec.name} {', '.join(notes)}"


def _describe_jobs(worker: Child, now: float) -> Iterator[str]:
    if worker.box is None:
        return
    contents = worker.box.read()
    running = sorted(contents.running.values(), key=lambda job: job.started)
    for job in running[:MAX_JOBS]:
        # it may have begun after `now` was read
        ran, left = max(0.0, now - job.started), max(0.0, job.deadline - now)
        yield f"    runs {job.task_id} for {ran:.1f}s, times out in {left:.1f}s"
    if len(running) > MAX_JOBS:
        yield f"    and {len(running) - MAX_JOBS} more"
    if contents.finished:
        yield f"    has {len(contents.finished)} results that are not committed"
