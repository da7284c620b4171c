"""The second connection of a fetcher on MySQL or MariaDB: it is opened while the fetcher is busy."""

from __future__ import annotations

from collections.abc import Callable

from goque.storage.sql.connections import SecondConnection
from goque.storage.sql.session import Session


class OpenedConnection(SecondConnection):
    """A connection that is opened for this purpose.

    Args:
        connect: opens a connection.
        is_same_server: whether two connections are to the same server. With several hosts, or a proxy in front of them,
            they may be to two servers of a cluster. A claim on one may not have reached the other when it is settled.
    """

    def __init__(
        self, connect: Callable[[], Session], is_same_server: Callable[[Session, Session], bool]
    ) -> None:
        super().__init__()
        self._connect = connect
        self._is_same_server = is_same_server
        self._session: Session | None = None

    def open(self, main: Session) -> bool:
        """Open the connection, if it is closed."""
        if self._session is None:
            session = self._connect()
            if not self._is_same_server(main, session):
                session.close()
                return False
            self._session = session
        return True

    def close(self) -> None:
        """Close the connection."""
        self._discard()

    def _current(self) -> Session | None:
        return self._session

    def _discard(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.close()

    def _leave_to_parent(self) -> None:
        if self._session is not None:
            self._session.abandon()
        self._session = None
