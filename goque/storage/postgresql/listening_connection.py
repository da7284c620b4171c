"""The second connection of a fetcher on PostgreSQL: the one that listens claims too, so there is no third one."""

from __future__ import annotations

from collections.abc import Callable

from goque.storage.postgresql.connection import DeadlineConnection
from goque.storage.postgresql.session import PostgresqlSession
from goque.storage.postgresql.watcher import PostgresqlWatcher
from goque.storage.sql.connections import SecondConnection
from goque.storage.sql.session import Session


class ListeningConnection(SecondConnection):
    """Lends the connection of a watcher, while nobody asks that watcher. The watcher opens another after a loss.

    Args:
        watcher: listens.
        wrap: makes a session from a connection.
    """

    def __init__(
        self, watcher: PostgresqlWatcher, wrap: Callable[[DeadlineConnection], PostgresqlSession]
    ) -> None:
        super().__init__()
        self._watcher = watcher
        self._wrap = wrap
        self._session: PostgresqlSession | None = None

    def open(self, main: Session) -> bool:
        """Return whether the watcher listens at the server of the main connection."""
        assert isinstance(main, PostgresqlSession)
        connection = self._watcher.connection
        if connection is None:
            return False
        here, there = main.connection.info, connection.info
        return (here.host, here.hostaddr, here.port) == (there.host, there.hostaddr, there.port)

    def close(self) -> None:
        """Leave it open, because the watcher listens on it."""

    def give_back(self, session: Session, *, broken: bool) -> None:
        """Take the connection back, and look for notifications that came meanwhile."""
        self._watcher.lent()
        super().give_back(session, broken=broken)

    def _current(self) -> Session | None:
        connection = self._watcher.connection
        if connection is None:
            return None
        if self._session is None or self._session.connection is not connection:
            self._session = self._wrap(connection)
        return self._session

    def _discard(self) -> None:
        self._session = None
        self._watcher.reconnect()

    def _leave_to_parent(self) -> None:
        self._session = None
        self._watcher.abandon()
