"""A second connection, for a process in which one thread claims tasks while another writes how tasks ended."""

from __future__ import annotations

from collections.abc import Callable

from goque.storage.sql.session import Session


class SecondConnection:
    """One connection that is opened when somebody asks for it. A thread that finds it in use does not wait for it.

    Args:
        connect: opens a connection.
    """

    def __init__(self, connect: Callable[[], Session]) -> None:
        self._connect = connect
        self._session: Session | None = None
        self._is_taken = False

    def open(self) -> None:
        """Open the connection, if it is closed.

        Raises:
            DatabaseUnavailableError: the database refuses it, or cannot be reached.
        """
        if self._session is None:
            self._session = self._connect()

    def take(self) -> Session | None:
        """Return the connection, or None if it is closed or in use."""
        if self._session is None or self._is_taken:
            return None
        self._is_taken = True
        return self._session

    def give_back(self, session: Session, *, broken: bool) -> None:
        """Take the connection back, and close it if it is broken."""
        self._is_taken = False
        if broken or session is not self._session:
            session.close()
            self._session = None

    def forget_idle(self) -> None:
        """Close the connection if it is not in use, because the main connection was lost."""
        if not self._is_taken:
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
        self._session, self._is_taken = None, False
