"""The pages of the dashboard. Each needs few queries, whose cost does not grow with the number of tasks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from goque.dashboard import overview, queries
from goque.dashboard.history import Picture
from goque.dashboard.render import page
from goque.dashboard.state import Dashboard, dashboard_of
from goque.describe.functions import FunctionLine, function_lines
from goque.describe.limit_words import describe_limits, short_limits
from goque.describe.node_info import NodeInfo, decode_info, reports_by_type
from goque.errors import DatabaseUnavailableError
from goque.identifiers import has_functions
from goque.periodic.jobs import CronSchedule, PeriodicJob, PeriodicJobError, is_slot, next_slots
from goque.storage.contract import NodeRow

NEXT_RUNS: Final = 3
MAX_TYPES_SHOWN: Final = 12
MAX_TYPES_LISTED: Final = 200


def overview_page(request: Request) -> Response:
    """Show the overview."""
    dashboard = dashboard_of(request)
    window = _window(request)
    nodes = dashboard.ready_storage().recent_nodes()
    picture = _picture(dashboard)
    view = overview.overview(picture, nodes, window, datetime.now(UTC))
    busiest = overview.busiest_first(view.types)
    return page(
        request,
        "overview.html",
        view=view,
        window=window,
        windows=overview.WINDOWS,
        picture=picture,
        types=busiest[:MAX_TYPES_SHOWN],
        name_of=overview.name_of,
        more=len(busiest) - MAX_TYPES_SHOWN,
    )


def types_page(request: Request) -> Response:
    """Show the types; of many the busiest."""
    dashboard = dashboard_of(request)
    nodes = dashboard.ready_storage().recent_nodes()
    picture = _picture(dashboard)
    policies = (
        dashboard.storage.type_policies()
    )  # read again, so that a type that was just paused is shown so
    types = overview.types_of(picture, datetime.now(UTC))
    is_cut = len(types) > MAX_TYPES_LISTED
    if is_cut:
        types = sorted(overview.busiest_first(types)[:MAX_TYPES_LISTED], key=lambda one: one.name)
    return page(
        request,
        "types.html",
        types=types,
        policies=policies,
        pool_of=_pools_by_type(nodes),
        picture=picture,
        is_cut=is_cut,
        short_limits=short_limits,
        describe_limits=describe_limits,
        functions=_functions(picture, nodes, [one.name for one in types if has_functions(one.name)]),
    )


def _pools_by_type(nodes: Sequence[NodeRow]) -> dict[str, list[str]]:
    """Return the pools that run a type, of which nodes with different apps may have several."""
    pools: dict[str, set[str]] = {}
    for node in nodes:
        info = decode_info(node.info) if node.state == "alive" else None
        for pool in info.pools if info else ():
            for task_type in pool.types:
                pools.setdefault(task_type, set()).add(pool.name)
    return {task_type: sorted(names) for task_type, names in pools.items()}


def _functions(
    picture: Picture, nodes: Sequence[NodeRow], types: Sequence[str]
) -> dict[str, tuple[FunctionLine, ...]]:
    """Return the functions of types whose tasks call different functions."""
    reports = reports_by_type((row.state, decode_info(row.info)) for row in nodes) if types else {}
    found = {name: function_lines(picture.functions.get(name, ()), reports.get(name, ())) for name in types}
    return {name: lines for name, lines in found.items() if lines}


@dataclass(frozen=True)
class JobView:
    """One periodic job."""

    name: str
    schedule: str
    slots: list[datetime]
    failure: str | None
    last: datetime | None
    is_paused: bool
    misfire: str
    is_known: bool


def jobs_page(request: Request) -> Response:
    """Show the periodic jobs and their next runs."""
    dashboard = dashboard_of(request)
    dashboard.ready_storage()
    return page(request, "jobs.html", jobs=list(_jobs(dashboard)), has_app=dashboard.registry is not None)


def _jobs(dashboard: Dashboard) -> Iterator[JobView]:
    rows = {row.job_name: row for row in dashboard.storage.schedules()}
    jobs = {job.name: job for job in dashboard.registry.jobs} if dashboard.registry else {}
    for name in sorted({*rows, *jobs}):
        row, job = rows.get(name), jobs.get(name)
        last = row.last_slot if row else None
        slots, failure = _next_slots(job, last) if job else ([], None)
        yield JobView(
            name,
            _schedule(job) if job else "",
            slots,
            failure,
            last if last is None or job is None or is_slot(job, last) else None,
            bool(row and row.paused),
            job.misfire if job else "",
            job is not None,
        )


def _next_slots(job: PeriodicJob, last: datetime | None) -> tuple[list[datetime], str | None]:
    try:
        return next_slots(job, last, datetime.now(UTC), NEXT_RUNS), None
    except PeriodicJobError as error:
        return [], str(error)


def _schedule(job: PeriodicJob) -> str:
    if isinstance(job.schedule, CronSchedule):
        return f"{job.schedule.spec} {job.schedule.tz}"
    return str(getattr(job.schedule, "__qualname__", type(job.schedule).__qualname__))


@dataclass(frozen=True)
class NodeView:
    """One supervisor and its last report."""

    row: NodeRow
    info: NodeInfo | None


def nodes_page(request: Request) -> Response:
    """Show the supervisors with their trees; those that have ended come last."""
    rows = dashboard_of(request).ready_storage().recent_nodes()
    nodes = [NodeView(row, decode_info(row.info)) for row in rows]
    alive = sorted(
        (node for node in nodes if node.row.state == "alive"), key=lambda node: (node.row.host, node.row.pid)
    )
    return page(
        request, "nodes.html", alive=alive, ended=[node for node in nodes if node.row.state != "alive"][:20]
    )


def _picture(dashboard: Dashboard) -> Picture:
    picture = dashboard.history.picture()
    if picture.trouble is not None or not picture.at:
        raise DatabaseUnavailableError(picture.trouble or "the database has not answered yet")
    return picture


def _window(request: Request) -> str:
    window = request.query_params.get("window", overview.USUAL_WINDOW)
    if window not in overview.WINDOWS:
        raise queries.BadQueryError(f"{window!r:.80} is no window; there is {', '.join(overview.WINDOWS)}")
    return window
