"""A connection to PostgreSQL: every wait has a deadline, and every transaction has its own settings.

Behind a transaction pooler, goque keeps no state in the session. On a direct connection it prepares frequent
statements, because parsing and planning a single enqueue takes as long as running it.
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
"""The advisory lock of migrations: one migration at a time in each database."""

NOW: Final = "SELECT CAST(extract(epoch FROM statement_timestamp()) * 1000000 AS bigint)"
"""The same time as in INSERT: a task that a caller's transaction enqueued is due in that transaction at once, even if
the transaction began earlier."""

BEGIN: Final = f"""
    BEGIN ISOLATION LEVEL READ COMMITTED;
    {" ".join(f"SET LOCAL {name} = {value};" for name, value in PLANS.items())}
    {NOW}"""
"""Several statements, which are sent as one message."""

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
    """A connection of goque's, in autocommit mode; settings apply to one transaction only."""

    def __init__(self, connection: DeadlineConnection, where: str, clock: Clock | None) -> None:
        self.connection: psycopg.Connection[Any] = connection
        self.where = where
        self._clock = clock
        self._now: datetime | None = None
        self._cursor = self._new_cursor()

    @property
    def now(self) -> datetime:
        """The server's clock, read at the start of the transaction or at the first use."""
        if self._now is None:
            self._now = self._clock() if self._clock else postgresql_rows.instant(self.rows(NOW)[0][0])
        return self._now

    def start(self) -> None:
        """Forget the time that was read before, and count the use of the connection."""
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
        """Open a transaction with deadlines and pinned plans."""
        with self._framed(BEGIN_PINNED if _is_pinned(self.connection) else BEGIN):
            yield

    @contextmanager
    def pinned_transaction(self) -> Iterator[None]:
        """Open a transaction, and pin the plans for the whole session if possible."""
        self._pin()
        with self.transaction():
            yield

    def autocommit(self) -> AbstractContextManager[None]:
        """Let a statement commit by itself if the session is pinned, else run it in a transaction."""
        return self.statement() if self._pin() else self.transaction()

    def statement(self) -> AbstractContextManager[None]:
        """Let a statement commit by itself. It is not canceled at the deadline, because it may be committing."""
        connection = self.connection
        return (
            Committing(connection, self.where)
            if isinstance(connection, DeadlineConnection)
            else nullcontext()
        )

    def pinned_read(self) -> AbstractContextManager[None]:
        """Open a transaction that pins the plans, unless the session is pinned."""
        return nullcontext() if self._pin() else self.transaction()

    def statement_timeout(self, seconds: float) -> AbstractContextManager[None]:
        """Wait at most this long for each answer."""
        return self._deadline(min(seconds, DEADLINE))

    @contextmanager
    def long_read(self) -> Iterator[None]:
        """Let a statement take two minutes and use any plan."""
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
        """Keep the parent's connection open and unused."""
        _abandoned.append(self.connection)

    def awaits_answer(self) -> bool:
        """Return whether a commit was sent and is not answered yet."""
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
        """Return whether no statement and no transaction is in progress."""
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
            with suppress(psycopg.Error):  # the caller needs the first error
                if self.connection.pgconn.transaction_status != TransactionStatus.ACTIVE:
                    self.connection.execute("ROLLBACK", prepare=False)
            raise

    def _begin(self, begin: str) -> None:
        with self._translated():
            # without parameters, several statements can be one message
            cursor = self.connection.execute(begin, prepare=False)
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
    """The caller's connection, in the caller's transaction, with a cursor of goque's."""

    def __init__(self, connection: psycopg.Connection[Any], where: str, clock: Clock | None) -> None:
        self.connection = connection
        self.where = where
        self._clock = clock
        self._now = None
        self._cursor = self._new_cursor()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Join the caller's transaction, which psycopg begins at the first statement; in autocommit mode, open one."""
        if self.connection.autocommit and self.is_usable():
            with self._translated(), self.connection.transaction():
                yield
        else:
            yield

    def close(self) -> None:
        """Leave the connection open: it is the caller's."""


class Committing:
    """A block in which a statement may commit. It is not canceled; a commit without the standby raises an error."""

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
    """Turn the driver's errors into goque's. It is a class, because a generator would cost too much time here."""

    __slots__ = ("_where",)

    def __init__(self, where: str) -> None:
        self._where = where

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, psycopg.Error):
            raise translate(error, self._where) or error from error


_abandoned: Final[list[Any]] = []
