"""The pages of the dashboard. Each needs few queries, whose cost does not grow with the number of tasks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from goque.dashboard import actions, overview, queries
from goque.dashboard.history import Picture
from goque.dashboard.queries import read_query
from goque.dashboard.render import page, prefix_of
from goque.dashboard.state import Dashboard, dashboard_of
from goque.dashboard.steps.view import read_steps
from goque.describe.functions import FunctionLine, function_lines
from goque.describe.limit_words import describe_limits, short_limits, shown_key
from goque.describe.need_words import describe_need_counts, has_links, more_than
from goque.describe.node_info import NodeInfo, decode_info, reports_by_type
from goque.describe.status_words import WORDS
from goque.describe.step_words import is_endless
from goque.describe.task_state import describe_claims, describe_next, may_be_held_back
from goque.errors import DatabaseUnavailableError, TaskNotFoundError
from goque.identifiers import has_functions, is_task_id
from goque.periodic.jobs import CronSchedule, PeriodicJob, PeriodicJobError, is_slot, next_slots
from goque.storage.contract import NodeRow
from goque.task_row import TaskStatus
from goque.task_rules.limits import NO_KEY

PAGE: Final = 50
NEXT_RUNS: Final = 3
MAX_ATTEMPTS: Final = 20
MAX_LINKED: Final = 10
UNCLAIMED: Final = frozenset({TaskStatus.NEW, TaskStatus.ERROR})
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


def tasks_page(request: Request) -> Response:
    """Show the tasks that match the filters, in pages."""
    dashboard = dashboard_of(request)
    asked = request.query_params.get("external_id", "").strip().lower()
    if is_task_id(asked):
        return RedirectResponse(f"{prefix_of(request)}/{_kind_of(dashboard, asked)}/{asked}", 303)
    query = read_query(request.query_params, datetime.now(UTC))
    found = dashboard.ready_storage().search_tasks(query.search, before=query.before, limit=PAGE)
    types = sorted({*dashboard.storage.type_policies(), *dashboard.storage.task_types()})
    chosen = frozenset(query.search.statuses)
    return page(
        request,
        "tasks.html",
        query=query,
        found=found,
        types=types,
        statuses=list(WORDS),
        periods=queries.PERIODS,
        can_cancel=bool(chosen) and chosen <= actions.CANCELABLE,
        can_reset=bool(chosen) and chosen <= actions.RESETTABLE,
    )


def _kind_of(dashboard: Dashboard, asked: str) -> str:
    """Return the kind of page that an id has: a flow's only if no task has it."""
    storage = dashboard.ready_storage()
    return "flows" if storage.get_task(asked) is None and storage.has_flow(asked) else "tasks"


def task_page(request: Request) -> Response:
    """Show one task and its history."""
    dashboard = dashboard_of(request)
    task_id = request.path_params["task_id"].lower()
    storage = dashboard.ready_storage()
    row = storage.get_task(task_id) if is_task_id(task_id) else None
    if row is None:
        raise TaskNotFoundError(task_id[:80])
    attempts = list(reversed(storage.failed_attempts(row.id)))
    policy = storage.type_policies().get(row.type)
    node = next((node for node in storage.recent_nodes() if node.id == row.claimed_by), None)
    now = datetime.now(UTC)
    is_limited = policy and may_be_held_back(row, policy, now)
    load = storage.limit_load(policy, row.limit_key or NO_KEY) if policy and is_limited else None
    links = storage.links_of(row.id, most=MAX_LINKED) if has_links(row) else None
    steps = read_steps(storage, row, attempts[::-1], now)
    # a reset is refused until that one runs again; what failed comes first
    failed_need = next((one for one in links.needs if one.state == "failed"), None) if links else None
    return page(
        request,
        "task.html",
        row=row,
        shown_key=shown_key,
        has_metadata=row.metadata not in (None, b"{}"),
        policy=policy,
        claims=describe_claims(row, node),
        follows=describe_next(row, policy, node, now, load, links=links, pause=steps.pause if steps else ""),
        steps=steps,
        waits_for_a_signal=row.status in UNCLAIMED and is_endless(row.next_attempt_at, now),
        links=links,
        need_counts=describe_need_counts(links) if links else "",
        more_needs=more_than(links.needs, sum(links.need_counts.values())) if links else 0,
        more_dependents=more_than(links.dependents, links.dependent_count) if links else 0,
        attempts=attempts[:MAX_ATTEMPTS],
        more_attempts=len(attempts) - MAX_ATTEMPTS,
        runs=row.status == TaskStatus.PROCESSING and row.claimed_by is not None,
        can_cancel=row.status in actions.CANCELABLE,
        can_reset=row.status in actions.RESETTABLE and not row.claimed_by and not failed_need,
        failed_need=failed_need,
    )


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
