"""The login page, which checks the token and sets the session cookie."""

from __future__ import annotations

import logging
from typing import Final
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from goque.dashboard.access import (
    SESSION_COOKIE,
    SESSION_LENGTH,
    Access,
    client_of,
    cookie,
    end_session,
    forges,
    new_session,
)
from goque.dashboard.render import page, prefix_of
from goque.errors import GoqueError

MAX_FORM: Final = 64 * 1024

log = logging.getLogger("goque.dashboard")


class BadFormError(GoqueError):
    """A form that no page of the dashboard sends."""


async def login(request: Request) -> Response:
    """Show the login form, or check the token."""
    access: Access = request.state.access
    if access.token is None or request.method != "POST":
        if request.state.viewer is not None:
            return RedirectResponse(f"{prefix_of(request)}/", 303)
        return page(request, "login.html", title="Who is there?", wrong="")
    form = await read_form(request)
    why = forges(request, form)
    client = client_of(request)
    status = 403
    if why is None and not access.is_right_token(form.get("token", ""), client):
        wait = access.throttle.wait_for(client)
        why = f"too many wrong tokens; wait {wait} seconds" if wait else "that is not the token"
        status = 429 if wait else 403
    if why is not None:
        return page(request, "login.html", status, title="Who is there?", wrong=why)
    log.info("%s signed in with the token", client)
    return _with_session(request, new_session(access.token), SESSION_LENGTH)


async def logout(request: Request) -> Response:
    """Log out: end the session, and delete its cookie."""
    why = forges(request, await read_form(request))
    if why is not None:
        raise BadFormError(f"this form is refused: {why}; load the page again")
    end_session(request.state.access, request)
    log.info("%s signed out", client_of(request))
    return _with_session(request, "", 0)


async def read_form(request: Request) -> dict[str, str]:
    """Read a form; of several values with the same name the last counts.

    Raises:
        BadFormError: it is too long, or no form.
    """
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_FORM:
            raise BadFormError("this form is too long")
    if (
        request.headers.get("content-type", "").partition(";")[0].strip()
        != "application/x-www-form-urlencoded"
    ):
        raise BadFormError("a form must be application/x-www-form-urlencoded")
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=100))
    except ValueError as error:
        raise BadFormError("this form cannot be parsed") from error


def _with_session(request: Request, value: str, age: int) -> Response:
    answer = RedirectResponse(f"{prefix_of(request)}/", 303)
    answer.headers.append("set-cookie", cookie(request, SESSION_COOKIE, value, age=age))
    return answer
