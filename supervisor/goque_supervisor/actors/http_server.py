"""The monitor's HTTP server: it answers /metrics, /healthz and /readyz from what the monitor has in memory.

A client that sends or reads too slowly is dropped, and a new one replaces the oldest that has sent no whole request:
nobody can use up the threads and descriptors of the monitor.
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

NOT_FOUND: Final[Answer] = (404, "text/plain; charset=utf-8", b"try /metrics, /healthz or /readyz\n")
HEADER_TIMEOUT: Final = 10.0
"""Seconds that a client has to send its request."""

ANSWER_TIMEOUT: Final = 30.0
"""Seconds that making and sending an answer may take."""

MAX_CONNECTIONS: Final = 128
OWN_DESCRIPTORS: Final = 64
COMPLAINT_PERIOD: Final = 60.0


@dataclass
class Connection:
    """An open connection: since when, and whether its request has come in."""

    line: socket.socket
    opened_at: float
    is_asked: bool = False

    def is_overdue(self, now: float) -> bool:
        """Return whether the client has had its time."""
        return now - self.opened_at > (ANSWER_TIMEOUT if self.is_asked else HEADER_TIMEOUT)


class Server(ThreadingHTTPServer):
    """Answers each request in a thread of its own, on an IPv4 or IPv6 address."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self, host: str, port: int, handler: type[BaseHTTPRequestHandler], log: logging.Logger
    ) -> None:
        families = [found[0] for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
        self.address_family = socket.AF_INET if socket.AF_INET in families else families[0]
        self._log = log
        self._complain_at = 0.0
        self._limit = _connection_limit()
        self._open: dict[socket.socket, Connection] = {}  # the oldest first
        self._guard = threading.Lock()
        super().__init__((host, port), handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread; at the limit, drop the oldest connection without a request, or else this one."""
        with self._guard:
            if len(self._open) >= self._limit:
                oldest = next((one for one in self._open.values() if not one.is_asked), None)
                if oldest is None:
                    _hang_up(request)
                else:
                    del self._open[oldest.line]
                    _hang_up(oldest.line)
            self._open[request] = Connection(request, time.monotonic())
        super().process_request(request, client_address)

    def asked(self, line: socket.socket) -> None:
        """Note that a connection's request has come in."""
        with self._guard:
            if line in self._open:
                self._open[line].is_asked = True

    def service_actions(self) -> None:
        """Drop the clients that have had their time; the server's loop calls it twice a second."""
        now = time.monotonic()
        with self._guard:
            for line in [line for line, one in self._open.items() if one.is_overdue(now)]:
                del self._open[line]
                _hang_up(line)

    def shutdown_request(self, request: Any) -> None:
        """Close a connection, and count it no more."""
        with self._guard:
            self._open.pop(request, None)
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
            self._complain("http: an answer failed: %r", error, exc_info=True)

    def _complain(self, text: str, *values: Any, exc_info: bool = False) -> None:
        if time.monotonic() >= self._complain_at:
            self._complain_at = time.monotonic() + COMPLAINT_PERIOD
            self._log.warning(text, *values, exc_info=exc_info)


def serve(address: str, pages: dict[str, Callable[[], Answer]], log: logging.Logger) -> str:
    """Start to answer in threads of this process; returns the URL, with a free port in place of port 0.

    Args:
        address: HOST:PORT, an IPv6 address in brackets.
        pages: makes the answer, by path.
        log: logs each request, at level debug.

    Raises:
        ConfigurationError: the address cannot be opened.
    """

    class Handler(BaseHTTPRequestHandler):
        server: Server
        timeout = HEADER_TIMEOUT  # of one read; the server bounds the whole

        def do_GET(self) -> None:
            self.server.asked(self.connection)
            page = pages.get(self.path.partition("?")[0])
            status, content_type, body = NOT_FOUND if page is None else page()
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
