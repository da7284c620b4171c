"""An overview of a database: waiting and running tasks, nodes and throughput, for `goque top`.

`look` runs three cheap queries, and one more for each type whose tasks call different functions. None of them reads a
finished task.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from goque.describe.functions import FunctionLine, function_lines, read_unfinished
from goque.describe.node_info import NodeInfo, TypeInfo, decode_info, reports_by_type, summed
from goque.storage.contract import NodeRow, QueueDepth, TaskStorage
from goque.storage.search_types import FunctionCount
from goque.task_row import CLAIMED_STATUSES, TaskStatus


@dataclass(frozen=True)
class TypeLine:
    """One task type, over all nodes.

    Attributes:
        type: the task type.
        new, error: tasks that wait for their first attempt, or for another.
        claimed: tasks that a node has claimed: pending or processing.
        blocked: tasks that wait for the end of tasks that they need.
        waited: how many seconds ago the oldest due, unclaimed task became due.
        paused: whether no node may claim the type.
        held: on how many nodes claiming is stopped because workers cannot boot.
        workers, slots: the number of workers, and the wanted number.
        runs_a_second: runs that ended per second, in the last minute.
        failed: how many of them failed, timeouts and crashes included.
        took: the mean duration of those runs in seconds, None if there was none.
        functions: the functions that its tasks call; empty for other types.
    """

    type: str
    new: int = 0
    error: int = 0
    claimed: int = 0
    blocked: int = 0
    waited: float = 0.0
    paused: bool = False
    held: int = 0
    workers: int = 0
    slots: int = 0
    runs_a_second: float = 0.0
    failed: int = 0
    took: float | None = None
    functions: Sequence[FunctionLine] = ()


@dataclass(frozen=True)
class NodeLine:
    """One node.

    Attributes:
        row: its row in `goque_node`.
        info: its report, None if it has none yet or another version of goque wrote it.
        silent: seconds since its last heartbeat, by the caller's clock.
    """

    row: NodeRow
    info: NodeInfo | None
    silent: float


@dataclass(frozen=True)
class Overview:
    """All types and nodes at one time."""

    at: datetime
    types: Sequence[TypeLine] = ()
    nodes: Sequence[NodeLine] = ()


def look(storage: TaskStorage, now: datetime) -> Overview:
    """Read the overview from the database. Raises DatabaseUnavailableError."""
    depths = storage.queue_depths()
    policies = storage.type_policies()
    paused = frozenset(policy.type for policy in policies.values() if policy.paused)
    unfinished = read_unfinished(storage, depths, policies.keys())
    return overview(depths, policies.keys(), paused, storage.nodes(), now, unfinished=unfinished)


def overview(
    depths: Iterable[QueueDepth],
    known: Iterable[str],
    paused: frozenset[str],
    rows: Iterable[NodeRow],
    now: datetime,
    *,
    unfinished: Mapping[str, Sequence[FunctionCount] | None] | None = None,
) -> Overview:
    """Make an overview.

    Args:
        depths: how many unfinished tasks there are.
        known: the types that supervisors have published, with or without tasks.
        paused: the types that no node may claim.
        rows: the nodes.
        now: the current time.
        unfinished: the unfinished tasks by function, of types whose tasks call different functions.
    """
    nodes = [
        NodeLine(row, decode_info(row.info), max(0.0, (now - row.heartbeat_at).total_seconds()))
        for row in rows
    ]
    queues: dict[str, _Queue] = {}
    for depth in depths:
        queues.setdefault(depth.type, _Queue()).add(depth)
    parts = reports_by_type((node.row.state, node.info) for node in nodes)
    names = sorted({*known, *queues, *parts})
    types = [
        replace(
            _type_line(name, queues.get(name, _Queue()), name in paused, parts.get(name, [])),
            functions=function_lines((unfinished or {}).get(name, ()), parts.get(name, [])),
        )
        for name in names
    ]
    return Overview(now, types, nodes)


@dataclass
class _Queue:
    counts: Counter[str] = field(default_factory=Counter)
    waited: float = 0.0

    def add(self, depth: QueueDepth) -> None:
        self.counts[depth.status] += depth.count
        self.waited = max(self.waited, depth.waited)


def _type_line(name: str, queue: _Queue, paused: bool, parts: list[tuple[TypeInfo, float]]) -> TypeLine:  # noqa: FBT001 - as in TypeLine
    runs = summed(parts)
    return TypeLine(
        type=name,
        new=queue.counts[TaskStatus.NEW],
        error=queue.counts[TaskStatus.ERROR],
        claimed=sum(queue.counts[status] for status in CLAIMED_STATUSES),
        blocked=queue.counts[TaskStatus.BLOCKED],
        waited=queue.waited,
        paused=paused,
        held=sum(part.held for part, _seconds in parts),
        workers=sum(part.living for part, _seconds in parts),
        slots=sum(part.slots for part, _seconds in parts),
        runs_a_second=runs.a_second,
        failed=runs.failed,
        took=runs.took,
    )
