"""The monitor's HTTP server, which answers /metrics, /healthz and /readyz from memory."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from goque.errors import ConfigurationError

Answer = tuple[int, str, bytes]
"""Status, content type, body."""

NOT_FOUND: Final[Answer] = (404, "text/plain; charset=utf-8", b"try /metrics, /healthz or /readyz\n")
MAX_REQUEST: Final = 10.0


class Server(ThreadingHTTPServer):
    """Answers each request in a separate thread, on an IPv4 or IPv6 address."""

    daemon_threads = True

    def __init__(self, host: str, port: int, handler: type[BaseHTTPRequestHandler]) -> None:
        families = [found[0] for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
        self.address_family = socket.AF_INET if socket.AF_INET in families else families[0]
        super().__init__((host, port), handler)


def serve(address: str, pages: dict[str, Callable[[], Answer]], log: Callable[..., None]) -> str:
    """Start to answer in threads of this process. Returns the URL, with the chosen port in place of port 0.

    Args:
        address: HOST:PORT, with an IPv6 address in brackets.
        pages: the functions that make the answers, by path.
        log: logs each request.

    Raises:
        ConfigurationError: the address cannot be opened.
    """

    class Handler(BaseHTTPRequestHandler):
        timeout = MAX_REQUEST  # a client that sends nothing must not keep a thread for ever

        def do_GET(self) -> None:
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
            log("http: %s", format % args)

    host, _, port = address.rpartition(":")
    try:
        server = Server(host.strip("[]"), int(port), Handler)
    except OSError as error:
        raise ConfigurationError(
            f"--http {address} cannot be opened: {error.strerror}; choose another address or port"
        ) from error
    threading.Thread(target=server.serve_forever, name="http", daemon=True).start()
    return f"http://{host}:{server.server_port}"


def json_answer(status: int, value: dict[str, Any]) -> Answer:
    """Make an answer of JSON."""
    return status, "application/json", json.dumps(value).encode()
