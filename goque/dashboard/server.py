"""Serves the dashboard with uvicorn, and bounds what clients can take of it: connections, descriptors and time.

1. The event loop accepts a few connections at a time, so that it never runs out of descriptors.
2. At the limit, a new connection replaces the one that has waited longest for its client.
3. A client has ten seconds to send its whole request, or to read on in an answer.
4. A busy connection, whose answer is being made, is never replaced.
"""

from __future__ import annotations

import asyncio
import logging
import resource
import socket
import time
from typing import Any, Final, Protocol

import anyio.to_thread
import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

PATIENCE: Final = 10.0
"""Seconds that a client has to send a request, or to take what is waiting for it."""

MAX_CONNECTIONS: Final = 512
MAX_THREADS: Final = 40
ACCEPTED_AT_ONCE: Final = 16
QUEUE: Final = 1024
"""Connections that the kernel keeps until the loop accepts them."""

OWN_DESCRIPTORS: Final = 64
"""Descriptors for the process itself and for connections that were accepted but are not counted yet."""

DESCRIPTORS_OF_A_THREAD: Final = 4
COMPLAINT_PERIOD: Final = 60.0

log = logging.getLogger("goque.dashboard")


class Client(Protocol):
    """A connection as `Connections` sees it."""

    def drop(self) -> None:
        """Close the connection at once."""


class Connections:
    """The open connections of a server.

    Args:
        limit: the most connections at a time.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._waiting: dict[Client, None] = {}
        self._busy: set[Client] = set()

    def __len__(self) -> int:
        return len(self._waiting) + len(self._busy)

    def admit(self, client: Client) -> bool:
        """Count a new connection; at the limit, drop the one that has waited longest. False if all are busy."""
        if len(self) >= self.limit:
            oldest = next(iter(self._waiting), None)
            if oldest is None:
                return False
            del self._waiting[oldest]
            oldest.drop()
        self._waiting[client] = None
        return True

    def set_busy(self, client: Client) -> None:
        """Keep a connection while its answer is being made."""
        if client in self._waiting:
            del self._waiting[client]
            self._busy.add(client)

    def set_waiting(self, client: Client) -> None:
        """Let a connection be replaced while it waits for its client."""
        if client in self._busy:
            self._busy.remove(client)
            self._waiting[client] = None

    def forget(self, client: Client) -> None:
        """Count a closed connection no more."""
        self._waiting.pop(client, None)
        self._busy.discard(client)


class BoundedConfig(uvicorn.Config):
    """uvicorn's configuration, with the connections of the server."""

    slots: Connections


class BoundedProtocol(H11Protocol):
    """A connection that a client cannot keep open by sending or reading nothing."""

    config: BoundedConfig
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as the base class
        """Take one of the server's connections, or close this one."""
        super().connection_made(transport)
        if self.config.slots.admit(self):
            self._set_deadline()
        else:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Give the connection back."""
        self._unset_deadline()
        self.config.slots.forget(self)
        super().connection_lost(exc)

    def handle_events(self) -> None:
        """Handle what the client has sent; from the end of its request on, the connection is busy."""
        super().handle_events()
        if self._is_answering():
            self._unset_deadline()
            self.config.slots.set_busy(self)

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        self._wait_for_client()
        super().on_response_complete()

    def pause_writing(self) -> None:
        """Wait for a client that does not read."""
        super().pause_writing()
        self._wait_for_client()

    def resume_writing(self) -> None:
        """Go on with an answer that the client reads again."""
        super().resume_writing()
        if self._is_answering():
            self._unset_deadline()
            self.config.slots.set_busy(self)

    def drop(self) -> None:
        """Close the connection at once."""
        self._unset_deadline()
        self.transport.abort()

    def _is_answering(self) -> bool:
        received = self.conn.their_state in (h11.DONE, h11.MUST_CLOSE)
        return received and self.cycle is not None and not self.cycle.response_complete

    def _wait_for_client(self) -> None:
        self.config.slots.set_waiting(self)
        self._set_deadline()

    def _set_deadline(self) -> None:
        self._unset_deadline()
        self._deadline = self.loop.call_later(PATIENCE, self.drop)

    def _unset_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


class BoundedServer(uvicorn.Server):
    """A server that has a descriptor left for everything that it does."""

    def __init__(self, config: BoundedConfig, threads: int) -> None:
        super().__init__(config)
        self._threads = threads
        self._complain_at = 0.0

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to accept connections."""
        asyncio.get_running_loop().set_exception_handler(self._report)
        anyio.to_thread.current_default_thread_limiter().total_tokens = self._threads
        await super().startup(sockets)
        for listening in sockets or ():
            listening.listen(QUEUE)  # asyncio has set it to the number that it accepts at once

    def _report(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Log an error of the event loop; a lack of descriptors once a minute, not once for each connection."""
        error = context.get("exception")
        if not isinstance(error, OSError):
            loop.default_exception_handler(context)
        elif time.monotonic() >= self._complain_at:
            self._complain_at = time.monotonic() + COMPLAINT_PERIOD
            log.warning("the dashboard cannot take more connections now: %s", error.strerror or error)


def limits_for(descriptors: int) -> tuple[int, int]:
    """Return how many connections and how many threads fit into a limit of descriptors."""
    free = max(0, descriptors - OWN_DESCRIPTORS)
    threads = min(MAX_THREADS, max(4, free // 3 // DESCRIPTORS_OF_A_THREAD))
    return min(MAX_CONNECTIONS, max(8, free // 2)), threads


def serve(app: ASGIApp, listening: socket.socket, *, root_path: str, trusts_proxy: bool) -> None:
    """Serve the app until a signal ends it.

    Args:
        app: the dashboard.
        listening: an open socket.
        root_path: the path under which a proxy serves the app.
        trusts_proxy: whether to believe the client's address that a proxy on this machine puts into
            `X-Forwarded-For`. Without a proxy, every local client could name any address.
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    connections, threads = limits_for(MAX_CONNECTIONS * 8 if soft == resource.RLIM_INFINITY else soft)
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)  # it warns of each malformed request
    config = BoundedConfig(
        app,
        http=BoundedProtocol,
        loop="asyncio",
        ws="none",
        backlog=ACCEPTED_AT_ONCE,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=trusts_proxy,
        lifespan="on",
        root_path=root_path,
    )
    config.slots = Connections(connections)
    BoundedServer(config, threads).run([listening])
