"""The report of a tree in `goque_node.info`, written with every heartbeat.

The lease of the tree writes it (goque_supervisor/actors/node_report.py); `goque top` and the dashboard read it. All
times are durations in seconds at the heartbeat, so that differences between the machines' clocks do not matter.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import msgspec

from goque.task_row import TaskStatus

FAILED: Final = (TaskStatus.ERROR, TaskStatus.ATTEMPTS_LEFT)
"""The statuses that a failed attempt leads to."""

MAX_BYTES: Final = 60_000
"""The longest text that is written; a TEXT column of MySQL takes 65,535 bytes."""


class RunInfo(msgspec.Struct, frozen=True, omit_defaults=True):
    """A running task.

    Attributes:
        task_id: its id.
        seconds: for how many seconds it has been running.
        progress: how far it says that it is, 0 to 1; None if it has said nothing.
        note: what it says that it does, cut.
    """

    task_id: str
    seconds: float
    progress: float | None = None
    note: str = ""


class ProcessInfo(msgspec.Struct, frozen=True, omit_defaults=True):
    """One process of a tree.

    Attributes:
        name: its name in the log.
        pid: its process id.
        seconds: how long it has been up.
        memory: bytes, with the part of shared memory that counts for this process; resident bytes where the kernel does
            not report that. None if the system reports neither.
        cpu: CPUs used since the last heartbeat, 1.0 for one whole CPU; None if not known.
    """

    name: str
    pid: int
    seconds: float = 0.0
    memory: int | None = None
    cpu: float | None = None


class WorkerInfo(ProcessInfo, frozen=True, omit_defaults=True):
    """One worker process.

    Attributes:
        state: `booting`, `ready`, or `ending` when it takes no more tasks.
        runs: its running tasks, the longest running first, at most ten.
        more: how many other tasks it runs.
    """

    state: str = "ready"
    runs: tuple[RunInfo, ...] = ()
    more: int = 0


class FunctionInfo(msgspec.Struct, frozen=True, omit_defaults=True):
    """One function of a task type whose tasks call different functions, such as Django's tasks.

    Attributes:
        name: its path, `shop.tasks.add`; `other` for all that are not known to exist.
        processed: runs since the tree started, by the new status of the task.
        recent: the same for the last `NodeInfo.recent_seconds`.
        recent_run_seconds: the total duration of those runs.
    """

    name: str
    processed: Mapping[str, int] = {}
    recent: Mapping[str, int] = {}
    recent_run_seconds: float = 0.0


class TypeInfo(msgspec.Struct, frozen=True, omit_defaults=True):
    """One task type in a tree.

    Attributes:
        type: the task type.
        slots: the most workers of its pool.
        living: the number of workers that its pool has now.
        ready: how many of them accept tasks.
        held: whether claiming is stopped because workers cannot boot.
        processed: runs since the tree started, by the new status of the task.
        recent: the same for the last `NodeInfo.recent_seconds`.
        recent_run_seconds: the total duration of those runs.
        functions: the functions that its tasks have called, those with most recent runs first, at most fifty.
    """

    type: str
    slots: int = 0
    living: int = 0
    ready: int = 0
    held: bool = False
    processed: Mapping[str, int] = {}
    recent: Mapping[str, int] = {}
    recent_run_seconds: float = 0.0
    functions: tuple[FunctionInfo, ...] = ()


class PoolInfo(msgspec.Struct, frozen=True, omit_defaults=True):
    """One pool in a tree.

    Attributes:
        name: its name; a type with processes of its own has a pool that is named like the type.
        types: its task types.
        slots: the most workers.
        living: the number of workers, including those that did not fit into `workers`.
        ready: how many of them accept tasks.
        held: whether claiming is stopped because workers cannot boot.
        restarts: replaced workers since the tree started, by reason.
        workers: the workers, by slot.
    """

    name: str
    types: tuple[str, ...] = ()
    slots: int = 0
    living: int = 0
    ready: int = 0
    held: bool = False
    restarts: Mapping[str, int] = {}
    workers: tuple[WorkerInfo, ...] = ()


class NodeInfo(msgspec.Struct, frozen=True, omit_defaults=True):
    """One tree.

    Attributes:
        version: of goque.
        app: `module:attribute`, empty for a registry passed to `goque.Supervisor`.
        seconds: since the tree started.
        node_timeout: seconds without a heartbeat after which other nodes consider it dead; it sends six in that time.
        recent_seconds: the period of the recent figures: a minute, or less just after the start.
        quiet: whether SIGUSR2 stopped its claiming.
        stopping: whether it is ending.
        restarts: restarts of processes other than workers, by role.
        types: its task types.
        pools: its pools.
        processes: all processes except workers.
        left_out: how many workers did not fit into the report.
    """

    version: str = ""
    app: str = ""
    seconds: float = 0.0
    node_timeout: float = 30.0
    recent_seconds: float = 0.0
    quiet: bool = False
    stopping: bool = False
    restarts: Mapping[str, int] = {}
    types: tuple[TypeInfo, ...] = ()
    pools: tuple[PoolInfo, ...] = ()
    processes: tuple[ProcessInfo, ...] = ()
    left_out: int = 0


def encode_info(info: NodeInfo) -> str:
    """Encode a report for the column. Workers that do not fit are left out, then functions, then types."""
    for most in (1000, 200, 50, 10, 0):
        text = msgspec.json.encode(_cut(info, most))
        if len(text) <= MAX_BYTES:
            return text.decode()
    types = tuple(msgspec.structs.replace(kind, functions=()) for kind in _cut(info, 0).types)
    text = msgspec.json.encode(msgspec.structs.replace(_cut(info, 0), types=types))
    if len(text) <= MAX_BYTES:
        return text.decode()
    return msgspec.json.encode(msgspec.structs.replace(info, types=(), pools=(), processes=())).decode()


def decode_info(text: str | None) -> NodeInfo | None:
    """Decode a report; None if there is none, or if another version of goque wrote it in another form."""
    if not text:
        return None
    try:
        return msgspec.json.decode(text, type=NodeInfo)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        return None


def _cut(info: NodeInfo, most: int) -> NodeInfo:
    """Keep at most this many workers, busy ones first."""
    workers = [worker for pool in info.pools for worker in pool.workers]
    if len(workers) <= most:
        return info
    kept = {id(worker) for worker in sorted(workers, key=lambda worker: not worker.runs)[:most]}
    pools = tuple(
        msgspec.structs.replace(pool, workers=tuple(one for one in pool.workers if id(one) in kept))
        for pool in info.pools
    )
    return msgspec.structs.replace(info, pools=pools, left_out=len(workers) - most)


def reports_by_type(
    nodes: Iterable[tuple[str, NodeInfo | None]],
) -> dict[str, list[tuple[TypeInfo, float]]]:
    """Return what living nodes report of each type, and the period of the recent figures in seconds.

    Args:
        nodes: the state and the report of each node.
    """
    parts: dict[str, list[tuple[TypeInfo, float]]] = {}
    for state, info in nodes:
        if info is not None and state == "alive":
            for part in info.types:
                parts.setdefault(part.type, []).append((part, info.recent_seconds))
    return parts


@dataclass(frozen=True)
class Runs:
    """The runs of a type or a function in the last minute, over all nodes.

    Attributes:
        a_second: runs that ended per second.
        failed: how many of them failed, timeouts and crashes included.
        took: the mean duration in seconds, None if there was none.
    """

    a_second: float = 0.0
    failed: int = 0
    took: float | None = None


def summed(parts: Iterable[tuple[TypeInfo | FunctionInfo, float]]) -> Runs:
    """Sum the recent runs that nodes report, each with the period of its recent figures in seconds."""
    reports = list(parts)
    runs = sum(sum(part.recent.values()) for part, _seconds in reports)
    return Runs(
        a_second=sum(sum(part.recent.values()) / seconds for part, seconds in reports if seconds > 0),
        failed=sum(part.recent.get(status, 0) for part, _seconds in reports for status in FAILED),
        took=sum(part.recent_run_seconds for part, _seconds in reports) / runs if runs else None,
    )
