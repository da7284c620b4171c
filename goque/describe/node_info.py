"""The report of each tree in `goque_node.info`: what it runs, renewed with every heartbeat.

The lease of the tree writes it (goque_supervisor/actors/node_report.py); `goque top` and the dashboard read it. Times
are lengths in seconds at the heartbeat, never instants, so that no clock of another machine matters.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

MAX_BYTES: Final = 60_000
"""No longer text is written: a column TEXT of MySQL holds 65,535."""


class RunInfo(msgspec.Struct, frozen=True):
    """A task whose handler runs, and for how many seconds by then."""

    task_id: str
    seconds: float


class ProcessInfo(msgspec.Struct, frozen=True, omit_defaults=True):
    """One process of a tree.

    Attributes:
        name: what logs call it.
        pid: its process id.
        seconds: for how long it has been up.
        memory: resident bytes, None where the system does not tell.
        cpu: processors that it kept busy since the heartbeat before, 1.0 for a whole one; None for not known.
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
        runs: what it runs, the longest running first, and not more than ten.
        more: how many others it runs.
    """

    state: str = "ready"
    runs: tuple[RunInfo, ...] = ()
    more: int = 0


class TypeInfo(msgspec.Struct, frozen=True, omit_defaults=True):
    """One task type in a tree.

    Attributes:
        type: the task type.
        slots: how many workers there should be.
        living: how many there are; those that did not fit into `workers` too.
        ready: how many of them take tasks.
        held: whether nothing is claimed because workers cannot boot.
        restarts: how many workers were replaced since the tree started, by reason.
        processed: runs since the tree started, by the status that they led to.
        recent: the same for the last `NodeInfo.recent_seconds`.
        recent_run_seconds: how long those runs took together.
        workers: the workers, by slot.
    """

    type: str
    slots: int = 0
    living: int = 0
    ready: int = 0
    held: bool = False
    restarts: Mapping[str, int] = {}
    processed: Mapping[str, int] = {}
    recent: Mapping[str, int] = {}
    recent_run_seconds: float = 0.0
    workers: tuple[WorkerInfo, ...] = ()


class NodeInfo(msgspec.Struct, frozen=True, omit_defaults=True):
    """One tree.

    Attributes:
        version: of goque.
        app: `module:attribute`, empty where the registry was handed over.
        seconds: since the tree started.
        node_timeout: the silence after which others take it for dead; a heartbeat comes each sixth of it.
        recent_seconds: the time that recent figures are about: a minute, or less after the start.
        quiet: whether SIGUSR2 made it claim nothing.
        stopping: whether it is ending.
        restarts: restarts of processes other than workers, by role.
        types: the task types that run there.
        processes: all processes but workers.
        left_out: how many workers did not fit.
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
    processes: tuple[ProcessInfo, ...] = ()
    left_out: int = 0


def encode_info(info: NodeInfo) -> str:
    """Return what goes into the column; workers that do not fit are left out, then types."""
    for most in (1000, 200, 50, 10, 0):
        text = msgspec.json.encode(_cut(info, most))
        if len(text) <= MAX_BYTES:
            return text.decode()
    return msgspec.json.encode(msgspec.structs.replace(info, types=(), processes=())).decode()


def decode_info(text: str | None) -> NodeInfo | None:
    """Return what a tree told of itself; None where it told nothing, or another version says it another way."""
    if not text:
        return None
    try:
        return msgspec.json.decode(text, type=NodeInfo)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        return None


def _cut(info: NodeInfo, most: int) -> NodeInfo:
    """Keep so many workers, busy ones first."""
    workers = [worker for kind in info.types for worker in kind.workers]
    if len(workers) <= most:
        return info
    kept = {id(worker) for worker in sorted(workers, key=lambda worker: not worker.runs)[:most]}
    types = tuple(
        msgspec.structs.replace(kind, workers=tuple(one for one in kind.workers if id(one) in kept))
        for kind in info.types
    )
    return msgspec.structs.replace(info, types=types, left_out=len(workers) - most)
