"""A second connection, for a fetcher in which one thread claims tasks while another writes how tasks ended."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

from goque.storage.sql.session import Session


class SecondConnection(ABC):
    """One connection beside the main one. A thread that finds it in use does not wait for it."""

    @abstractmethod
    def open(self) -> bool:
        """Return whether there is one, and open it if that is possible.

        Raises:
            DatabaseUnavailableError: the database refuses it, or cannot be reached.
        """

    @abstractmethod
    def take(self) -> Session | None:
        """Return the connection, or None if it is closed or in use."""

    @abstractmethod
    def give_back(self, session: Session, *, broken: bool) -> None:
        """Take the connection back, and close it if it is broken."""

    @abstractmethod
    def forget_idle(self) -> None:
        """Close the connection now or when it is given back, because the main one was lost.

        The next main connection may be to another server.
        """

    @abstractmethod
    def close(self) -> None:
        """Close the connection, if it has no other use."""

    @abstractmethod
    def after_fork(self) -> None:
        """Leave the connection to the parent process."""


class OpenedConnection(SecondConnection):
    """A connection that is opened for this purpose.

    Args:
        connect: opens a connection.
    """

    def __init__(self, connect: Callable[[], Session]) -> None:
        self._connect = connect
        self._session: Session | None = None
        self._is_taken = self._is_stale = False

    def open(self) -> bool:
        """Open the connection, if it is closed."""
        if self._session is None:
            self._session = self._connect()
        return True

    def take(self) -> Session | None:
        """Return the connection, or None if it is closed or in use."""
        if self._session is None or self._is_taken:
            return None
        self._is_taken = True
        return self._session

    def give_back(self, session: Session, *, broken: bool) -> None:
        """Take the connection back, and close it if it is broken or the main one was lost meanwhile."""
        if broken or self._is_stale or session is not self._session:
            session.close()
            self._session = None
        self._is_taken = self._is_stale = False

    def forget_idle(self) -> None:
        """Close the connection now or when it is given back, because the main one was lost."""
        if self._is_taken:
            self._is_stale = True
        else:
            self.close()

    def close(self) -> None:
        """Close the connection."""
        session, self._session = self._session, None
        if session is not None:
            session.close()

    def after_fork(self) -> None:
        """Leave the connection to the parent process."""
        if self._session is not None:
            self._session.abandon()
        self._session = None
        self._is_taken = self._is_stale = False
