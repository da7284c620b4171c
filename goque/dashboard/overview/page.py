"""The page of the overview."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from goque.dashboard.overview import figures
from goque.dashboard.overview.figures import Figures
from goque.dashboard.overview.notices import Node, notices, type_link
from goque.dashboard.readings.history import Picture
from goque.dashboard.readings.ranges import RANGES, range_name
from goque.dashboard.render import page
from goque.dashboard.state import Dashboard, dashboard_of
from goque.describe.node_info import decode_info
from goque.errors import DatabaseUnavailableError

MAX_TYPES_SHOWN: Final = 12
NEWEST_FAILURES: Final = 8


def overview_page(request: Request) -> Response:
    """Show the overview."""
    dashboard = dashboard_of(request)
    window = range_name(request)
    nodes = nodes_of(dashboard)
    picture = picture_of(dashboard)
    now = datetime.now(UTC)
    view = figures_of(dashboard, picture, window, now)
    busiest = figures.busiest_first(view.types)
    troubles = figures.troubles(figures.recent(picture.failures, now))
    return page(
        request,
        "overview.html",
        view=view,
        window=window,
        ranges=RANGES,
        picture=picture,
        notices=notices(view.types, nodes, now),
        oldest=max(view.types, key=lambda one: one.waited, default=None),
        alive=sum(node.is_alive for node in nodes),
        gone_nodes=sum(node.row.state == "dead" for node in nodes),
        types=busiest[:MAX_TYPES_SHOWN],
        more=len(busiest) - MAX_TYPES_SHOWN,
        troubles=troubles,
        group_lines=dashboard.group_lines.of(one.newest.failure_group for one in troubles),
        failures=picture.failures[:NEWEST_FAILURES],
        name_of=figures.name_of,
        type_link=type_link,
    )


def picture_of(dashboard: Dashboard) -> Picture:
    """Return what is known of the queue. Raises DatabaseUnavailableError if nothing is."""
    picture = dashboard.history.picture()
    if picture.trouble is not None or not picture.at:
        raise DatabaseUnavailableError(picture.trouble or "the database has not answered yet")
    return picture


def figures_of(dashboard: Dashboard, picture: Picture, window: str, now: datetime) -> Figures:
    """Return the figures of a range of time."""
    return Figures(picture, dashboard.past.sums(window), RANGES[window], now)


def nodes_of(dashboard: Dashboard) -> list[Node]:
    """Return the nodes with their reports, those that have ended too."""
    return [Node(row, decode_info(row.info)) for row in dashboard.ready_storage().recent_nodes()]
