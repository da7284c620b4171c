"""Answers the search box: it leads to the page of what was asked for, or lists what may be meant.

1. A full id leads to its task or its flow.
2. An external id that one task has leads to that task.
3. What fits one type only, or one task only, leads there.
4. All else is a list: types whose names contain the text, and tasks whose ids or external ids begin with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from goque.dashboard.queries import BadQueryError
from goque.dashboard.render import page, prefix_of
from goque.dashboard.state import dashboard_of
from goque.dashboard.tasks.known_types import known_types, types_with
from goque.dashboard.tasks.list_page import kind_of
from goque.identifiers import is_task_id
from goque.storage.search_types import TaskLine
from goque.task_rules.checks import MAX_NAME_LENGTH, is_storable

MAX_TASKS: Final = 20
MAX_TYPES: Final = 20


def search_page(request: Request) -> Response:
    """Lead to what was asked for, or list what may be meant."""
    dashboard = dashboard_of(request)
    storage = dashboard.ready_storage()
    asked = _asked(request)
    if is_task_id(asked.lower()):
        return _to(request, f"/{kind_of(dashboard, asked.lower())}/{asked.lower()}")
    if not asked:
        return _to(request, "/tasks")
    types = types_with(asked, known_types(storage))
    lines = storage.tasks_named(asked, limit=MAX_TASKS)
    target = _only(asked, types, lines)
    if target is not None:
        return _to(request, target)
    return page(
        request,
        "search.html",
        asked=asked,
        asked_for=asked,
        types=types[:MAX_TYPES],
        more_types=len(types) - MAX_TYPES,
        lines=lines[:MAX_TASKS],
        is_cut=len(lines) >= MAX_TASKS,
    )


def _asked(request: Request) -> str:
    asked = request.query_params.get("q", "").strip()
    if len(asked) > MAX_NAME_LENGTH or not is_storable(asked):
        raise BadQueryError(f"look for a text of at most {MAX_NAME_LENGTH} characters")
    return asked


def _only(asked: str, types: Sequence[str], lines: Sequence[TaskLine]) -> str | None:
    """Return the path of the only page that is meant, None if it may be several or none."""
    exact = [line for line in lines if line.external_id == asked]
    if len(exact) == 1 and not types:
        return f"/tasks/{exact[0].id}"
    if len(types) + len(lines) != 1:
        return None
    return f"/tasks/{lines[0].id}" if lines else f"/tasks?{urlencode({'type': types[0]})}"


def _to(request: Request, path: str) -> Response:
    return RedirectResponse(f"{prefix_of(request)}{path}", 303)
