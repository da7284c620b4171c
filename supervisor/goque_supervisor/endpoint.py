"""The monitor's HTTP server: /metrics, /healthz and /readyz, answered from what the monitor knows at once."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from goque.errors import ConfigurationError

Answer = tuple[int, str, bytes]
"""Status, content type, body."""

NOT_FOUND: Final[Answer] = (404, "text/plain; charset=utf-8", b"try /metrics, /healthz or /readyz\n")
LONGEST_REQUEST: Final = 10.0


def serve(address: str, pages: dict[str, Callable[[], Answer]], log: Callable[..., None]) -> None:
    """Answer in threads of this process from now on.

    Args:
        address: HOST:PORT.
        pages: what to answer, by path.
        log: where requests are noted.

    Raises:
        ConfigurationError: the address cannot be opened.
    """

    class Handler(BaseHTTPRequestHandler):
        timeout = LONGEST_REQUEST  # a client that sends nothing must not hold a thread for ever

        def do_GET(self) -> None:
            page = pages.get(self.path.partition("?")[0])
            status, content_type, body = NOT_FOUND if page is None else page()
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_HEAD = do_GET  # noqa: N815 - the base class calls it so

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
            log("http: %s", format % args)

    host, _, port = address.rpartition(":")
    try:
        server = ThreadingHTTPServer((host.strip("[]"), int(port)), Handler)
    except OSError as error:
        raise ConfigurationError(
            f"--http {address} cannot be opened: {error.strerror}; choose another address or port"
        ) from error
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="http", daemon=True).start()


def json_answer(status: int, value: dict[str, Any]) -> Answer:
    """Make an answer of JSON."""
    return status, "application/json", json.dumps(value).encode()
