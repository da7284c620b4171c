"""How the parts of a SQL storage run their statements: alone, in a transaction, or in the caller's."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any, Final, TypeVar

from goque.storage.contract import NodeRow, TaskStorage
from goque.storage.sql.connections import Connections
from goque.storage.sql.dialect import Dialect
from goque.storage.sql.session import ConnectionLostError, DatabaseLockedError, Row, Session
from goque.storage.sql.statements import LockThenChange

ResultT = TypeVar("ResultT")

PATIENCE: Final = 30.0
"""Seconds that a call of an application's waits for other writers; the tree tries again by itself."""

PAUSE: Final = 0.02


class SqlBase(TaskStorage):
    """A dialect and its connection."""

    def __init__(self, dialect: Dialect, *, patience: float = PATIENCE) -> None:
        self._patience = patience
        self.url = dialect.url
        self._dialect = dialect
        self._sql = dialect.sql
        self._connections = Connections(dialect.connect, dialect.spares())

    def _read(self, work: Callable[[Session], ResultT], conn: Any = None, *, slow: bool = False) -> ResultT:
        """Run statements that only read, or that commit by themselves, or in the caller's transaction."""
        if conn is not None:
            return work(self._dialect.adopt(conn))

        def read() -> ResultT:
            with self._connections as session, session.slowly() if slow else nullcontext():
                return work(session)

        return _insist(read, 0.0, again=True)

    def _look(self, work: Callable[[Session], ResultT]) -> ResultT:
        """Run statements that only read and that the tree asks all the time: their plans are pinned."""

        def look() -> ResultT:
            with self._connections as session, session.reading():
                return work(session)

        return _insist(look, 0.0, again=True)

    def _write(
        self,
        work: Callable[[Session], ResultT],
        conn: Any = None,
        *,
        patient: bool = False,
        again: bool = False,
    ) -> ResultT:
        """Run statements in one transaction.

        Args:
            work: may run again where it is `patient`, after a failure that may or may not have taken effect.
            conn: the caller's own connection.
            patient: try again while other writers are in the way, and once after the connection was lost.
            again: try again once after the connection was lost, but wait for no other writer.
        """
        if conn is not None:
            session = self._dialect.adopt(conn)
            with session.transaction():
                return work(session)
        return _insist(
            lambda: self._write_once(work), self._patience if patient else 0.0, again=patient or again
        )

    def _write_alone(self, work: Callable[[Session], ResultT], conn: Any = None) -> ResultT:
        """Run one statement that commits by itself, with the patience of an application's call."""
        if conn is not None:
            return self._write(work, conn)

        def write() -> ResultT:
            with self._connections as session:
                return work(session)

        return _insist(write, self._patience, again=True)

    def _read_node(self, row: Row) -> NodeRow:
        text, instant = self._dialect.read_text, self._dialect.read_time
        node_id, seq, state, host, pid, started_at, heartbeat_at, info = row
        return NodeRow(
            id=text(node_id),
            seq=seq,
            state=text(state),
            host=text(host),
            pid=pid,
            started_at=instant(started_at),
            heartbeat_at=instant(heartbeat_at),
            info=None if info is None else text(info),
        )

    def _write_hot(
        self, work: Callable[[Session], ResultT], *, alone: bool = False, within: float | None = None
    ) -> ResultT:
        """Run statements that the tree runs all the time, in one transaction: who asks tries again by itself.

        Args:
            work: the statements.
            alone: it is one change, which may commit by itself.
            within: seconds that each statement may wait for the database, where that is less than usual.
        """

        def write() -> ResultT:
            with (
                self._connections as session,
                nullcontext() if within is None else session.within(within),
                session.alone() if alone else session.hot(),
            ):
                return work(session)

        return _insist(write, 0.0, again=False)

    def _write_once(self, work: Callable[[Session], ResultT]) -> ResultT:
        with self._connections as session, session.transaction():
            return work(session)

    def _change(
        self, session: Session, statement: str | LockThenChange, params: dict[str, Any]
    ) -> Sequence[Row]:
        """Run a statement that returns the rows that it changes."""
        if isinstance(statement, str):
            return session.rows(statement, params)
        rows = session.rows(statement.lock, params)
        if rows:
            session.run(statement.change, {**params, "ids": [row[0] for row in rows]})
        return rows


def _insist(attempt: Callable[[], ResultT], patience: float, *, again: bool) -> ResultT:
    give_up = time.monotonic() + patience
    while True:
        try:
            return attempt()
        except ConnectionLostError:
            if not again:
                raise
            again = False  # the connection may have died of old age while it was idle: a new one tells
        except DatabaseLockedError:
            if time.monotonic() >= give_up:
                raise
            time.sleep(random.uniform(0, PAUSE))  # noqa: S311 - keeps those who collided from doing it again
