"""One connection for each process, handed to one thread at a time.

SQLite admits one writer at a time whatever we do: threads that queue for a lock here wake up in microseconds,
where connections that queue for the file sleep and poll. A connection never crosses a fork.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from typing import Final

from goque.errors import DatabaseUnavailableError, SchemaError
from goque.storage.dialect import DatabaseLockedError, Session

_LEAVES_CONNECTION_GOOD: Final = (DatabaseLockedError, SchemaError)
_all: Final[weakref.WeakSet[Connections]] = weakref.WeakSet()


class Connections:
    """Opens the connection of this process when it is first used, and again after it was lost.

    `with connections as session:` holds it for the length of the block.
    """

    def __init__(self, connect: Callable[[], Session]) -> None:
        self._connect = connect
        self._lock = threading.RLock()
        self._session: Session | None = None
        _all.add(self)

    def __enter__(self) -> Session:
        """Hold the connection for the length of the block."""
        self._lock.acquire()
        try:
            if self._session is None:
                self._session = self._connect()
            self._session.start()
        except BaseException as error:
            self._leave(error)
            raise
        return self._session

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._leave(error)

    def _leave(self, error: BaseException | None) -> None:
        try:
            if error is not None and (_is_broken(error) or not self._is_usable()):
                self.close()
        finally:
            self._lock.release()

    def _is_usable(self) -> bool:
        return self._session is None or self._session.is_usable()

    def close(self) -> None:
        """Close the connection, if there is one; the next use opens another."""
        with self._lock:
            session, self._session = self._session, None
            if session is not None:
                session.close()

    def after_fork(self) -> None:
        """Leave the parent's connection to the parent, and its lock, which a thread may have held."""
        self._lock = threading.RLock()
        session, self._session = self._session, None
        if session is not None:
            session.abandon()


def _is_broken(error: BaseException) -> bool:
    return isinstance(error, DatabaseUnavailableError) and not isinstance(error, _LEAVES_CONNECTION_GOOD)


def _after_fork() -> None:
    for connections in list(_all):
        connections.after_fork()


os.register_at_fork(after_in_child=_after_fork)
