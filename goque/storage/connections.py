"""One connection for each process, handed to one thread at a time.

SQLite admits one writer at a time whatever we do: threads that queue for a lock here wake up in microseconds,
where connections that queue for the file sleep and poll. A connection never crosses a fork.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from goque.errors import DatabaseUnavailableError, SchemaError
from goque.storage.dialect import DatabaseLockedError, Session

_all: Final[weakref.WeakSet[Connections]] = weakref.WeakSet()


class Connections:
    """Opens the connection of this process when it is first used, and again after it was lost."""

    def __init__(self, connect: Callable[[], Session]) -> None:
        self._connect = connect
        self._lock = threading.RLock()
        self._session: Session | None = None
        _all.add(self)

    @contextmanager
    def use(self) -> Iterator[Session]:
        """Hold the connection for the length of the block."""
        with self._lock:
            session = self._session
            if session is None:
                session = self._session = self._connect()
            try:
                session.start()
                yield session
            except (DatabaseLockedError, SchemaError):
                raise
            except DatabaseUnavailableError:
                self.close()
                raise

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


def _after_fork() -> None:
    for connections in list(_all):
        connections.after_fork()


os.register_at_fork(after_in_child=_after_fork)
