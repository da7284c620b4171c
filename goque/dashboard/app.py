"""The ASGI app: its routes, and its error pages."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from goque.config import resolve_database_url
from goque.dashboard import actions, flow_page, limits_page, login
from goque.dashboard.access import Access, Gate
from goque.dashboard.bulk import Bulk
from goque.dashboard.failures import pages as failure_pages
from goque.dashboard.flow_reader import FlowReader
from goque.dashboard.jobs.page import jobs_page
from goque.dashboard.limit_reader import LimitReader
from goque.dashboard.nodes.page import nodes_page
from goque.dashboard.overview.page import overview_page
from goque.dashboard.readings.group_lines import GroupLines
from goque.dashboard.readings.history import History
from goque.dashboard.readings.past import Past
from goque.dashboard.readings.status_counts import StatusCountReader
from goque.dashboard.render import STATIC, page
from goque.dashboard.search.page import search_page
from goque.dashboard.stack.page import stack_page
from goque.dashboard.state import Dashboard
from goque.dashboard.tasks.list_page import tasks_page
from goque.dashboard.tasks.task_page import task_page
from goque.dashboard.types import detail_page
from goque.dashboard.types.list_page import types_page
from goque.errors import ConfigurationError, DatabaseUnavailableError, GoqueError, TaskNotFoundError
from goque.registry import Registry
from goque.storage import open_storage

ROUTES = [
    Route("/", overview_page, name="overview"),
    Route("/types", types_page),
    Route("/types/type", detail_page.type_page),
    Route("/types/pool", detail_page.pool_page),
    Route("/limits", limits_page.limits_page),
    Route("/tasks", tasks_page),
    Route("/tasks/{task_id}", task_page),
    Route("/tasks/{task_id}/stack", stack_page),
    Route("/search", search_page),
    Route("/flows/{flow_id}", flow_page.flow_page),
    Route("/failures", failure_pages.groups_page),
    Route("/failures/{group}", failure_pages.group_page),
    Route("/jobs", jobs_page),
    Route("/nodes", nodes_page),
    Route("/do/{action}", actions.act, methods=["GET", "POST"]),
    Route("/login", login.login, methods=["GET", "POST"]),
    Route("/logout", login.logout, methods=["POST"]),
    Mount("/static", StaticFiles(directory=STATIC)),
]


def make_app(
    source: Registry | str | None,
    *,
    database_url: str | None,
    actions: bool | None,
    token: str | None,
    user_header: str | None,
    hosts: frozenset[str] | None,
) -> Starlette:
    """Make the app; see `goque.dashboard.create_app`."""
    if source is not None and not isinstance(source, Registry | str):
        raise ConfigurationError(
            f"give create_app a goque.Registry or the URL of a database, not {source!r:.80}"
        )
    access = Access.checked(actions=actions, token=token, user_header=user_header, hosts=hosts)
    registry = source if isinstance(source, Registry) else None
    given = source if isinstance(source, str) and database_url is None else database_url
    url = resolve_database_url(given, registry_url=registry.database_url if registry else None)
    storage = open_storage(url)
    app = Starlette(
        routes=ROUTES,
        middleware=[Middleware(Gate, access=access)],
        lifespan=_lifespan,
        exception_handlers={HTTPException: _http_error, GoqueError: _goque_error},
    )
    app.state.dashboard = Dashboard(
        storage,
        History(open_storage(url)),
        registry,
        Bulk(),
        LimitReader(storage),
        FlowReader(storage),
        StatusCountReader(storage),
        Past(storage),
        GroupLines(storage),
    )
    return app


@asynccontextmanager
async def _lifespan(app: Starlette) -> AsyncIterator[None]:
    """Close the dashboard at the end; an app that mounts this one need not run its lifespan."""
    yield
    await run_in_threadpool(app.state.dashboard.close)


def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    texts = {404: "There is no such page.", 405: "This page does not accept that method."}
    text = texts.get(error.status_code, error.detail)
    return page(
        request, "message.html", error.status_code, title=HTTPStatus(error.status_code).phrase, text=text
    )


def _goque_error(request: Request, error: Exception) -> Response:
    """Show the error; while the database is unavailable, the page retries."""
    values: dict[str, Any] = {"text": str(error)}
    if isinstance(error, DatabaseUnavailableError):
        return page(request, "unavailable.html", 503, title="The database does not answer", **values)
    if isinstance(error, TaskNotFoundError):
        return page(request, "message.html", 404, title=f"No such {error.what}", **values)
    return page(request, "message.html", 400, title="The request failed", **values)
