"""A connection to PostgreSQL: every wait has an end, and every transaction its own settings.

A transaction pooler may stand between: then nothing is kept in the session. With a server itself, statements that
come again are prepared, for parsing and planning a single enqueue takes as long as doing it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from datetime import datetime
from typing import Any, Final, Self

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.rows import tuple_row

from goque.storage.instants import later, time_text
from goque.storage.postgresql import rows as postgresql_rows
from goque.storage.postgresql.connection import COMMITTED_ALONE, DEADLINE, PLANS, DeadlineConnection
from goque.storage.postgresql.errors import translate
from goque.storage.sql.placeholders import percent_placeholders
from goque.storage.sql.session import CommitUnansweredError, Row, Session

SLOW_DEADLINE: Final = 120.0
MIGRATION_DEADLINE: Final = 6 * 3600.0
MIGRATION_LOCK: Final = 5_720_115_436_920_071_283
"""The advisory lock that migrations take: one database, one migration at a time."""

NOW: Final = "SELECT CAST(extract(epoch FROM statement_timestamp()) * 1000000 AS bigint)"
"""As INSERT has it: a task that was enqueued in a caller's transaction is due in it, whenever that began."""

BEGIN: Final = f"""
    BEGIN ISOLATION LEVEL READ COMMITTED;
    {" ".join(f"SET LOCAL {name} = {value};" for name, value in PLANS.items())}
    {NOW}"""
"""One message to the server."""

BEGIN_PINNED: Final = f"BEGIN ISOLATION LEVEL READ COMMITTED; {NOW}"

WAITS_FOR_STANDBY: Final = "SELECT 1 FROM pg_stat_activity WHERE pid = :pid AND wait_event = 'SyncRep'"

BEGIN_MIGRATION: Final = f"""
    BEGIN ISOLATION LEVEL READ COMMITTED;
    SET LOCAL statement_timeout = 0;
    SET LOCAL lock_timeout = 0;
    SELECT pg_advisory_xact_lock({MIGRATION_LOCK});
    {NOW}"""

Clock = Callable[[], datetime]


class PostgresqlSession(Session):
    """A connection of our own, in autocommit; a transaction's settings are its own."""

    def __init__(self, connection: DeadlineConnection, where: str, clock: Clock | None) -> None:
        self.connection: psycopg.Connection[Any] = connection
        self.where = where
        self._clock = clock
        self._now: datetime | None = None
        self._cursor = self._new_cursor()

    @property
    def now(self) -> datetime:
        """The server's clock, read at the start of the transaction or when it is first asked for."""
        if self._now is None:
            self._now = self._clock() if self._clock else postgresql_rows.instant(self.rows(NOW)[0][0])
        return self._now

    def start(self) -> None:
        """Forget what time it was."""
        self._now = None
        if isinstance(self.connection, DeadlineConnection):
            with self._translated():
                self.connection.note_use()

    def rows(self, sql: str, params: Mapping[str, Any] | None = None) -> list[Row]:
        """Run a statement and return all its rows."""
        with self._translated():
            cursor = self._cursor.execute(percent_placeholders(sql), self._bind(sql, params))
            return cursor.fetchall() if cursor.pgresult is not None and cursor.pgresult.nfields else []

    def run(self, sql: str, params: Mapping[str, Any] | None = None) -> int:
        """Run a statement and return how many rows it changed."""
        with self._translated():
            return self._cursor.execute(percent_placeholders(sql), self._bind(sql, params)).rowcount

    def run_many(self, sql: str, params: Iterable[Mapping[str, Any]]) -> int:
        """Run a statement once for each set of parameters, in one round trip for all."""
        bound = [self._bind(sql, each) for each in params]
        if not bound:
            return 0
        with self._translated():
            self._cursor.executemany(percent_placeholders(sql), bound)
            return self._cursor.rowcount

    def copy(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """Insert many rows by COPY."""
        with self._translated(), self._cursor.copy(sql) as copy:
            for row in rows:
                copy.write_row(row)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Open a transaction with its deadlines and its plans."""
        with self._framed(BEGIN_PINNED if _is_pinned(self.connection) else BEGIN):
            yield

    @contextmanager
    def pinned_transaction(self) -> Iterator[None]:
        """Open a transaction, on a session that is pinned where that can be."""
        self._pin()
        with self.transaction():
            yield

    def autocommit(self) -> AbstractContextManager[None]:
        """Let a statement commit by itself where the session is pinned, and else have its transaction."""
        return self.statement() if self._pin() else self.transaction()

    def statement(self) -> AbstractContextManager[None]:
        """Let a statement commit by itself; it is not canceled, since it may be committing."""
        connection = self.connection
        return (
            Committing(connection, self.where)
            if isinstance(connection, DeadlineConnection)
            else nullcontext()
        )

    def pinned_read(self) -> AbstractContextManager[None]:
        """Open a transaction for its plans, where the session does not have them."""
        return nullcontext() if self._pin() else self.transaction()

    def statement_timeout(self, seconds: float) -> AbstractContextManager[None]:
        """Wait so long for an answer."""
        return self._deadline(min(seconds, DEADLINE))

    @contextmanager
    def long_read(self) -> Iterator[None]:
        """Let a statement take two minutes, by any plan."""
        if isinstance(self.connection, DeadlineConnection):
            with self._translated():
                self.connection.unpin()
        with self._deadline(SLOW_DEADLINE):
            yield

    @contextmanager
    def migrating(self) -> Iterator[None]:
        """Open a transaction that holds the lock of all migrations of this database."""
        with self._deadline(MIGRATION_DEADLINE), self._framed(BEGIN_MIGRATION):
            yield

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()

    def abandon(self) -> None:
        """Keep the parent's connection unused and unclosed."""
        _abandoned.append(self.connection)

    def awaits_answer(self) -> bool:
        """Return whether a commit was sent whose answer is still to come."""
        return isinstance(self.connection, DeadlineConnection) and self.connection.awaits_answer

    def await_answer(self) -> None:
        """Wait a while for the answer to that commit."""
        assert isinstance(self.connection, DeadlineConnection)
        with self._translated():
            self.connection.await_answer()

    def sees_waiting_for_standby(self, other: Session) -> bool:
        """Return whether the commit of another session waits for a synchronous standby."""
        assert isinstance(other, PostgresqlSession)
        rows = self.rows(WAITS_FOR_STANDBY, {"pid": other.connection.info.backend_pid})
        return bool(rows)

    def is_usable(self) -> bool:
        """Return whether no statement and no transaction is under way."""
        return self.connection.pgconn.transaction_status == TransactionStatus.IDLE

    def _pin(self) -> bool:
        with self._translated():
            return isinstance(self.connection, DeadlineConnection) and self.connection.pin()

    @contextmanager
    def _framed(self, begin: str) -> Iterator[None]:
        try:
            self._begin(begin)
            yield
            with self._translated(), self.statement():
                self.connection.execute("COMMIT", prepare=False)
        except BaseException:
            with suppress(psycopg.Error):  # what went wrong first is what the caller must hear of
                if self.connection.pgconn.transaction_status != TransactionStatus.ACTIVE:
                    self.connection.execute("ROLLBACK", prepare=False)
            raise

    def _begin(self, begin: str) -> None:
        with self._translated():
            cursor = self.connection.execute(
                begin, prepare=False
            )  # without parameters: several statements, one message
            while cursor.nextset():
                pass
            row = cursor.fetchone()
        self._now = self._clock() if self._clock else postgresql_rows.instant(row[0] if row else 0)

    @contextmanager
    def _deadline(self, seconds: float) -> Iterator[None]:
        connection = self.connection
        if not isinstance(connection, DeadlineConnection):
            yield
            return
        connection.deadline, before = seconds, connection.deadline
        try:
            yield
        finally:
            connection.deadline = before

    def _translated(self) -> Translated:
        return Translated(self.where)

    def _bind(self, sql: str, params: Mapping[str, Any] | None) -> Mapping[str, Any]:
        bound = dict(params) if params else {}
        if ":now" in sql:
            bound["now"] = time_text(self.now)
        if ":clock" in sql:
            bound["clock"] = None if self._clock is None else time_text(self._clock())
        if "age" in bound:
            bound["before"] = time_text(later(self.now, -bound["age"]))
        return bound

    def _new_cursor(self) -> psycopg.Cursor[Any]:
        cursor = psycopg.Cursor(self.connection, row_factory=tuple_row)
        cursor.format = psycopg.pq.Format.BINARY
        postgresql_rows.register(cursor)
        return cursor


def _is_pinned(connection: psycopg.Connection[Any]) -> bool:
    return isinstance(connection, DeadlineConnection) and connection.is_pinned


class CallerSession(PostgresqlSession):
    """The caller's connection, in the caller's transaction, with cursors of our own."""

    def __init__(self, connection: psycopg.Connection[Any], where: str, clock: Clock | None) -> None:
        self.connection = connection
        self.where = where
        self._clock = clock
        self._now = None
        self._cursor = self._new_cursor()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Join the caller's transaction, which psycopg begins at the first statement; in autocommit, have one."""
        if self.connection.autocommit and self.is_usable():
            with self._translated(), self.connection.transaction():
                yield
        else:
            yield

    def close(self) -> None:
        """Leave the connection open: it is the caller's."""


class Committing:
    """The time in which a statement may commit: it is not canceled, and committed only if the standby has it too."""

    __slots__ = ("_connection", "_where")

    def __init__(self, connection: DeadlineConnection, where: str) -> None:
        self._connection = connection
        self._where = where

    def __enter__(self) -> None:
        self._connection.may_be_committing = True

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._connection.may_be_committing = False
        if self._connection.took_commit_alone() and error is None:
            raise CommitUnansweredError(f"{self._where}: {COMMITTED_ALONE}")


class Translated:
    """Turn the driver's errors into goque's; a class, for a generator costs more than the statement's binding."""

    __slots__ = ("_where",)

    def __init__(self, where: str) -> None:
        self._where = where

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, psycopg.Error):
            raise translate(error, self._where) or error from error


_abandoned: Final[list[Any]] = []
