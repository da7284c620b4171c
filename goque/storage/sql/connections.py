"""The connections of one process: a main connection, and a few spare ones for threads that find it in use.

In a process of the tree only one thread calls the database, so it uses the main connection and no pool. A busy fetcher
has a second thread, and a second connection for it. In an application, threads that enqueue at the same time get spare
connections, so that the server can commit for them together. SQLite admits one writer at a time. There, threads wait
for the main connection and wake up within microseconds, because connections that wait for the file's lock must sleep
and poll. No connection survives a fork.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Final, Protocol

from goque.errors import DatabaseUnavailableError, SchemaError
from goque.storage.before_fork import close_before_fork
from goque.storage.sql.session import CommitUnansweredError, ConnectionLostError, DatabaseLockedError, Session

ANSWER_WAIT: Final = 3.0
"""Seconds to wait for the answer to a commit. After that, goque asks the server whether it waits for its standby."""

_LEAVES_CONNECTION_GOOD: Final = (DatabaseLockedError, SchemaError)
_all: Final[weakref.WeakSet[Connections]] = weakref.WeakSet()


class ConnectionPool(Protocol):
    """A limited number of spare connections."""

    def take(self) -> Session | None:
        """Return a connection, or None if the pool could not provide one within some seconds."""

    def give_back(self, session: Session, *, broken: bool) -> None:
        """Take a connection back, and close it if it is broken."""

    def forget_idle(self) -> None:
        """Close every connection that is not in use, because another one was lost."""

    def close(self) -> None:
        """Close every connection that is not in use."""

    def after_fork(self) -> None:
        """Leave all connections to the parent process."""


class SecondConnection(ABC):
    """A second connection, for a fetcher in which one thread claims tasks while another writes how tasks ended.

    A thread that finds it in use does not wait for it.
    """

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


class _OfThread(threading.local):
    """The pooled connections that a thread holds, one for each nested block; None means the main connection."""

    def __init__(self) -> None:
        self.pooled: list[Session | None] = []


class Connections:
    """Opens the main connection at its first use, and again after a loss.

    `with connections as session:` reserves a connection for the block.

    Attributes:
        second: where a fetcher's second thread finds a connection, None if it has none.
    """

    def __init__(
        self,
        connect: Callable[[], Session],
        pool: ConnectionPool | None = None,
        second: SecondConnection | None = None,
    ) -> None:
        self._connect = connect
        self._pool = pool
        self.second = second
        self._lock = threading.RLock()
        self._session: Session | None = None
        self._unanswered: Session | None = None
        self._unanswered_since = 0.0
        self._of_thread = _OfThread()
        _all.add(self)

    def open_second(self) -> bool:
        """Let a second thread use the second connection instead of the pool; returns whether there is one.

        While a commit is not answered there is none, because new writes must wait for it.

        Raises:
            GoqueError: the database refuses it, or cannot be reached.
        """
        if self.second is None or self._session is None or self._awaits_commit():
            return False
        if not self.second.open(self._session):
            return False
        self._pool = self.second
        return True

    def close_second(self) -> None:
        """Close the second connection, if it has no other use."""
        if self.second is not None:
            self.second.close()

    def await_commit(self) -> None:
        """Wait a while for the answer to an unanswered commit, if there is one.

        The connection stays open for the answer, and new writes wait for it. Otherwise each try during an outage
        would leave another waiting connection at the server. Reads use another connection meanwhile.

        Raises:
            CommitUnansweredError: there is no answer yet.
            DatabaseUnavailableError: the connection broke. Only the table shows whether the commit took effect.
        """
        if not self._awaits_commit():
            return
        with self._lock:
            session, self._unanswered = self._unanswered, None
            if session is None:
                return  # another thread was faster
            is_kept = False
            try:
                session.await_answer()
                is_kept = self._session is None
                if is_kept:
                    self._session = session
            except CommitUnansweredError:
                is_kept = self._may_still_answer(session)
                if is_kept:
                    self._unanswered = session
                raise
            finally:
                if not is_kept:
                    session.close()

    def _may_still_answer(self, session: Session) -> bool:
        """Return whether to keep waiting. If the server is stopped or unreachable, goque closes the connection."""
        if not session.awaits_answer():
            return False
        if time.monotonic() - self._unanswered_since < ANSWER_WAIT:
            return True
        if self._session is None:
            self._session = self._connect()
        return self._session.sees_waiting_for_standby(session)

    def _awaits_commit(self) -> bool:
        return self._unanswered is not None

    def __enter__(self) -> Session:
        """Reserve a connection for the block."""
        pooled = None
        if self._pool is None:
            self._lock.acquire()
        else:
            pooled = self._take(self._pool)
        try:
            if pooled is not None:
                session = pooled
            else:
                if self._session is None:
                    self._session = self._connect()
                session = self._session
            session.start()
        except BaseException as error:
            self._leave(error)
            raise
        return session

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._leave(error)

    def _take(self, pool: ConnectionPool) -> Session | None:
        """Lock the main connection and return None; if it is in use, return a connection of the pool if possible."""
        pooled = None
        if not self._lock.acquire(blocking=False):
            pooled = pool.take()
            if pooled is None:
                self._lock.acquire()
        self._of_thread.pooled.append(pooled)
        return pooled

    def _leave(self, error: BaseException | None) -> None:
        if self._pool is not None:
            if isinstance(error, ConnectionLostError):
                self._pool.forget_idle()  # they are to the same server: a second try must not use one of them
            pooled = self._of_thread.pooled.pop()
            if pooled is not None:
                self._pool.give_back(pooled, broken=error is not None and _has_broken(pooled, error))
                return
        try:
            if error is not None and self._session is not None and _has_broken(self._session, error):
                if self._pool is not None:
                    self._pool.forget_idle()
                if self._session.awaits_answer() and self._unanswered is None:
                    self._unanswered, self._session = self._session, None
                    self._unanswered_since = time.monotonic()
                else:
                    self._close_the_one()
        finally:
            self._lock.release()

    def close(self) -> None:
        """Close the connections; the next use opens another."""
        self._close_the_one()
        with self._lock:
            unanswered, self._unanswered = self._unanswered, None
            if unanswered is not None:
                unanswered.close()
        if self._pool is not None:
            self._pool.close()

    def _close_the_one(self) -> None:
        with self._lock:
            session, self._session = self._session, None
            if session is not None:
                session.close()

    def after_fork(self) -> None:
        """Leave the connections to the parent, and make a new lock: a thread may have held the old one."""
        self._lock = threading.RLock()
        self._of_thread = _OfThread()
        for session in (self._session, self._unanswered):
            if session is not None:
                session.abandon()
        self._session = self._unanswered = None
        if self._pool is not None:
            self._pool.after_fork()


def _has_broken(session: Session, error: BaseException) -> bool:
    lost = isinstance(error, DatabaseUnavailableError) and not isinstance(error, _LEAVES_CONNECTION_GOOD)
    return lost or not session.is_usable()


def _after_fork() -> None:
    for connections in list(_all):
        connections.after_fork()


def _close_all() -> None:
    for connections in list(_all):
        connections.close()


os.register_at_fork(after_in_child=_after_fork)
close_before_fork(_close_all)
