"""The list of tasks. It stays as it is while somebody reads it: new tasks are counted above it, and do not move it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from goque.dashboard import queries
from goque.dashboard.plans import CANCELABLE, RESETTABLE
from goque.dashboard.queries import Query, read_query
from goque.dashboard.render import page, prefix_of
from goque.dashboard.state import Dashboard, dashboard_of
from goque.dashboard.tasks.known_types import known_types, widened
from goque.describe.status_words import WORDS
from goque.identifiers import is_task_id
from goque.storage.search_types import StatusCount, TaskPage, TaskSearch

PAGE: Final = 50
PREVIEW: Final = 200
"""How many characters of a payload are shown."""


@dataclass(frozen=True)
class ListView:
    """A part of the list.

    Attributes:
        found: the tasks, newest first, or oldest first.
        previews: the beginnings of their payloads; None for a large one.
        newer: how many tasks match that are newer than the first one; 0 if that was not counted.
        is_more_newer: whether there are more of these.
        live_query: the query by which the page keeps itself up to date.
    """

    found: TaskPage
    previews: Mapping[str, str | None]
    newer: int
    is_more_newer: bool
    live_query: str


def tasks_page(request: Request) -> Response:
    """Show the tasks that match the filters, in pages."""
    dashboard = dashboard_of(request)
    asked = request.query_params.get("external_id", "").strip().lower()
    if is_task_id(asked):
        return RedirectResponse(f"{prefix_of(request)}/{kind_of(dashboard, asked)}/{asked}", 303)
    storage = dashboard.ready_storage()
    types = known_types(storage)
    query = widened(read_query(request.query_params, datetime.now(UTC)), types)
    chosen = frozenset(query.search.statuses)
    view = _read_list(dashboard, query)
    return page(
        request,
        "tasks.html",
        query=query,
        view=view,
        found=view.found,
        live_query=view.live_query,
        types=types,
        statuses=list(WORDS),
        counts=_counts(dashboard, query.search),
        periods=queries.PERIODS,
        can_cancel=bool(chosen) and chosen <= CANCELABLE,
        can_reset=bool(chosen) and chosen <= RESETTABLE,
    )


def kind_of(dashboard: Dashboard, asked: str) -> str:
    """Return the kind of page that an id has: a flow's only if no task has it."""
    storage = dashboard.ready_storage()
    return "flows" if storage.get_task(asked) is None and storage.has_flow(asked) else "tasks"


def _read_list(dashboard: Dashboard, query: Query) -> ListView:
    storage, search = dashboard.storage, query.search
    before = query.before or (None if query.top is None else queries.id_after(query.top))
    found = storage.search_tasks(search, before=before, limit=PAGE, oldest_first=query.is_oldest_first)
    ids = [line.id for line in found.lines]
    newer: Sequence[object] = ()
    is_more = False
    if query.top is not None and not query.before and not found.looked_back_to:
        ahead = storage.search_tasks(search, before=query.top, limit=PAGE, oldest_first=True)
        newer, is_more = ahead.lines, ahead.before is not None
    top = None
    if ids and not query.before and not query.is_oldest_first:
        top = query.top or ids[0]
    live_query = query.link(before=query.before, top=top)
    previews = storage.payload_previews(ids, length=PREVIEW)
    return ListView(found, previews, len(newer), is_more, live_query)


def _counts(dashboard: Dashboard, search: TaskSearch) -> Mapping[str, StatusCount]:
    """Return how many tasks of the types are in each status; nothing where other filters would make them wrong."""
    types = (search.task_type,) if search.task_type else search.types
    if search != TaskSearch(task_type=search.task_type, types=search.types, statuses=search.statuses):
        return {}
    return dashboard.counts.counts(types)
