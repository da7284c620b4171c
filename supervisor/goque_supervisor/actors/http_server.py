"""The monitor's HTTP server: it answers /metrics, /healthz and /readyz from what the monitor has in memory.

1. At the limit, a new connection replaces the one that has waited longest for its client to send or to read.
2. While all are busy, which means that their answers are being made, new ones wait in the kernel.
3. Requests that come in while an answer is being made share the next one.
4. A client that sends or reads too slowly is dropped.
"""

from __future__ import annotations

import json
import logging
import resource
import socket
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from goque.errors import ConfigurationError

Answer = tuple[int, str, bytes]
"""Status, content type, body."""

Page = Callable[[], Answer]

NOT_FOUND: Final[Answer] = (404, "text/plain; charset=utf-8", b"try /metrics, /healthz or /readyz\n")
CLIENT_TIMEOUT: Final = 10.0
"""Seconds that a client has to send its request, and again to read the answer."""

ANSWER_TIMEOUT: Final = 30.0
"""Seconds that making an answer may take."""

GRACE: Final = 0.1
"""Seconds in which a client may send or read before a new connection may replace its own."""

MAX_CONNECTIONS: Final = 128
OWN_DESCRIPTORS: Final = 64
COMPLAINT_PERIOD: Final = 60.0


@dataclass
class Connection:
    """An open connection: whether its answer is being made, or since when it waits for its client."""

    line: socket.socket
    since: float
    is_busy: bool = False

    def is_overdue(self, now: float) -> bool:
        """Return whether it has had its time."""
        return now - self.since > (ANSWER_TIMEOUT if self.is_busy else CLIENT_TIMEOUT)


class SharedPage:
    """Makes one answer for all the requests that have waited for it."""

    def __init__(self, make: Page, clock: Callable[[], float] = time.monotonic) -> None:
        self._make = make
        self._clock = clock
        self._lock = threading.Lock()
        self._began_at = 0.0
        self._answer = NOT_FOUND

    def __call__(self) -> Answer:
        """Return an answer that is no older than this call."""
        asked_at = self._clock()
        with self._lock:
            if self._began_at < asked_at:
                self._began_at = self._clock()
                self._answer = self._make()
            return self._answer


class Server(ThreadingHTTPServer):
    """Answers each request in a thread of its own, on an IPv4 or IPv6 address."""

    daemon_threads = True
    request_queue_size = 1024  # the connections that the kernel keeps until there is a place for them

    def __init__(
        self, host: str, port: int, handler: type[BaseHTTPRequestHandler], log: logging.Logger
    ) -> None:
        families = [found[0] for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
        self.address_family = socket.AF_INET if socket.AF_INET in families else families[0]
        self._log = log
        self._complain_at = 0.0
        self._limit = _connection_limit()
        self._open: dict[socket.socket, Connection] = {}  # those first that wait or are busy longest
        self._guard = threading.Condition()
        super().__init__((host, port), handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread, once there is a place for the connection."""
        with self._guard:
            while not self._has_place():
                self._guard.wait(self._rest_of_grace())
                self._drop_overdue()
            self._open[request] = Connection(request, time.monotonic())
        super().process_request(request, client_address)

    def _has_place(self) -> bool:
        """Return whether there is a place; at the limit, drop the connection that waits longest for its client."""
        if len(self._open) < self._limit:
            return True
        waits = self._longest_waiting()
        if waits is None or time.monotonic() - waits.since < GRACE:
            return False
        self._drop(waits)
        return True

    def _rest_of_grace(self) -> float:
        """Return the seconds until another look for a place can find one, unless a connection ends before."""
        waits = self._longest_waiting()
        return 1.0 if waits is None else max(0.0, waits.since + GRACE - time.monotonic())

    def _longest_waiting(self) -> Connection | None:
        return next((one for one in self._open.values() if not one.is_busy), None)

    def begin(self, line: socket.socket) -> None:
        """Note that a connection's request has come in, and that its answer is being made."""
        self._set(line, is_busy=True)

    def end(self, line: socket.socket) -> None:
        """Note that a connection's answer is made, and that its client may read it."""
        self._set(line, is_busy=False)

    def _set(self, line: socket.socket, *, is_busy: bool) -> None:
        with self._guard:
            if self._open.pop(line, None):
                self._open[line] = Connection(line, time.monotonic(), is_busy)
                self._guard.notify()

    def service_actions(self) -> None:
        """Drop the clients that have had their time; the server's loop calls it twice a second."""
        with self._guard:
            self._drop_overdue()

    def _drop_overdue(self) -> None:
        now = time.monotonic()
        for one in [one for one in self._open.values() if one.is_overdue(now)]:
            self._drop(one)

    def _drop(self, connection: Connection) -> None:
        del self._open[connection.line]
        _hang_up(connection.line)

    def shutdown_request(self, request: Any) -> None:
        """Close a connection, and count it no more."""
        with self._guard:
            self._open.pop(request, None)
            self._guard.notify()
        super().shutdown_request(request)

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a connection; without a free descriptor wait a moment, for the loop would try again at once."""
        try:
            return super().get_request()
        except OSError as error:
            self._complain("the monitor cannot take more connections now: %s", error.strerror or error)
            time.sleep(0.1)
            raise

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log an error, in the tree's own format; a client that has left is none."""
        del request, client_address
        error = sys.exc_info()[1]
        if isinstance(error, OSError | ValueError):  # ValueError: its file was closed
            self._log.debug("http: a client left: %s", error)
        else:
            self._complain("http: cannot answer a request: %r", error, exc_info=True)

    def _complain(self, text: str, *values: Any, exc_info: bool = False) -> None:
        if time.monotonic() >= self._complain_at:
            self._complain_at = time.monotonic() + COMPLAINT_PERIOD
            self._log.warning(text, *values, exc_info=exc_info)


def serve(address: str, pages: dict[str, Page], log: logging.Logger) -> str:
    """Start to answer in threads of this process; returns the URL, with a free port in place of port 0.

    Args:
        address: HOST:PORT, an IPv6 address in brackets.
        pages: makes the answer, by path.
        log: logs each request, at level debug.

    Raises:
        ConfigurationError: the address cannot be opened.
    """
    shared = {path: SharedPage(make) for path, make in pages.items()}

    class Handler(BaseHTTPRequestHandler):
        server: Server
        timeout = CLIENT_TIMEOUT  # of one read; the server bounds the whole

        def do_GET(self) -> None:
            self.server.begin(self.connection)
            page = shared.get(self.path.partition("?")[0])
            status, content_type, body = NOT_FOUND if page is None else page()
            self.server.end(self.connection)
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_HEAD = do_GET  # noqa: N815 - the base class calls it by this name

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
            log.debug("http: %s", format % args)

    host, _, port = address.rpartition(":")
    try:
        server = Server(host.strip("[]"), int(port), Handler, log)
    except OSError as error:
        raise ConfigurationError(
            f"--http {address} cannot be opened: {error.strerror}; choose another address or port"
        ) from error
    threading.Thread(target=server.serve_forever, name="http", daemon=True).start()
    return f"http://{host}:{server.server_port}"


def json_answer(status: int, value: dict[str, Any]) -> Answer:
    """Make an answer of JSON."""
    return status, "application/json", json.dumps(value).encode()


def _connection_limit() -> int:
    """Return how many connections fit into this process's limit of descriptors."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return MAX_CONNECTIONS
    return min(MAX_CONNECTIONS, max(8, (soft - OWN_DESCRIPTORS) // 2))


def _hang_up(line: socket.socket) -> None:
    """End a connection; its thread then sees the end, and closes it."""
    try:
        line.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # the client has left
