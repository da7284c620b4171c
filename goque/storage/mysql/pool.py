"""Spare connections for an application's threads; PyMySQL has no pool of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from goque.storage.sql.session import Session

MAX_CONNECTIONS: Final = 4
"""With the connection that a process has anyway it holds five at most."""

PATIENCE: Final = 2.0


class MysqlPool:
    """Up to four connections, made when they are needed and kept.

    Args:
        connect: opens one.
    """

    def __init__(self, connect: Callable[[], Session]) -> None:
        self._connect = connect
        self.after_fork()

    def take(self) -> Session | None:
        """Return a connection, or None when none came free within two seconds."""
        if not self._free.acquire(timeout=PATIENCE):
            return None
        try:
            return self._idle.pop() if self._idle else self._connect()
        except BaseException:
            self._free.release()
            raise

    def give_back(self, session: Session, *, broken: bool) -> None:
        """Take a connection back, to be closed if it is broken."""
        if broken:
            session.close()
        else:
            self._idle.append(session)
        self._free.release()

    def forget_idle(self) -> None:
        """Close the connections that are not in use: the server has just cut or refused another one."""
        self.close()

    def close(self) -> None:
        """Close every connection that is not in use; the next use opens others."""
        with suppress(IndexError):  # other threads take some meanwhile
            while True:
                self._idle.pop().close()

    def after_fork(self) -> None:
        """Leave all to the parent."""
        for session in getattr(self, "_idle", []):
            session.abandon()
        self._idle: list[Session] = []
        self._free = threading.BoundedSemaphore(MAX_CONNECTIONS)
