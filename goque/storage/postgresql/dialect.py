"""The PostgreSQL dialect: psycopg 3, and one connection for each process."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from typing import Any, ClassVar, Final, TypeVar

import psycopg

from goque.errors import DatabaseUnavailableError
from goque.storage.contract import Watcher
from goque.storage.instants import time_text
from goque.storage.postgresql import rows as postgresql_rows
from goque.storage.postgresql.asyncio_session import AsyncCallerSession
from goque.storage.postgresql.connection import DeadlineConnection
from goque.storage.postgresql.errors import refused
from goque.storage.postgresql.finished_listener import NOTIFY_FINISHED, FinishedListener, WatchedIds
from goque.storage.postgresql.limits import PostgresqlKeys
from goque.storage.postgresql.listening_connection import ListeningConnection
from goque.storage.postgresql.pool import PostgresqlPool
from goque.storage.postgresql.session import (
    MIGRATION_LOCK,
    CallerSession,
    Clock,
    PostgresqlSession,
)
from goque.storage.postgresql.statements import (
    COPY_TASKS,
    NOTIFY,
    NOTIFYING_STATEMENTS,
    POSTGRESQL_STATEMENTS,
)
from goque.storage.postgresql.url import connection_options
from goque.storage.postgresql.watcher import PostgresqlWatcher
from goque.storage.postgresql.writable_connection import WritableConnection
from goque.storage.sql import batches
from goque.storage.sql import steps as ask
from goque.storage.sql.caller_connection import not_of_driver, unwrap_asyncio_connection, unwrap_connection
from goque.storage.sql.connections import Connections
from goque.storage.sql.dialect import Dialect
from goque.storage.sql.session import PlaceTakenError, Session
from goque.storage.sql.statements.complete import Statements
from goque.storage.sql.steps import Steps, await_steps
from goque.storage.url import hide_password
from goque.task import Task

ResultT = TypeVar("ResultT")

COLUMNS: Final = """
    SELECT attname
    FROM pg_attribute
    WHERE attrelid = to_regclass(:table) AND attnum > 0 AND NOT attisdropped"""

_ID: Final = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}")


class PostgresqlDialect(Dialect):
    """A PostgreSQL database.

    Args:
        url: the storage URL.
        clock: returns the time instead of the server's clock; for tests.
    """

    name: ClassVar[str] = "postgresql"
    creates_schema: ClassVar[bool] = False
    copies: ClassVar[bool] = True
    needs_claim_cursor: ClassVar[bool] = True
    conflicts_abort: ClassVar[bool] = True
    now_text: ClassVar[str] = """to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""
    script_begin: ClassVar[str] = f"BEGIN;\nSELECT pg_advisory_xact_lock({MIGRATION_LOCK});"

    time = staticmethod(time_text)
    read_time = staticmethod(postgresql_rows.read_time)
    read_text = staticmethod(postgresql_rows.read_text)
    read_task = staticmethod(postgresql_rows.read_task)
    task_params = staticmethod(batches.task_params)
    encode_tasks = staticmethod(batches.encode_tasks)
    encode_claims = staticmethod(batches.encode_claims)
    encode_moves = staticmethod(batches.encode_moves)
    encode_list = staticmethod(batches.encode_list)

    def __init__(self, url: str, *, clock: Clock | None = None) -> None:
        self.url = hide_password(url)
        self.clock = clock
        self.options, self.notifies = connection_options(url)
        self.watched = WatchedIds()
        self._connects = 0
        self._ends = FinishedListener(self.open, self.times_connected)
        self.keys = PostgresqlKeys()
        self.sql: Statements = NOTIFYING_STATEMENTS if self.notifies else POSTGRESQL_STATEMENTS

    def connect(self) -> PostgresqlSession:
        """Open a connection in autocommit mode, on which every wait has a deadline."""
        session = PostgresqlSession(self.open(), self.url, self.clock)
        self._connects += 1
        return session

    def times_connected(self) -> int:
        """Return how often the main connection was opened. Listeners connect anew when this number changes."""
        return self._connects

    def open(self) -> WritableConnection:
        """Open a connection without a session around it."""
        try:
            connection = WritableConnection.connect(**self.options)
        except psycopg.Error as error:
            raise refused(error, self.url) from error
        encoding = connection.info.parameter_status("server_encoding")
        if encoding not in (None, "UTF8"):
            connection.close()
            raise DatabaseUnavailableError(
                f"{self.url} has the encoding {encoding}, which lacks some characters; use a UTF8 database"
            )
        postgresql_rows.register(connection)
        return connection

    def pool(self) -> PostgresqlPool:
        """Return a pool for an application's threads."""
        return PostgresqlPool(WritableConnection, self.options, self._wrap)

    def _wrap(self, connection: DeadlineConnection) -> PostgresqlSession:
        postgresql_rows.register(connection)
        return PostgresqlSession(connection, self.url, self.clock)

    def wrap(self, conn: Any) -> CallerSession:
        """Wrap the caller's connection: psycopg's own, SQLAlchemy's or Django's."""
        connection = unwrap_connection(conn)
        if not isinstance(connection, psycopg.Connection):
            raise not_of_driver(connection, "psycopg", f"{self.url} is a PostgreSQL database")
        return CallerSession(connection, "the database of conn", self.clock)

    async def join(self, conn: Any, steps: Steps[ResultT], *, writes: bool) -> ResultT:
        """Run steps on the caller's psycopg.AsyncConnection, or on SQLAlchemy's connection or session."""
        connection = await unwrap_asyncio_connection(conn)
        if not isinstance(connection, psycopg.AsyncConnection):
            raise not_of_driver(connection, "psycopg", f"{self.url} is a PostgreSQL database")
        session = AsyncCallerSession(connection, "the database of conn", self.clock)
        async with session.transaction() if writes else nullcontext():
            return await await_steps(session, steps)

    def watch(self, connections: Connections, types: Sequence[str]) -> Watcher:
        """Return a watcher that listens on its own connection, or that is polled if notifications are off."""
        connect = self.open if self.notifies else None
        watcher = PostgresqlWatcher(connect, types, self.watched, self.times_connected)
        connections.second = ListeningConnection(watcher, self._wrap)
        return watcher

    def on_finished(
        self, task_id: str, task_type: str, call: Callable[[], None]
    ) -> AbstractContextManager[Callable[[], bool]]:
        """Listen for finished tasks, in one thread for all waiters of this process."""
        if not self.notifies:
            return super().on_finished(task_id, task_type, call)
        return self._ends.told(task_id, task_type, call)

    def notify_finished(self, session: Session, task_ids: Iterable[str]) -> None:
        """Notify the waiters of these tasks when the transaction commits."""
        if wanted := self.watched.among(task_ids):
            session.rows(NOTIFY_FINISHED, {"batch": self.encode_list(wanted)})

    def forget(self) -> None:
        """Stop the thread that listens for finished tasks."""
        self._ends.close()

    def columns(self, session: Session, table: str) -> set[str]:
        """Return the names of a table's columns, or an empty set if there is no such table."""
        return {row[0] for row in session.rows(COLUMNS, {"table": table})}

    def is_task_id(self, text: str) -> bool:
        """Return whether a text is a UUID. The server raises an error for any other text."""
        return isinstance(text, str) and _ID.fullmatch(text) is not None

    def due_priorities(
        self, session: Session, task_type: str, priority: int | None = None
    ) -> Iterable[int | None]:
        """Return what is asked for, because the claim statement walks the priorities itself, in one round trip."""
        del session, task_type
        return (priority,)

    def insert_one(self, task: Task) -> Steps[tuple[datetime, datetime] | None]:
        """Insert a task in one round trip, with the server's time."""
        rows = yield ask.rows(
            self.sql.insert_task,
            {
                "id": task.id,
                "type": task.type,
                "external_id": task.external_id,
                "payload": task.raw_payload,
                "metadata": batches.metadata_text(task),
                "run_at": None if task.delay or not task.next_attempt_at else time_text(task.next_attempt_at),
                "delay": task.delay,
                "priority": task.priority,
                "unique_key": task.unique_key,
                "limit_key": task.stored_limit_key,
                "clock": None if self.clock is None else time_text(self.clock()),
            },
        )
        return (rows[0][0], rows[0][1]) if rows else None

    def is_duplicate(self, error: Exception) -> bool:
        """Return whether a unique index refused a statement."""
        return isinstance(error, psycopg.errors.UniqueViolation)

    def is_unseen_conflict(self, error: Exception) -> bool:
        """Return whether an insert met a row that is newer than the caller's snapshot."""
        return isinstance(error.__cause__, psycopg.errors.SerializationFailure)

    def copy_tasks(self, session: Session, tasks: Sequence[Task]) -> None:
        """Insert tasks by COPY."""
        assert isinstance(session, PostgresqlSession)
        now, text = session.now, time_text(session.now)
        try:
            session.copy(COPY_TASKS, (batches.copied_row(task, now, text) for task in tasks))
        except psycopg.errors.UniqueViolation as error:
            raise PlaceTakenError from error

    def announce(self, task_types: set[str]) -> Steps[None]:
        """Notify each type's channel once."""
        if self.notifies and task_types:
            yield ask.rows(NOTIFY, {"batch": self.encode_list(sorted(task_types))})
