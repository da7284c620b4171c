"""The list of groups of failures, and the page of one group."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from goque.dashboard import queries
from goque.dashboard.failures.course import (
    USUAL_WINDOW,
    WINDOWS,
    Window,
    course_by_attempts,
    course_by_hours,
)
from goque.dashboard.overview.charts import Chart
from goque.dashboard.queries import BadQueryError
from goque.dashboard.render import page
from goque.dashboard.state import dashboard_of
from goque.describe.failure_words import describe_cause, describe_versions
from goque.errors import TaskNotFoundError
from goque.storage import TaskStorage
from goque.storage.contract import FailureSummary
from goque.storage.search_types import TaskSearch

MAX_GROUPS_SHOWN: Final = 100
MAX_OPEN_SHOWN: Final = 20
MAX_ATTEMPTS_SHOWN: Final = 20
MAX_ATTEMPTS_DRAWN: Final = 1000


def groups_page(request: Request) -> Response:
    """Show the groups, the last seen first."""
    storage = dashboard_of(request).ready_storage()
    asked = queries.read_query(request.query_params, datetime.now(UTC)).search.task_type
    groups = storage.failure_groups(task_type=asked, limit=MAX_GROUPS_SHOWN)
    return page(
        request,
        "failures.html",
        groups=groups,
        asked=asked,
        is_cut=len(groups) == MAX_GROUPS_SHOWN,
        cause_of=describe_cause,
        versions_of=describe_versions,
    )


def group_page(request: Request) -> Response:
    """Show one group: its course, its open tasks and its newest attempts."""
    storage = dashboard_of(request).ready_storage()
    group = find_group(storage, request.path_params["group"])
    name = _window(request)
    found = storage.search_tasks(TaskSearch(failure=group.group), limit=MAX_OPEN_SHOWN)
    return page(
        request,
        "failure.html",
        group=group,
        cause=describe_cause(group),
        window=name,
        windows=WINDOWS,
        course=_course(storage, group.group, WINDOWS[name], datetime.now(UTC)),
        found=found,
        has_more=found.before is not None,
        attempts=storage.newest_of_group(group.group, limit=MAX_ATTEMPTS_SHOWN),
    )


def find_group(storage: TaskStorage, group: str) -> FailureSummary:
    """Return a group. Raises TaskNotFoundError."""
    found = storage.failure_group(group[:80])
    if found is None:
        raise TaskNotFoundError(group[:80], "group of failures")
    return found


def _course(storage: TaskStorage, group: str, window: Window, now: datetime) -> Chart:
    if window.step < WINDOWS[USUAL_WINDOW].step:
        attempts = storage.newest_of_group(group, limit=MAX_ATTEMPTS_DRAWN)
        return course_by_attempts(attempts, window, now, is_cut=len(attempts) == MAX_ATTEMPTS_DRAWN)
    return course_by_hours(storage.failure_course(group, now - timedelta(seconds=window.span)), window, now)


def _window(request: Request) -> str:
    window = request.query_params.get("window", USUAL_WINDOW)
    if window not in WINDOWS:
        raise BadQueryError(f"{window!r:.80} is no window; there is {', '.join(WINDOWS)}")
    return window
