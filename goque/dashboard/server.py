"""Serves the dashboard with uvicorn, and bounds what clients can take of it: connections, descriptors and time.

1. A connection is accepted when there is a place for it, so that the process never runs out of descriptors.
2. At the limit, a new connection replaces an idle one, or else the one that has waited longest for its client.
3. A busy connection, whose answer is being made, is never replaced. While all are busy, new ones wait in the kernel.
4. A client has ten seconds to send its whole request, or to read on in an answer.
"""

from __future__ import annotations

import asyncio
import logging
import resource
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Protocol

import anyio.to_thread
import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

PATIENCE: Final = 10.0
"""Seconds that a client has to send a request, or to take what is waiting for it."""

GRACE: Final = 0.1
"""Seconds in which a client may send its request, or read on, before a new connection may replace its own."""

MAX_CONNECTIONS: Final = 512
MAX_THREADS: Final = 10
"""Pages that are made at a time. They need the processor rather than the database: more only wait for each other."""

QUEUE: Final = 1024
"""Connections that the kernel keeps until there is a place for them."""

OWN_DESCRIPTORS: Final = 64
"""Descriptors for the process itself, and for connections that are being closed."""

DESCRIPTORS_OF_A_THREAD: Final = 4
COMPLAINT_PERIOD: Final = 60.0
PAUSE: Final = 0.1
"""Seconds until another try to accept a connection, after an error."""

log = logging.getLogger("goque.dashboard")


class Client(Protocol):
    """A connection as `Connections` sees it."""

    def drop(self) -> None:
        """Close the connection at once."""


class Connections:
    """The open connections of a server. Each is idle, busy, or waits for its client to send or read.

    Args:
        limit: the most connections at a time.
        clock: seconds of any origin.
    """

    def __init__(self, limit: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.limit = limit
        self._clock = clock
        self._idle: dict[Client, None] = {}
        self._waiting: dict[Client, float] = {}
        self._busy: set[Client] = set()
        self._reserved = 0
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._idle) + len(self._waiting) + len(self._busy) + self._reserved

    async def reserve(self) -> None:
        """Keep a place for a new connection; at the limit, wait until another can be dropped for it."""
        while not self.has_place():
            self._changed.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), self._rest_of_grace())
        self._reserved += 1

    def has_place(self) -> bool:
        """Return whether there is a place; at the limit, drop a connection for it if one may be dropped."""
        if len(self) < self.limit:
            return True
        rest = self._rest_of_grace()
        oldest = next(iter(self._idle), None) or (next(iter(self._waiting)) if rest == 0 else None)
        if oldest is None:
            return False
        self.forget(oldest)
        oldest.drop()
        return True

    def _rest_of_grace(self) -> float | None:
        """Return the seconds until the connection that waits longest may be dropped; None if none waits."""
        since = next(iter(self._waiting.values()), None)
        return None if since is None else max(0.0, since + GRACE - self._clock())

    def cancel_reservation(self) -> None:
        """Give a place back that no connection took."""
        self._reserved -= 1

    def admit(self, client: Client) -> None:
        """Count a new connection, in its reserved place; it waits for its client."""
        self._reserved -= 1
        self._waiting[client] = self._clock()

    def set_busy(self, client: Client) -> None:
        """Keep a connection while its answer is being made."""
        self.forget(client)
        self._busy.add(client)

    def set_waiting(self, client: Client) -> None:
        """Let a connection be dropped if its client does not read on soon."""
        self.forget(client)
        self._waiting[client] = self._clock()

    def set_idle(self, client: Client) -> None:
        """Let a connection be dropped at any time: its client has got its answer."""
        self.forget(client)
        self._idle[client] = None

    def forget(self, client: Client) -> None:
        """Count a connection no more."""
        self._idle.pop(client, None)
        self._waiting.pop(client, None)
        self._busy.discard(client)
        self._changed.set()


class BoundedConfig(uvicorn.Config):
    """uvicorn's configuration, with the connections of the server."""

    slots: Connections


class BoundedProtocol(H11Protocol):
    """A connection that a client cannot keep open by sending or reading nothing."""

    config: BoundedConfig
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as the base class
        """Take the place that is reserved, and start the client's time."""
        super().connection_made(transport)
        self.config.slots.admit(self)
        self._set_deadline()

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

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP. If it is the body of a request, the app stops, and nobody gets its answer."""
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            cycle.disconnected = True
            cycle.message_event.set()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            super().send_400_response(msg)
        else:
            self.drop()  # an answer has begun or is complete, so that another one cannot begin

    def on_response_complete(self) -> None:
        """Wait for the next request, or first for the client to read the end of this answer."""
        if self.transport.get_write_buffer_size():
            self.config.slots.set_waiting(self)
        else:
            self.config.slots.set_idle(self)
        self._set_deadline()
        super().on_response_complete()

    def pause_writing(self) -> None:
        """Wait for a client that does not read."""
        super().pause_writing()
        self.config.slots.set_waiting(self)
        self._set_deadline()

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

    def _set_deadline(self) -> None:
        self._unset_deadline()
        self._deadline = self.loop.call_later(PATIENCE, self.drop)

    def _unset_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


class BoundedServer(uvicorn.Server):
    """A server that has a descriptor left for everything that it does."""

    config: BoundedConfig

    def __init__(self, config: BoundedConfig, threads: int) -> None:
        super().__init__(config)
        self._threads = threads
        self._complain_at = 0.0
        self._acceptors: list[asyncio.Task[None]] = []

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to accept connections; the base class would accept them without looking for places."""
        anyio.to_thread.current_default_thread_limiter().total_tokens = self._threads
        await super().startup([])
        self._acceptors = [asyncio.create_task(self._accept(listening)) for listening in sockets or ()]

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept no more connections, and let the answers that are being made be sent."""
        for acceptor in self._acceptors:
            acceptor.cancel()
        await asyncio.gather(*self._acceptors, return_exceptions=True)
        await super().shutdown(sockets)

    async def _accept(self, listening: socket.socket) -> None:
        listening.setblocking(False)
        listening.listen(QUEUE)
        while True:
            try:
                await self._accept_one(listening)
            except OSError as error:
                self._complain(error)
                await asyncio.sleep(PAUSE)

    async def _accept_one(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        client, _ = await loop.sock_accept(listening)
        try:
            await self.config.slots.reserve()
            try:
                await loop.connect_accepted_socket(self._protocol, client)
            except OSError:
                self.config.slots.cancel_reservation()
                raise
        except BaseException:
            client.close()
            raise

    def _protocol(self) -> BoundedProtocol:
        return BoundedProtocol(self.config, self.server_state, self.lifespan.state)

    def _complain(self, error: OSError) -> None:
        """Log a lack of descriptors once a minute, not once for each connection."""
        if time.monotonic() >= self._complain_at:
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
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=trusts_proxy,
        lifespan="on",
        root_path=root_path,
    )
    config.slots = Connections(connections)
    BoundedServer(config, threads).run([listening])
