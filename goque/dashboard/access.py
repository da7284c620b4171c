"""Access control: host names, tokens, a proxy's user header, and protection against other sites."""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress
import logging
import re
import secrets
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from goque.dashboard.render import page, prefix_of
from goque.dashboard.state import Viewer
from goque.dashboard.throttle import Throttle
from goque.errors import ConfigurationError

CSRF_COOKIE: Final = "goque_csrf"
SESSION_COOKIE: Final = "goque_session"
SESSION_LENGTH: Final = 12 * 3600
MIN_TOKEN: Final = 16
OPEN_PATHS: Final = ("/static/", "/login")

_HOST_NAME: Final = re.compile(r"[^\s:/?#@,\[\]]+")

log = logging.getLogger("goque.dashboard")

HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class EndedSessions:
    """The sessions of this process that somebody has signed out of, until they would have expired."""

    def __init__(self) -> None:
        self._expiries: dict[str, int] = {}

    def __contains__(self, session: str) -> bool:
        return session in self._expiries

    def add(self, session: str) -> None:
        """End a valid session. Only somebody with the token can make one, so that they stay few."""
        now = time.time()
        self._expiries = {one: until for one, until in self._expiries.items() if until > now}
        self._expiries[session] = _expiry(session)


@dataclass(frozen=True)
class Access:
    """The access rules of a dashboard; see `goque.dashboard.create_app`."""

    actions: bool
    token: str | None = None
    user_header: str | None = None
    hosts: frozenset[str] | None = None
    throttle: Throttle = field(default_factory=Throttle)
    ended: EndedSessions = field(default_factory=EndedSessions)

    @classmethod
    def checked(
        cls, *, actions: bool | None, token: str | None, user_header: str | None, hosts: frozenset[str] | None
    ) -> Access:
        """Check the arguments and make the rules. Raises ConfigurationError."""
        if token is not None and (len(token) < MIN_TOKEN or not token.isascii() or not token.isprintable()):
            raise ConfigurationError(
                f"the token must be at least {MIN_TOKEN} printable ASCII characters, so that nobody guesses it; "
                "try: python3 -c 'import secrets; print(secrets.token_urlsafe())'"
            )
        if token and user_header:
            raise ConfigurationError("give a token or a user header, not both")
        proven = token is not None or user_header is not None
        names = None if hosts is None else frozenset(map(_host_name, hosts))
        return cls(proven if actions is None else actions, token, user_header, names)

    def viewer(self, connection: HTTPConnection) -> Viewer | None:
        """Return the viewer of a request; None without the token or the user header."""
        client = client_of(connection)
        if self.user_header is not None:
            name = connection.headers.get(self.user_header, "").strip()
            return Viewer(name[:100], self.actions) if name else None
        if self.token is not None and not self._has_token(connection, self.token):
            return None
        return Viewer(client, self.actions)

    def _has_token(self, connection: HTTPConnection, token: str) -> bool:
        scheme, _, given = connection.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return self.is_right_token(given.strip(), client_of(connection))
        session = connection.cookies.get(SESSION_COOKIE, "")
        return _is_session(session, token) and session not in self.ended

    def is_right_token(self, given: str, client: str) -> bool:
        """Return whether a client gave the token. After several wrong ones it has to wait."""
        if self.token is None or self.throttle.wait_for(client):
            return False
        if is_same(given, self.token):
            self.throttle.note_right(client)
            return True
        self.throttle.note_wrong(client)
        return False

    def admits_host(self, headers: Headers) -> bool:
        """Return whether the Host header is allowed. Other names may come from DNS rebinding."""
        if self.hosts is None:
            return True
        host = headers.get("host", "")
        name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
        return name.lower() in self.hosts


def _host_name(given: str) -> str:
    """Return a host name as browsers send it. Raises ConfigurationError if it has more than a name."""
    name = given.lower()
    with suppress(ValueError):
        return f"[{ipaddress.IPv6Address(name.removeprefix('[').removesuffix(']'))}]"
    if not name or not _HOST_NAME.fullmatch(name):
        raise ConfigurationError(
            f"{given!r:.80} is no host name; give it without a scheme and without a port, such as queue.example.com"
        )
    return name


def new_session(token: str) -> str:
    """Return the value of a session cookie, which is valid for some hours in every process of the app."""
    start = f"{int(time.time()) + SESSION_LENGTH}.{secrets.token_urlsafe(12)}"
    return f"{start}.{_seal(token, start)}"


def end_session(access: Access, connection: HTTPConnection) -> None:
    """End the session of a request, so that nobody can use a copy of its cookie."""
    session = connection.cookies.get(SESSION_COOKIE, "")
    if access.token is not None and _is_session(session, access.token):
        access.ended.add(session)


def client_of(connection: HTTPConnection) -> str:
    """Return the address of a request's client."""
    return connection.client.host if connection.client else "somebody"


def _is_session(session: str, token: str) -> bool:
    start, _, seal = session.rpartition(".")
    return _expiry(session) > time.time() and is_same(seal, _seal(token, start))


def _expiry(session: str) -> int:
    expires = session.partition(".")[0]
    return int(expires[:12]) if expires.isascii() and expires.isdecimal() else 0


def is_same(given: str, wanted: str) -> bool:
    """Compare secrets in constant time."""
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), wanted.encode())


def _seal(token: str, start: str) -> str:
    text = f"goque dashboard until {start}".encode("utf-8", "surrogatepass")
    seal = hmac.new(token.encode(), text, hashlib.sha256)
    return base64.urlsafe_b64encode(seal.digest()).decode().rstrip("=")


def csrf_of(request: Request) -> str:
    """Return the CSRF token that each form of this browser must have; `Gate` sets its cookie."""
    token: str = request.state.csrf
    return token


def forges(request: Request, form: dict[str, str]) -> str | None:
    """Return why a POST may come from another site, None if it comes from a page of the dashboard."""
    site = request.headers.get("sec-fetch-site")
    if site is not None and site != "same-origin":
        return "it comes from another site"
    origin = request.headers.get("origin")
    if site is None and origin is not None and origin.partition("://")[2] != request.headers.get("host"):
        return "it comes from another site"
    cookie = request.cookies.get(CSRF_COOKIE, "")
    if len(cookie) < MIN_TOKEN or not is_same(form.get("csrf", ""), cookie):
        return "its page is too old, or this browser stores no cookies"
    return None


class Gate:
    """Middleware that applies the access rules, and adds security headers to each answer."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self.app = app
        self.access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a request, or pass it on with its viewer in `request.state`."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        request = Request(scope, receive)
        cookies = self._prepare(request)

        is_static = _path(request).startswith("/static/")  # now: the mount of these files changes the scope
        has_begun = False

        async def send_guarded(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            if message["type"] == "http.response.start":
                _guard(message, cookies, is_static=is_static)
            await send(message)

        refusal = self._refusal(request)
        try:
            await (refusal or self.app)(scope, receive, send_guarded)
        except ClientDisconnect:
            return  # nobody is left to answer
        except Exception:
            if has_begun:
                raise
            log.exception("the dashboard failed at %s", _path(request))
            text = "This page failed. The dashboard's log has the error."
            answer = page(request, "message.html", 500, title="Something went wrong", text=text)
            await answer(scope, receive, send_guarded)

    def _prepare(self, request: Request) -> list[str]:
        """Set the viewer of a request; return the cookies to set."""
        request.state.viewer = self.access.viewer(request)
        request.state.access = self.access
        csrf = request.cookies.get(CSRF_COOKIE, "")
        if len(csrf) >= MIN_TOKEN and csrf.isascii():
            request.state.csrf = csrf
            return []
        request.state.csrf = secrets.token_urlsafe()
        return [cookie(request, CSRF_COOKIE, request.state.csrf)]

    def _refusal(self, request: Request) -> Response | None:
        if not self.access.admits_host(request.headers):
            request.state.viewer = None  # a page of another site may read this answer: it must tell nothing
            return page(
                request,
                "message.html",
                421,
                title="Not here",
                text="This dashboard does not answer to this host name. You can allow it with --hosts.",
            )
        if request.state.viewer is not None or _path(request).startswith(OPEN_PATHS):
            return None
        if self.access.user_header is not None:
            text = (
                f"The header {self.access.user_header} is missing: come through the proxy that signs you in."
            )
            return page(request, "message.html", 401, title="Who is there?", text=text)
        if request.method in ("GET", "HEAD") and "authorization" not in request.headers:
            return RedirectResponse(f"{prefix_of(request)}/login", 303)
        return page(
            request, "message.html", 401, title="Who is there?", text="The token is missing or wrong."
        )


def cookie(request: Request, name: str, value: str, *, age: int | None = None) -> str:
    """Return a Set-Cookie header for this dashboard's pages only."""
    schemes = (request.url.scheme, request.headers.get("x-forwarded-proto"))
    secure = "; Secure" if "https" in schemes else ""
    lasting = "" if age is None else f"; Max-Age={age}"
    return f"{name}={value}; Path={prefix_of(request) or '/'}; HttpOnly; SameSite=Strict{secure}{lasting}"


def _path(request: Request) -> str:
    path: str = request.scope["path"]
    return path.removeprefix(prefix_of(request))


def _guard(message: dict[str, Any] | Message, cookies: list[str], *, is_static: bool) -> None:
    headers = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
    is_kept = is_static and message["status"] == 200
    keeping = b"public, max-age=31536000, immutable" if is_kept else b"no-store"
    kept = [(name, value) for name, value in message["headers"] if name.lower() != b"cache-control"]
    sets = [(b"set-cookie", value.encode()) for value in cookies] if not is_static else []
    message["headers"] = [*kept, *headers, (b"cache-control", keeping), *sets]
