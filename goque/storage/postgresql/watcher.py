"""Wakes an idle fetcher by LISTEN, on its own connection, which it opens again after a loss."""

from __future__ import annotations

import logging
import random
import select
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import psycopg

from goque.errors import DatabaseUnavailableError
from goque.storage.contract import Watcher
from goque.storage.postgresql.connection import DeadlineConnection, stay_open_when_idle
from goque.storage.postgresql.finished_listener import WatchedIds
from goque.storage.postgresql.statements import CHANNELS_OF
from goque.storage.sql.batches import encode_list
from goque.storage.sql.placeholders import percent_placeholders

log: Final = logging.getLogger("goque.storage")

BLIND_LOOK: Final = 1.0
"""Seconds after which the fetcher looks without a notification: the Go library sends none, and a pooler may drop it."""

MAX_PAUSE: Final = 30.0


class PostgresqlWatcher(Watcher):
    """Listens for some types on one connection, at the server of the main connection.

    After a failover, the main connection may be to another server. The old server may still be up, but it sends no
    notifications any more. So the watcher connects anew whenever the main connection did.

    Attributes:
        connection: the connection that listens, None while there is none.

    The descriptor is an epoll's, which stays the same when the connection is replaced. A watcher that cannot
    listen has no descriptor, and the fetcher polls it.

    Args:
        connect: opens a connection; None if the watcher is to be polled.
        types: the types to listen for.
        watched: receives the ids of tasks with a waiter, which arrive on the same channels.
        times_connected: returns how often the main connection was opened.
    """

    def __init__(
        self,
        connect: Callable[[], DeadlineConnection] | None,
        types: Sequence[str],
        watched: WatchedIds,
        times_connected: Callable[[], int] = lambda: 0,
    ) -> None:
        self._connect = connect
        self._types = types
        self._watched = watched
        self._times_connected = times_connected
        self._follows = times_connected()
        self.connection: DeadlineConnection | None = None
        self._was_lent = False
        self._failures = 0
        self._listen_at = 0.0
        self._look_at = time.monotonic() + BLIND_LOOK
        self._epoll = select.epoll() if connect is not None and hasattr(select, "epoll") else None
        self._listen()

    def fileno(self) -> int | None:
        """Return the epoll's descriptor, or None if the watcher must be polled."""
        return None if self._epoll is None else self._epoll.fileno()

    def changed(self) -> bool:
        """Return whether a notification came, or `BLIND_LOOK` has passed without one."""
        told = self._take_notifications()
        now = time.monotonic()
        self._follow_main_connection()
        if self.connection is None and self._connect is not None and now >= self._listen_at:
            told = self._listen() or told  # notifications sent before LISTEN are lost
        if not told and now < self._look_at:
            return False
        self._look_at = now + BLIND_LOOK * random.uniform(0.9, 1.0)  # noqa: S311 - spreads the nodes' looks
        return True

    def close(self) -> None:
        """Close the connection and the descriptor."""
        self._connect = None
        self._drop()
        if self._epoll is not None:
            self._epoll.close()
            self._epoll = None

    def ask_again_in(self) -> float | None:
        """Return 0 after the connection was lent: notifications that came meanwhile do not stir the descriptor."""
        return 0.0 if self._was_lent else None

    def lent(self) -> None:
        """Take note that statements were run on the connection, so that psycopg may hold notifications."""
        self._was_lent = True

    def reconnect(self) -> None:
        """Connect anew at the next question, because this connection or the main one was lost."""
        self._drop()
        self._listen_at = 0.0

    def abandon(self) -> None:
        """Forget the connection in a forked process; the parent still uses it."""
        _abandoned.append((self.connection, self._epoll))
        self.connection = self._connect = self._epoll = None

    def _follow_main_connection(self) -> None:
        """Connect anew if the main connection was opened again, except when it was opened for the first time."""
        connected = self._times_connected()
        if connected != self._follows:
            if self._follows:
                self.reconnect()
            self._follows = connected

    def _listen(self) -> bool:
        if self._connect is None:
            return False
        try:
            self.connection = self._connect()
            stay_open_when_idle(self.connection)
            if self._epoll is not None:
                self._epoll.register(self.connection.fileno(), select.EPOLLIN)
            rows = self.connection.execute(
                percent_placeholders(CHANNELS_OF), {"types": encode_list(self._types)}
            ).fetchall()
            # one message for all; a channel's name is made of an oid and a digest
            self.connection.execute("; ".join(f'LISTEN "{channel}"' for (channel,) in rows), prepare=False)
        except (DatabaseUnavailableError, psycopg.Error) as error:
            self._failed(error)
            return False
        self._failures = 0
        return True

    def _take_notifications(self) -> bool:
        if self.connection is None or not (self._was_lent or self._epoll is None or self._epoll.poll(0)):
            return False
        self._was_lent = told = False
        try:
            for notification in self.connection.notifies(timeout=0):
                if notification.payload:
                    self._watched.add(notification.payload)
                else:
                    told = True
        except psycopg.Error as error:
            self._failed(error)
        return told

    def _failed(self, error: Exception) -> None:
        self._drop()
        self._failures += 1
        pause = min(MAX_PAUSE, 0.25 * 2.0 ** min(self._failures, 10))
        self._listen_at = time.monotonic() + pause * random.uniform(0.5, 1.0)  # noqa: S311 - spreads retries
        if self._failures == 1:
            log.info("cannot listen for new tasks (%s): polling once a second instead", error)

    def _drop(self) -> None:
        connection, self.connection = self.connection, None
        self._was_lent = False
        if connection is not None:
            if self._epoll is not None and not connection.closed:
                self._epoll.unregister(connection.fileno())
            connection.close()


_abandoned: Final[list[Any]] = []
