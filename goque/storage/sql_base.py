"""How the parts of a SQL storage run their statements: alone, in a transaction, or in the caller's."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final, TypeVar

from goque.storage.connections import Connections
from goque.storage.dialect import DatabaseLockedError, Dialect, Session
from goque.storage.storage import TaskStorage

ResultT = TypeVar("ResultT")

PATIENCE: Final = 30.0
"""Seconds that a call of an application's waits for other writers; the tree tries again by itself."""


class SqlBase(TaskStorage):
    """A dialect and its connection."""

    def __init__(self, dialect: Dialect, *, patience: float = PATIENCE) -> None:
        self._patience = patience
        self.url = dialect.url
        self._dialect = dialect
        self._sql = dialect.sql
        self._connections = Connections(dialect.connect)

    def _read(self, work: Callable[[Session], ResultT], conn: Any = None) -> ResultT:
        """Run statements that commit by themselves, or in the caller's transaction."""
        if conn is not None:
            return work(self._dialect.adopt(conn))
        with self._connections as session:
            return work(session)

    def _write(
        self, work: Callable[[Session], ResultT], conn: Any = None, *, patient: bool = False
    ) -> ResultT:
        """Run statements in one transaction, tried again while another writer holds the database."""
        if conn is not None:
            session = self._dialect.adopt(conn)
            with session.transaction():
                return work(session)
        return _insist(lambda: self._write_once(work), self._patience if patient else 0.0)

    def _write_alone(self, work: Callable[[Session], ResultT], conn: Any = None) -> ResultT:
        """Run one statement that commits by itself, with the patience of an application's call."""
        if conn is not None:
            return self._write(work, conn)
        return _insist(lambda: self._read(work), self._patience)

    def _write_once(self, work: Callable[[Session], ResultT]) -> ResultT:
        with self._connections as session, session.transaction():
            return work(session)


def _insist(attempt: Callable[[], ResultT], patience: float) -> ResultT:
    give_up = time.monotonic() + patience
    while True:
        try:
            return attempt()
        except DatabaseLockedError:
            if time.monotonic() >= give_up:
                raise
