"""The page that lists all types."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from goque.dashboard.overview.figures import busiest_first
from goque.dashboard.overview.notices import Node, pool_link, type_link
from goque.dashboard.overview.page import figures_of, nodes_of, picture_of
from goque.dashboard.readings.history import Picture
from goque.dashboard.readings.ranges import RANGES, range_name
from goque.dashboard.render import page
from goque.dashboard.state import dashboard_of
from goque.describe.functions import FunctionLine, function_lines
from goque.describe.limit_words import describe_limits, short_limits
from goque.describe.node_info import reports_by_type
from goque.identifiers import has_functions

MAX_TYPES_LISTED: Final = 200


def types_page(request: Request) -> Response:
    """Show the types; of many the busiest."""
    dashboard = dashboard_of(request)
    window = range_name(request)
    nodes = nodes_of(dashboard)
    picture = picture_of(dashboard)
    # read again, so that a type that was just paused is shown so
    policies = dashboard.storage.type_policies()
    types = figures_of(dashboard, picture, window, datetime.now(UTC)).types
    is_cut = len(types) > MAX_TYPES_LISTED
    if is_cut:
        types = sorted(busiest_first(types)[:MAX_TYPES_LISTED], key=lambda one: one.name)
    return page(
        request,
        "types.html",
        types=types,
        policies=policies,
        pools_of=pools_by_type(nodes),
        picture=picture,
        is_cut=is_cut,
        window=window,
        ranges=RANGES,
        type_link=type_link,
        pool_link=pool_link,
        short_limits=short_limits,
        describe_limits=describe_limits,
        functions=functions_of(picture, nodes, [one.name for one in types if has_functions(one.name)]),
    )


def pools_by_type(nodes: Sequence[Node]) -> dict[str, list[str]]:
    """Return the pools that run a type, of which nodes with different apps may have several."""
    pools: dict[str, set[str]] = {}
    for node in nodes:
        for pool in node.info.pools if node.is_alive and node.info else ():
            for task_type in pool.types:
                pools.setdefault(task_type, set()).add(pool.name)
    return {task_type: sorted(names) for task_type, names in pools.items()}


def functions_of(
    picture: Picture, nodes: Sequence[Node], types: Sequence[str]
) -> dict[str, tuple[FunctionLine, ...]]:
    """Return the functions of types whose tasks call different functions."""
    reports = reports_by_type((node.row.state, node.info) for node in nodes) if types else {}
    found = {name: function_lines(picture.functions.get(name, ()), reports.get(name, ())) for name in types}
    return {name: lines for name, lines in found.items() if lines}
