"""Renders templates. HTML is escaped, and so are characters that could hide or reorder text."""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse

from goque.dashboard import formats
from goque.dashboard.state import dashboard_of
from goque.version import __version__

HERE: Final = Path(__file__).parent
STATIC: Final = HERE / "static"
SAID_COOKIE: Final = "goque_said"


def prefix_of(request: Request) -> str:
    """Return the path under which the dashboard is mounted, without a slash at its end."""
    root: str = request.scope.get("root_path", "")
    return root.rstrip("/")


def page(request: Request, template: str, status: int = 200, **values: Any) -> HTMLResponse:
    """Answer with a page."""
    dashboard = dashboard_of(request)
    fields = {
        "prefix": prefix_of(request),
        "path": request.scope["path"].removeprefix(prefix_of(request)) or "/",
        "live_query": request.url.query,
        "asked_for": "",
        "viewer": request.state.viewer,
        "csrf": request.state.csrf,
        "is_named": request.state.access.user_header is not None,
        "has_session": request.state.access.token is not None,
        "where": dashboard.storage.url,
        "bulk": dashboard.bulk.progress(),
        "now": datetime.now(UTC),
        "said": _said(request),
        "title": "",
    }
    text = environment().get_template(template).render(**fields | values)
    answer = HTMLResponse(text, status)
    if SAID_COOKIE in request.cookies:
        answer.delete_cookie(SAID_COOKIE, path=prefix_of(request) or "/")
    return answer


def _said(request: Request) -> str:
    """Return the message of this browser's last action, which is shown once."""
    try:
        return base64.urlsafe_b64decode(request.cookies.get(SAID_COOKIE, "")).decode("utf-8", "replace")
    except ValueError:
        return ""


@lru_cache(maxsize=1)
def environment() -> Environment:
    """Return the template environment, made once in a process."""
    made = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_inert,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= formats.FILTERS
    made.globals |= {"version": __version__, "stamp": _stamp()}
    return made


def _inert(value: Any) -> Any:
    """Escape characters that could hide or reorder text; the template escapes HTML itself."""
    if value is None:
        return ""
    if isinstance(value, str) and not isinstance(value, Markup):
        return formats.visible(value)
    return value


def _stamp() -> str:
    """Return a text that changes whenever a static file changes, for its URL."""
    names = sorted(path for path in STATIC.rglob("*") if path.is_file())
    return hashlib.sha256(b"".join(path.read_bytes() for path in names)).hexdigest()[:12]
