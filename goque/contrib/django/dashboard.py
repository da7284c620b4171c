"""The dashboard as pages of Django's admin: each request of Django is answered by the dashboard's ASGI app."""

from __future__ import annotations

import asyncio
import os
import threading
from typing import TYPE_CHECKING, Any, Final

from django.core.exceptions import ImproperlyConfigured
from django.http import HttpResponse

from goque.errors import GoqueError

if TYPE_CHECKING:
    from django.http import HttpRequest
    from starlette.applications import Starlette

USER_HEADER: Final = "x-goque-user"
"""The header with the name of Django's user. Django sets it here, and removes one that a client sends."""


def answer(request: HttpRequest, prefix: str, *, may_act: bool) -> HttpResponse:
    """Answer a request to a page of the dashboard.

    Args:
        request: the request of a user who may see the dashboard.
        prefix: the path of the dashboard's first page, without a slash at its end.
        may_act: whether the user may cancel, reset, pause and run.
    """
    try:
        app = pages.app(may_act=may_act)
    except (GoqueError, ImproperlyConfigured) as error:
        return HttpResponse(f"The dashboard cannot start: {error}\n", status=503, content_type="text/plain")
    return pages.run(app, scope_of(request, prefix), request.body)


def scope_of(request: HttpRequest, prefix: str) -> dict[str, Any]:
    """Return the ASGI scope of a request."""
    headers = {name.lower(): value for name, value in request.headers.items()}
    headers[USER_HEADER] = request.user.get_username()
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": request.scheme,
        "path": request.path,
        "raw_path": request.path.encode(),
        "root_path": prefix,
        "query_string": request.META.get("QUERY_STRING", "").encode("latin-1"),
        "headers": [
            (name.encode("latin-1"), value.encode("latin-1", "backslashreplace"))
            for name, value in headers.items()
        ],
        "client": (request.META.get("REMOTE_ADDR") or "somebody", 0),
        "server": (request.META.get("SERVER_NAME", ""), int(request.META.get("SERVER_PORT") or 0)),
        "state": {},
    }


class Pages:
    """The dashboard's apps of this process, and the thread with the event loop in which they run."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pid = 0
        self._apps: dict[bool, Starlette] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    def app(self, *, may_act: bool) -> Starlette:
        """Return the app for users who may act, or for those who may only look; the first use makes it."""
        from goque.contrib.django import registry  # noqa: PLC0415 - the settings are loaded now
        from goque.contrib.django.databases import database_url  # noqa: PLC0415 - the same
        from goque.dashboard import create_app  # noqa: PLC0415 - only a project that shows it needs it

        with self._lock:
            self._begin_in_this_process()
            if may_act not in self._apps:
                self._apps[may_act] = create_app(
                    registry, database_url=database_url(), actions=may_act, user_header=USER_HEADER
                )
            return self._apps[may_act]

    def _begin_in_this_process(self) -> None:
        """Start the thread; a server forks its workers, and a thread does not live on in them."""
        if self._pid == os.getpid():
            return
        self._apps, self._loop = {}, asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="goque dashboard", daemon=True).start()
        self._pid = os.getpid()

    def run(self, app: Starlette, scope: dict[str, Any], body: bytes) -> HttpResponse:
        """Let an app answer a request, and return its whole answer."""
        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(_answered(app, scope, body), self._loop).result()


pages: Final = Pages()


async def _answered(app: Starlette, scope: dict[str, Any], body: bytes) -> HttpResponse:
    messages: list[Any] = []
    requests: list[dict[str, Any]] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> dict[str, Any]:
        if requests:
            return requests.pop()
        await asyncio.Event().wait()  # the client stays until the answer is complete
        raise AssertionError

    async def send(message: Any) -> None:
        messages.append(message)

    await app(scope, receive, send)
    return _response(messages)


def _response(messages: list[Any]) -> HttpResponse:
    """Return the messages of an answer as a response of Django's."""
    response = HttpResponse(
        b"".join(message.get("body", b"") for message in messages[1:]), status=messages[0]["status"]
    )
    del response["Content-Type"]
    for name, value in messages[0]["headers"]:
        if name.lower() == b"set-cookie":
            response.cookies.load(value.decode("latin-1"))
        else:
            response[name.decode("latin-1")] = value.decode("latin-1")
    return response
