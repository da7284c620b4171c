"""The page of nodes: each supervisor with its pools, their workers as a grid, and its own processes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from goque.dashboard.overview.notices import Node, pool_link, type_link
from goque.dashboard.overview.page import nodes_of
from goque.dashboard.render import page
from goque.dashboard.state import dashboard_of
from goque.describe.node_info import NodeInfo, PoolInfo, ProcessInfo

MAX_ENDED: Final = 20


@dataclass(frozen=True)
class NodeView:
    """One supervisor that is alive.

    Attributes:
        node: its row and its report.
        internals: goque's own processes: root, helpers, fetchers and actors.
        busy: how many workers run a task.
        workers: how many workers there are.
        memory: resident bytes of all processes, None if no process reports any.
        cpu: CPUs used by all processes, None if no process reports any.
    """

    node: Node
    internals: Sequence[ProcessInfo]
    busy: int
    workers: int
    memory: int | None
    cpu: float | None


def nodes_page(request: Request) -> Response:
    """Show the supervisors with their trees; those that have ended come last."""
    nodes = nodes_of(dashboard_of(request))
    alive = sorted((node for node in nodes if node.is_alive), key=lambda node: (node.row.host, node.row.pid))
    return page(
        request,
        "nodes.html",
        alive=[_view(node) for node in alive],
        ended=[node for node in nodes if not node.is_alive][:MAX_ENDED],
        pool_link=pool_link,
        type_link=type_link,
        recent=recent_ends,
    )


def _view(node: Node) -> NodeView:
    info = node.info or NodeInfo()
    workers = [worker for pool in info.pools for worker in pool.workers]
    memory = [one.memory for one in (*info.processes, *workers) if one.memory is not None]
    cpu = [one.cpu for one in (*info.processes, *workers) if one.cpu is not None]
    return NodeView(
        node,
        internals=info.processes,
        busy=sum(bool(worker.runs) for worker in workers),
        workers=sum(pool.living for pool in info.pools) or len(workers),
        memory=sum(memory) if memory else None,
        cpu=sum(cpu) if cpu else None,
    )


def recent_ends(info: NodeInfo, pool: PoolInfo) -> dict[str, int]:
    """Return how many runs of a pool's types ended in the last minute, by the new status of the task."""
    ends: dict[str, int] = {}
    for kind in info.types:
        if kind.type in pool.types:
            for status, count in kind.recent.items():
                ends[status] = ends.get(status, 0) + count
    return ends
