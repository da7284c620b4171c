"""The pages of one type and of one pool: rate, latency, depth, errors, options and workers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from goque.dashboard.overview import figures
from goque.dashboard.overview.figures import Figures, TypeView
from goque.dashboard.overview.notices import Node, notices, pool_link, type_link
from goque.dashboard.overview.page import figures_of, nodes_of, picture_of
from goque.dashboard.queries import BadQueryError
from goque.dashboard.readings.history import Picture
from goque.dashboard.readings.ranges import RANGES, range_name
from goque.dashboard.render import page
from goque.dashboard.state import Dashboard, dashboard_of
from goque.dashboard.types.list_page import functions_of, pools_by_type
from goque.dashboard.types.options import Option, options_of_pool, options_of_type
from goque.describe.node_info import PoolInfo
from goque.identifiers import has_functions
from goque.storage.contract import TypePolicy
from goque.storage.search_types import TaskSearch

MAX_FAILURES_SHOWN: Final = 8


@dataclass(frozen=True)
class PoolOnNode:
    """The part of a pool that one node runs."""

    node: Node
    pool: PoolInfo


@dataclass(frozen=True)
class _Known:
    """What both pages are made of."""

    dashboard: Dashboard
    window: str
    nodes: Sequence[Node]
    picture: Picture
    figures: Figures
    policies: dict[str, TypePolicy]
    now: datetime


def type_page(request: Request) -> Response:
    """Show one type."""
    known, name = _read(request), _name(request)
    view = next((one for one in known.figures.types if one.name == name), None)
    pools = pools_by_type(known.nodes).get(name, [])
    if view is None and not pools and not _has_tasks(known.dashboard, name):
        raise HTTPException(
            404, f"There is no task type {name!r:.200}: no supervisor runs it, and it has no tasks."
        )
    parts = [part for part in _parts(known.nodes) if part.pool.name in pools and name in part.pool.types]
    declared = options_of_type(known.dashboard.registry, name, known.policies.get(name))
    return _answer(
        request, known, (name,), view, parts=parts, options=declared,
        kind="type", name=name, pools=pools, policy=known.policies.get(name),
        functions=functions_of(known.picture, known.nodes, [name]) if has_functions(name) else {},
    )  # fmt: skip


def pool_page(request: Request) -> Response:
    """Show one pool, which nodes with different apps may run with different types."""
    known, name = _read(request), _name(request)
    parts = [part for part in _parts(known.nodes) if part.pool.name == name]
    if not parts:
        raise HTTPException(404, f"No node that is alive runs a pool {name!r:.200}.")
    types = sorted({task_type for part in parts for task_type in part.pool.types})
    return _answer(
        request, known, types, None, parts=parts, options=options_of_pool(known.dashboard.registry, name),
        kind="pool", name=name, pools=[name], policy=None, functions={},
    )  # fmt: skip


def _answer(
    request: Request,
    known: _Known,
    types: Sequence[str],
    view: TypeView | None,
    *,
    parts: Sequence[PoolOnNode],
    options: Sequence[Option],
    **more: Any,
) -> Response:
    names = frozenset(types)
    views = [one for one in known.figures.types if one.name in names]
    failures = [line for line in known.picture.failures if line.type in names]
    troubles = figures.troubles(figures.recent(failures, known.now))
    return page(
        request,
        "type.html",
        view=view,
        views=views,
        figures=known.figures,
        types=types,
        parts=parts,
        options=options,
        window=known.window,
        ranges=RANGES,
        picture=known.picture,
        policies=known.policies,
        notices=[one for one in notices(views, known.nodes, known.now) if _concerns(one.link, more)],
        troubles=troubles,
        group_lines=known.dashboard.group_lines.of(one.newest.failure_group for one in troubles),
        failures=failures[:MAX_FAILURES_SHOWN],
        name_of=figures.name_of,
        type_link=type_link,
        pool_link=pool_link,
        **more,
    )


def _concerns(link: str, more: dict[str, Any]) -> bool:
    """Return whether a notice with this link is about this page."""
    return link.startswith("/types/type") or link in {pool_link(name) for name in more["pools"]}


def _read(request: Request) -> _Known:
    dashboard = dashboard_of(request)
    window, now = range_name(request), datetime.now(UTC)
    nodes, picture = nodes_of(dashboard), picture_of(dashboard)
    policies = dashboard.storage.type_policies()
    return _Known(
        dashboard, window, nodes, picture, figures_of(dashboard, picture, window, now), policies, now
    )


def _has_tasks(dashboard: Dashboard, task_type: str) -> bool:
    """Return whether a type that is not among the counted ones has tasks, which may be one of very many."""
    return bool(dashboard.storage.search_tasks(TaskSearch(task_type=task_type), limit=1).lines)


def _name(request: Request) -> str:
    name = request.query_params.get("name", "")
    if not name:
        raise BadQueryError("the address lacks a name, as in ?name=send_email")
    return name


def _parts(nodes: Sequence[Node]) -> list[PoolOnNode]:
    return [
        PoolOnNode(node, pool)
        for node in sorted(nodes, key=lambda one: (one.row.host, one.row.pid))
        if node.is_alive and node.info
        for pool in node.info.pools
    ]
