"""The PostgreSQL dialect: psycopg 3, one connection a process, and nothing in the session but LISTEN.

Every transaction begins with its own settings (`SET LOCAL`), so that a transaction pooler may stand between.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any, ClassVar, Final, Self, TypeVar

import psycopg
from psycopg import capabilities
from psycopg.pq import TransactionStatus
from psycopg.rows import tuple_row

from goque.errors import ConfigurationError, DatabaseUnavailableError
from goque.storage import batches, postgresql_rows
from goque.storage.caller import driver_connection
from goque.storage.connections import Connections
from goque.storage.dialect import Dialect, Row, Session
from goque.storage.instants import later, time_text
from goque.storage.named import percent_named
from goque.storage.postgresql_errors import refused, translate
from goque.storage.postgresql_spares import PostgresqlSpares
from goque.storage.postgresql_statements import NOTIFY, NOTIFYING_STATEMENTS, POSTGRESQL_STATEMENTS
from goque.storage.postgresql_url import connection_options
from goque.storage.postgresql_watcher import PostgresqlWatcher
from goque.storage.statements import Statements
from goque.storage.storage import Watcher
from goque.storage.url import hide_password
from goque.task import Task

ResultT = TypeVar("ResultT")

DEADLINE: Final = 8.0
"""Seconds that the server may be silent; the server itself ends what takes longer a second before."""

CANCEL_PATIENCE: Final = 1.0
SLOW_DEADLINE: Final = 120.0
MIGRATION_DEADLINE: Final = 6 * 3600.0
MIGRATION_LOCK: Final = 5_720_115_436_920_071_283
"""The advisory lock that migrations take: one database, one migration at a time."""

NOW: Final = "SELECT CAST(extract(epoch FROM now()) * 1000000 AS bigint)"

BEGIN: Final = f"""
    BEGIN ISOLATION LEVEL READ COMMITTED;
    SET LOCAL statement_timeout = '7s';
    SET LOCAL lock_timeout = '5s';
    SET LOCAL enable_seqscan = off;
    SET LOCAL enable_bitmapscan = off;
    SET LOCAL enable_hashjoin = off;
    SET LOCAL enable_mergejoin = off;
    SET LOCAL enable_sort = off;
    SET LOCAL jit = off;
    {NOW}"""
"""One message to the server; the planner's choices are taken from it because a queue's statistics mislead it."""

BEGIN_MIGRATION: Final = f"""
    BEGIN ISOLATION LEVEL READ COMMITTED;
    SET LOCAL statement_timeout = 0;
    SET LOCAL lock_timeout = 0;
    SELECT pg_advisory_xact_lock({MIGRATION_LOCK});
    {NOW}"""

COLUMNS: Final = """
    SELECT attname
    FROM pg_attribute
    WHERE attrelid = to_regclass(:table) AND attnum > 0 AND NOT attisdropped"""

_ID: Final = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}")

Clock = Callable[[], datetime]


class DeadlineConnection(psycopg.Connection[tuple[Any, ...]]):
    """A connection that does not wait for ever: a stopped server is silent, and no error comes from it."""

    deadline: float = DEADLINE

    def wait(self, gen: Generator[Any, Any, ResultT], *args: Any, **kwargs: Any) -> ResultT:
        """Run a conversation with the server, with an end; what still runs there then is called off."""
        try:
            return super().wait(_with_deadline(gen, self.deadline), *args, **kwargs)
        except _SilenceError:
            if capabilities.has_cancel_safe():
                with suppress(psycopg.Error):
                    self.cancel_safe(timeout=CANCEL_PATIENCE)
            raise


class _SilenceError(psycopg.OperationalError):
    """The server said nothing for too long."""


def _with_deadline(gen: Generator[Any, Any, ResultT], deadline: float) -> Generator[Any, Any, ResultT]:
    end = time.monotonic() + deadline
    try:
        state = next(gen)
        while True:
            ready = yield state
            if not ready and time.monotonic() > end:
                raise _SilenceError(f"no answer within {deadline:g} s")
            state = gen.send(ready)
    except StopIteration as stop:
        result: ResultT = stop.value
        return result


class PostgresqlDialect(Dialect):
    """A PostgreSQL database.

    Args:
        url: the storage URL.
        clock: what time it is; tests move it, and else it is the server's.
    """

    name: ClassVar[str] = "postgresql"
    creates_schema: ClassVar[bool] = False

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
        self.sql: Statements = NOTIFYING_STATEMENTS if self.notifies else POSTGRESQL_STATEMENTS

    def connect(self) -> PostgresqlSession:
        """Open a connection in autocommit, whose every wait has an end."""
        return PostgresqlSession(self.open(), self.url, self.clock)

    def open(self) -> DeadlineConnection:
        """Open a plain connection of the driver's."""
        try:
            connection = DeadlineConnection.connect(**self.options)
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

    def spares(self) -> PostgresqlSpares:
        """Return a pool for an application's threads, which is made when it is needed."""
        return PostgresqlSpares(DeadlineConnection, self.options, self._wrap)

    def _wrap(self, connection: DeadlineConnection) -> PostgresqlSession:
        postgresql_rows.register(connection)
        return PostgresqlSession(connection, self.url, self.clock)

    def adopt(self, conn: Any) -> AdoptedSession:
        """Wrap the caller's psycopg connection, or what SQLAlchemy or Django wrap around one."""
        connection = driver_connection(conn)
        if not isinstance(connection, psycopg.Connection):
            raise ConfigurationError(
                f"conn must be a psycopg connection, for {self.url} is a PostgreSQL database; "
                f"it is a {type(connection).__name__}"
            )
        return AdoptedSession(connection, "the database of conn", self.clock)

    def watch(self, connections: Connections, task_type: str) -> Watcher:
        """Listen on a connection of its own, or be polled where nobody tells."""
        del connections
        return PostgresqlWatcher(self.open if self.notifies else None, task_type)

    def columns(self, session: Session, table: str) -> set[str]:
        """Return the names of a table's columns, none where there is no such table."""
        return {row[0] for row in session.rows(COLUMNS, {"table": table})}

    def is_task_id(self, text: str) -> bool:
        """Return whether a text is a UUID: the server takes nothing else."""
        return isinstance(text, str) and _ID.fullmatch(text) is not None

    def insert_one(self, session: Session, task: Task) -> tuple[datetime, datetime] | None:
        """Insert a task in one round trip, dated by the server."""
        rows = session.rows(
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
                "clock": None if self.clock is None else time_text(self.clock()),
            },
        )
        return (rows[0][0], rows[0][1]) if rows else None

    def announce(self, session: Session, task_types: set[str]) -> None:
        """Notify each type's channel once."""
        if self.notifies and task_types:
            session.rows(NOTIFY, {"batch": self.encode_list(sorted(task_types))})


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

    def rows(self, sql: str, params: Mapping[str, Any] | None = None) -> list[Row]:
        """Run a statement and return all its rows."""
        with self._translated():
            cursor = self._cursor.execute(percent_named(sql), self._bind(sql, params), prepare=False)
            return cursor.fetchall() if cursor.description else []

    def run(self, sql: str, params: Mapping[str, Any] | None = None) -> int:
        """Run a statement and return how many rows it changed."""
        with self._translated():
            return self._cursor.execute(percent_named(sql), self._bind(sql, params), prepare=False).rowcount

    def run_many(self, sql: str, params: Iterable[Mapping[str, Any]]) -> int:
        """Run a statement once for each set of parameters, in one round trip for all."""
        bound = [self._bind(sql, each) for each in params]
        if not bound:
            return 0
        with self._translated():
            self._cursor.executemany(percent_named(sql), bound)
            return self._cursor.rowcount

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Open a transaction with its deadlines and its plans."""
        with self._framed(BEGIN):
            yield

    def reading(self) -> Any:
        """Open a transaction for its plans."""
        return self.transaction()

    @contextmanager
    def slowly(self) -> Iterator[None]:
        """Let a statement take two minutes."""
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

    def is_usable(self) -> bool:
        """Return whether no statement and no transaction is under way."""
        return self.connection.pgconn.transaction_status == TransactionStatus.IDLE

    @contextmanager
    def _framed(self, begin: str) -> Iterator[None]:
        try:
            self._begin(begin)
            yield
            with self._translated():
                self.connection.execute("COMMIT")
        except BaseException:
            with suppress(psycopg.Error):  # what went wrong first is what the caller must hear of
                if self.connection.pgconn.transaction_status != TransactionStatus.ACTIVE:
                    self.connection.execute("ROLLBACK")
            raise

    def _begin(self, begin: str) -> None:
        with self._translated():
            cursor = self.connection.execute(begin)  # without parameters: several statements, one message
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

    def _translated(self) -> _Translated:
        return _Translated(self.where)

    def _bind(self, sql: str, params: Mapping[str, Any] | None) -> Mapping[str, Any]:
        bound = dict(params) if params else {}
        if ":now" in sql:
            bound["now"] = time_text(self.now)
        if "age" in bound:
            bound["before"] = time_text(later(self.now, -bound["age"]))
        return bound

    def _new_cursor(self) -> psycopg.Cursor[Any]:
        cursor = psycopg.Cursor(self.connection, row_factory=tuple_row)
        cursor.format = psycopg.pq.Format.BINARY
        postgresql_rows.register(cursor)
        return cursor


class AdoptedSession(PostgresqlSession):
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
            with self.connection.transaction():
                yield
        else:
            yield

    def close(self) -> None:
        """Leave the connection open: it is the caller's."""


class _Translated:
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
