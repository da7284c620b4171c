"""The page of a flow: how far it is, its tasks drawn, and below them as a list in pages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from goque.dashboard.queries import BadQueryError, read_statuses
from goque.dashboard.render import page, prefix_of
from goque.dashboard.state import dashboard_of
from goque.describe.status_words import WORDS
from goque.queue.flow_state import status_of
from goque.storage.contract import FlowOverview
from goque.task_row import TERMINAL_STATUSES, TaskStatus

PAGE: Final = 50
MAX_TYPES: Final = 50
LAST_PLACE: Final = 2**31 - 1


@dataclass(frozen=True)
class FlowQuery:
    """Which tasks of a flow its page lists: those of some statuses or all, behind a place."""

    statuses: Sequence[TaskStatus]
    after: int

    def link(self, *, after: int | None = None) -> str:
        """Return the query of the same list, from its beginning or behind another place."""
        fields: dict[str, Any] = {"status": [status.value for status in self.statuses], "after": after}
        return urlencode(
            {name: value for name, value in fields.items() if value not in (None, [])}, doseq=True
        )

    def toggled(self, status: str) -> str:
        """Return the query with one status added or removed."""
        chosen = [one.value for one in self.statuses]
        changed = [one for one in chosen if one != status] if status in chosen else [*chosen, status]
        return urlencode({"status": changed}, doseq=True)


@dataclass(frozen=True)
class TypeCounts:
    """The tasks of one type of a flow that is too large to be drawn."""

    name: str
    counts: Counter[str]


def flow_page(request: Request) -> Response:
    """Show one flow."""
    dashboard = dashboard_of(request)
    storage = dashboard.ready_storage()
    flow_id = request.path_params["flow_id"].lower()[:80]
    query = _read_query(request)
    view = dashboard.flows.view(flow_id, prefix_of(request))
    seen = view.overview
    counts = seen.by_status
    found = storage.flow_lines(seen.id, statuses=query.statuses, after=query.after, limit=PAGE)
    types = _types(seen) if view.drawing is None else []
    return page(
        request,
        "flow.html",
        flow=seen,
        state=status_of(seen.by_progress),
        counts={status.value: counts[status] for status in WORDS if counts.get(status)},
        ended=sum(count for status, count in counts.items() if status in TERMINAL_STATUSES),
        drawing=view.drawing,
        outside=view.outside,
        types=types[:MAX_TYPES],
        more_types=len(types) - MAX_TYPES,
        query=query,
        found=found,
        can_cancel=any(status not in TERMINAL_STATUSES for status in counts),
    )


def _read_query(request: Request) -> FlowQuery:
    text = request.query_params.get("after", "-1")
    is_place = text.isdecimal() and text.isascii() and len(text) <= len(str(LAST_PLACE))
    if text != "-1" and not (is_place and int(text) <= LAST_PLACE):
        raise BadQueryError(f"{text!r:.80} is no page; start again from the beginning of the flow")
    return FlowQuery(read_statuses(request.query_params.getlist("status")), int(text))


def _types(seen: FlowOverview) -> list[TypeCounts]:
    """Return the tasks of each type by status, the largest type first."""
    found: dict[str, Counter[str]] = {}
    for one in seen.counts:
        found.setdefault(one.type, Counter())[one.status] += one.count
    ordered = sorted(found.items(), key=lambda pair: (-pair[1].total(), pair[0]))
    return [TypeCounts(name, counts) for name, counts in ordered]
