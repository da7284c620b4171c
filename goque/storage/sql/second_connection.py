"""A second connection, for a fetcher in which one thread claims tasks while another writes how tasks ended."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable

from goque.storage.sql.session import Session


class SecondConnection(ABC):
    """One connection beside the main one. A thread that finds it in use does not wait for it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_taken = self._is_stale = False

    @abstractmethod
    def open(self, main: Session) -> bool:
        """Return whether there is one to the server of the main connection, and open it if that is possible.

        Raises:
            GoqueError: the database refuses it, or cannot be reached.
        """

    @abstractmethod
    def close(self) -> None:
        """Close the connection, if it has no other use."""

    @abstractmethod
    def _current(self) -> Session | None:
        """Return the connection, None if it is closed."""

    @abstractmethod
    def _discard(self) -> None:
        """Close the connection for good."""

    @abstractmethod
    def _leave_to_parent(self) -> None:
        """Forget the connection without closing it."""

    def take(self) -> Session | None:
        """Return the connection, or None if it is closed or in use."""
        with self._lock:
            session = None if self._is_taken else self._current()
            self._is_taken |= session is not None
            return session

    def give_back(self, session: Session, *, broken: bool) -> None:
        """Take the connection back, and close it if it is broken or the main one was lost meanwhile."""
        del session  # there is only one
        with self._lock:
            if broken or self._is_stale:
                self._discard()
            self._is_taken = self._is_stale = False

    def forget_idle(self) -> None:
        """Close the connection now or when it is given back, because the main one was lost.

        The next main connection may be to another server.
        """
        with self._lock:
            if self._is_taken:
                self._is_stale = True
            else:
                self._discard()

    def after_fork(self) -> None:
        """Leave the connection to the parent process."""
        self._lock = threading.Lock()
        self._is_taken = self._is_stale = False
        self._leave_to_parent()


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
