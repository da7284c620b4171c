"""The second connection of a fetcher on PostgreSQL: the one that listens claims too, so there is no third one."""

from __future__ import annotations

from collections.abc import Callable

from goque.storage.postgresql.connection import DeadlineConnection
from goque.storage.postgresql.session import PostgresqlSession
from goque.storage.postgresql.watcher import PostgresqlWatcher
from goque.storage.sql.second_connection import SecondConnection
from goque.storage.sql.session import Session


class ListeningConnection(SecondConnection):
    """Lends the connection of a watcher, while nobody asks that watcher.

    Args:
        watcher: listens, and opens the connection anew after a loss.
        wrap: makes a session from a connection.
    """

    def __init__(
        self, watcher: PostgresqlWatcher, wrap: Callable[[DeadlineConnection], PostgresqlSession]
    ) -> None:
        self._watcher = watcher
        self._wrap = wrap
        self._session: PostgresqlSession | None = None
        self._is_taken = self._is_stale = False

    def open(self) -> bool:
        """Return whether the watcher listens."""
        return self._watcher.connection is not None

    def take(self) -> Session | None:
        """Return the connection, or None if the watcher does not listen or the connection is in use."""
        connection = self._watcher.connection
        if connection is None or self._is_taken:
            return None
        if self._session is None or self._session.connection is not connection:
            self._session = self._wrap(connection)
        self._is_taken = True
        return self._session

    def give_back(self, session: Session, *, broken: bool) -> None:
        """Take the connection back; if it is broken or the main one was lost meanwhile, the watcher opens another."""
        self._watcher.lent()
        if broken or self._is_stale or session is not self._session:
            self._replace()
        self._is_taken = self._is_stale = False

    def forget_idle(self) -> None:
        """Let the watcher open another now or when this one is given back, because the main one was lost."""
        if self._is_taken:
            self._is_stale = True
        else:
            self._replace()

    def close(self) -> None:
        """Leave it open, because the watcher listens on it."""

    def _replace(self) -> None:
        self._session = None
        self._watcher.reconnect()

    def after_fork(self) -> None:
        """Leave the connection to the parent process, whose watcher listens on it."""
        self._watcher.abandon()
        self._session = None
        self._is_taken = self._is_stale = False
