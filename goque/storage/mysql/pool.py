"""Spare connections for an application's threads; PyMySQL has no pool of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from goque.storage.sql.session import Session

MAX_CONNECTIONS: Final = 4
"""Connections in the pool. The process has one more, outside of it."""

PATIENCE: Final = 2.0
"""Seconds that a thread waits for a free connection."""


class MysqlPool:
    """Up to four connections, which are opened on demand and kept.

    Args:
        connect: opens a connection.
    """

    def __init__(self, connect: Callable[[], Session]) -> None:
        self._connect = connect
        self.after_fork()

    def take(self) -> Session | None:
        """Return a connection, or None if all were in use for two seconds."""
        if not self._free.acquire(timeout=PATIENCE):
            return None
        try:
            return self._idle.pop() if self._idle else self._connect()
        except BaseException:
            self._free.release()
            raise

    def give_back(self, session: Session, *, broken: bool) -> None:
        """Take a connection back, and close it if it is broken."""
        if broken:
            session.close()
        else:
            self._idle.append(session)
        self._free.release()

    def forget_idle(self) -> None:
        """Close the connections that are not in use, because the server has just cut or refused another one."""
        self.close()

    def close(self) -> None:
        """Close every connection that is not in use; the next use opens others."""
        with suppress(IndexError):  # no idle connection is left
            while True:
                self._idle.pop().close()

    def after_fork(self) -> None:
        """Leave all connections to the parent process."""
        for session in getattr(self, "_idle", []):
            session.abandon()
        self._idle: list[Session] = []
        self._free = threading.BoundedSemaphore(MAX_CONNECTIONS)
