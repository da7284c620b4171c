"""The dialect of MySQL and MariaDB: PyMySQL, READ COMMITTED, and every session in UTC."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any, ClassVar, Final, Self

import pymysql
from pymysql.constants import CLIENT, SERVER_STATUS
from pymysql.cursors import Cursor

from goque.errors import ConfigurationError
from goque.storage import mysql_rows
from goque.storage.caller import driver_connection
from goque.storage.connections import Connections
from goque.storage.dialect import ConnectionLostError, DatabaseLockedError, Dialect, Row, Session
from goque.storage.instants import due_at, later
from goque.storage.mysql_errors import DUPLICATE, EXISTS_ALREADY, refused, translate
from goque.storage.mysql_spares import MysqlSpares
from goque.storage.mysql_statements import MYSQL_STATEMENTS, PRESENT
from goque.storage.mysql_url import connection_options
from goque.storage.mysql_watcher import MysqlWatcher
from goque.storage.named import percent_named
from goque.storage.statements import Statements
from goque.storage.storage import Watcher
from goque.storage.url import hide_password
from goque.task import Task

DEADLINE: Final = 8.0
"""Seconds that the server may be silent."""

SLOW_DEADLINE: Final = 120.0
MIGRATION_DEADLINE: Final = 6 * 3600
MIGRATION_PATIENCE: Final = 600
"""Seconds that a migration waits for another one to end."""

SESSION: Final = """
    SET SESSION time_zone = '+00:00', sql_mode = 'STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION',
        innodb_lock_wait_timeout = 5"""
ISOLATION: Final = "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED"
"""REPEATABLE READ locks the gaps between rows too, and claims and inserts deadlock on those."""

NOW: Final = "SELECT UTC_TIMESTAMP(6), @@session.time_zone"
COLUMNS: Final = """
    SELECT column_name
    FROM information_schema.columns
    WHERE table_schema = DATABASE() AND table_name = :table"""

OLDEST_MYSQL: Final = (8, 0, 17)
OLDEST_MARIADB: Final = (10, 6, 0)
UTC_NAMES: Final = ("+00:00", "UTC")

Clock = Callable[[], datetime]


class MysqlDialect(Dialect):
    """A MySQL or MariaDB database.

    Args:
        url: the storage URL.
        clock: what time it is; tests move it, and else it is the server's.
    """

    name: ClassVar[str] = "mysql"
    creates_schema: ClassVar[bool] = False
    moves_at_once: ClassVar[int] = 500
    sql: Statements = MYSQL_STATEMENTS

    time = staticmethod(mysql_rows.time_text)
    read_time = staticmethod(mysql_rows.read_time)
    read_text = staticmethod(mysql_rows.read_text)
    read_task = staticmethod(mysql_rows.read_task)
    task_params = staticmethod(mysql_rows.task_params)
    encode_claims = staticmethod(mysql_rows.encode_claims)
    encode_moves = staticmethod(mysql_rows.encode_moves)
    encode_list = staticmethod(mysql_rows.encode_list)

    def __init__(self, url: str, *, clock: Clock | None = None) -> None:
        self.url = hide_password(url)
        self.clock = clock
        self.options = connection_options(url)

    def connect(self) -> MysqlSession:
        """Open a connection in autocommit, whose every wait has an end."""
        try:
            connection = pymysql.connect(
                **self.options,
                charset="utf8mb4",
                autocommit=True,
                client_flag=CLIENT.FOUND_ROWS,
                conv=mysql_rows.DECODERS,
                read_timeout=DEADLINE,
                write_timeout=DEADLINE,
                init_command=SESSION,
            )
        except (pymysql.Error, OSError) as error:
            raise refused(error, self.url) from error
        session = MysqlSession(connection, self.url, self.clock)
        try:
            self._check_version(session.connection.get_server_info())
            session.run(ISOLATION)
            self.largest_batch = int(session.rows("SELECT @@max_allowed_packet")[0][0]) // 3
        except BaseException:
            session.close()
            raise
        return session

    def _check_version(self, told: str) -> None:
        is_mariadb = "mariadb" in told.lower()
        numbers = re.findall(r"(\d+)\.(\d+)\.(\d+)", told)
        version = tuple(map(int, numbers[-1] if is_mariadb else numbers[0])) if numbers else (0, 0, 0)
        if version < (OLDEST_MARIADB if is_mariadb else OLDEST_MYSQL):
            raise ConfigurationError(
                f"{self.url} is {'MariaDB' if is_mariadb else 'MySQL'} {told:.40}; "
                "goque needs MySQL 8.0.17 or MariaDB 10.6, or later"
            )

    def spares(self) -> MysqlSpares:
        """Return a few connections for an application's threads."""
        return MysqlSpares(self.connect)

    def adopt(self, conn: Any) -> AdoptedSession:
        """Wrap the caller's PyMySQL connection, or what SQLAlchemy or Django wrap around one."""
        connection = driver_connection(conn)
        if not isinstance(connection, pymysql.connections.Connection):
            raise ConfigurationError(
                f"conn must be a PyMySQL connection, for {self.url} is a MySQL database; "
                f"it is a {type(connection).__name__}"
            )
        return AdoptedSession(connection, "the database of conn", self.clock)

    def watch(self, connections: Connections, task_type: str) -> Watcher:
        """Look from time to time: nobody tells."""

        def is_due() -> bool:
            with connections as session:
                return any(True for _ in self.due_levels(session, task_type))

        return MysqlWatcher(is_due)

    def columns(self, session: Session, table: str) -> set[str]:
        """Return the names of a table's columns, none where there is no such table."""
        return {mysql_rows.read_text(row[0]).lower() for row in session.rows(COLUMNS, {"table": table})}

    def due_levels(self, session: Session, task_type: str) -> Iterable[int]:
        """Walk down the levels, one statement each: none is asked for that is not needed."""
        for priority, due in self._levels(session, task_type):
            if due <= session.now:
                yield priority

    def next_due(self, session: Session, task_type: str) -> Iterable[datetime]:
        """Return when the next unclaimed task of each priority is due."""
        return [due for _, due in self._levels(session, task_type)]

    def _levels(self, session: Session, task_type: str) -> Iterator[tuple[int, datetime]]:
        rank = -1000
        while rows := session.rows(self.sql.next_due, {"task_type": task_type, "rank": rank}):
            rank, due = rows[0]
            yield -rank, mysql_rows.read_time(due)

    def insert_one(self, session: Session, task: Task) -> tuple[datetime, datetime] | None:
        """Insert a task; a duplicate ends the statement, and no transaction."""
        now = session.now
        try:
            session.run(self.sql.insert_task, self.task_params(task, now))
        except pymysql.IntegrityError as error:
            if error.args[0] == DUPLICATE:
                return None
            raise
        return now, due_at(task, now)

    def insert_batch(self, session: Session, tasks: Sequence[Task]) -> set[str]:
        """Insert all, and only if some were taken find out which."""
        now = session.now
        rows = [self.task_params(task, now) for task in tasks]
        ids = [task.id for task in tasks]
        session.run("SAVEPOINT goque_batch")
        if session.run_many(self.sql.insert_tasks, rows) == len(tasks):
            return set(ids)
        session.run("ROLLBACK TO SAVEPOINT goque_batch")
        before = {row[0] for row in session.rows(PRESENT, {"ids": ids})}
        session.run_many(self.sql.insert_tasks, rows)
        return {row[0] for row in session.rows(PRESENT, {"ids": ids})} - before

    def encode_tasks(self, tasks: Sequence[Task], now: datetime) -> Any:
        """Return the rows of a bulk insert."""
        return [self.task_params(task, now) for task in tasks]


class MysqlSession(Session):
    """A connection of our own: statements commit by themselves but within `transaction()`."""

    def __init__(
        self, connection: pymysql.connections.Connection[Any], where: str, clock: Clock | None
    ) -> None:
        self.connection: Any = connection  # the stubs lack what it knows of its state
        self.where = where
        self._clock = clock
        self._now: datetime | None = None
        self._cursor = Cursor(connection)

    @property
    def now(self) -> datetime:
        """The server's clock, read when it is first asked for in a transaction."""
        if self._now is None:
            self._now = self._clock() if self._clock else mysql_rows.read_time(self.rows(NOW)[0][0])
        return self._now

    def start(self) -> None:
        """Forget what time it was."""
        self._now = None

    def rows(self, sql: str, params: Mapping[str, Any] | None = None) -> list[Row]:
        """Run a statement and return all its rows."""
        bound = self._bind(sql, params)
        with _Translated(self.where):
            self._cursor.execute(percent_named(sql), bound)
            return list(self._cursor.fetchall())

    def run(self, sql: str, params: Mapping[str, Any] | None = None) -> int:
        """Run a statement and return how many rows it changed, or found to be so already."""
        bound = self._bind(sql, params)
        with _Translated(self.where):
            return self._cursor.execute(percent_named(sql), bound)

    def run_many(self, sql: str, params: Iterable[Mapping[str, Any]]) -> int:
        """Run a statement for each set of parameters, as an INSERT of many rows where it is one."""
        bound = [self._bind(sql, each) for each in params]
        with _Translated(self.where):
            return self._cursor.executemany(percent_named(sql), bound) or 0

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Open a transaction that may write."""
        try:
            self.run("START TRANSACTION")
            self._now = None
            yield
            self.run("COMMIT")
        except BaseException:
            with suppress(pymysql.Error, ConnectionLostError):  # what went wrong first is what matters
                if self.connection.open:
                    self.run("ROLLBACK")
            raise

    @contextmanager
    def slowly(self) -> Iterator[None]:
        """Let a statement take two minutes."""
        with self._deadline(SLOW_DEADLINE):
            yield

    @contextmanager
    def migrating(self) -> Iterator[None]:
        """Hold the lock of all migrations of this database; here each statement commits by itself."""
        with self._deadline(MIGRATION_DEADLINE):
            [(held,)] = self.rows(
                "SELECT GET_LOCK(concat('goque_migrate.', left(md5(database()), 32)), :patience)",
                {"patience": MIGRATION_PATIENCE},
            )
            if not held:
                raise DatabaseLockedError(f"{self.where}: another migration is under way; try again")
            try:
                yield
            finally:
                with suppress(pymysql.Error, ConnectionLostError):
                    self.rows("SELECT RELEASE_LOCK(concat('goque_migrate.', left(md5(database()), 32)))")

    def migrate(self, statement: str) -> None:
        """Run a statement of a migration; what it adds may be there from one that was cut off."""
        try:
            self.run(statement)
        except pymysql.Error as error:
            if error.args[0] not in EXISTS_ALREADY:
                raise

    def close(self) -> None:
        """Close the connection."""
        if self.connection.open:
            with suppress(pymysql.Error, OSError):
                self.connection.close()

    def abandon(self) -> None:
        """Keep the parent's connection unused and unclosed."""
        _abandoned.append(self.connection)

    def is_usable(self) -> bool:
        """Return whether the connection is open and no transaction is under way."""
        return self.connection.open and not self._in_transaction()

    def _in_transaction(self) -> bool:
        return bool(self.connection.server_status & SERVER_STATUS.SERVER_STATUS_IN_TRANS)

    @contextmanager
    def _deadline(self, seconds: float) -> Iterator[None]:
        connection = self.connection
        before = connection._read_timeout  # noqa: SLF001 - PyMySQL reads it at each wait, and has no setter
        connection._read_timeout = seconds  # noqa: SLF001 - the same
        try:
            yield
        finally:
            connection._read_timeout = before  # noqa: SLF001 - the same

    def _bind(self, sql: str, params: Mapping[str, Any] | None) -> Mapping[str, Any]:
        bound = dict(params) if params else {}
        if ":now" in sql:
            bound["now"] = mysql_rows.time_text(self.now)
        if "age" in bound:
            bound["before"] = mysql_rows.time_text(later(self.now, -bound["age"]))
        return bound


class AdoptedSession(MysqlSession):
    """The caller's connection, in the caller's transaction; its time zone is put back after each statement."""

    def __init__(
        self, connection: pymysql.connections.Connection[Any], where: str, clock: Clock | None
    ) -> None:
        super().__init__(connection, where, clock)
        [(now, zone)] = super().rows(NOW)
        self._now = clock() if clock else mysql_rows.read_time(now)
        self._zone = mysql_rows.read_text(zone)

    def rows(self, sql: str, params: Mapping[str, Any] | None = None) -> list[Row]:
        """Run a statement and return all its rows."""
        with self._in_utc():
            return super().rows(sql, params)

    def run(self, sql: str, params: Mapping[str, Any] | None = None) -> int:
        """Run a statement and return how many rows it changed."""
        with self._in_utc():
            return super().run(sql, params)

    def run_many(self, sql: str, params: Iterable[Mapping[str, Any]]) -> int:
        """Run a statement for each set of parameters."""
        with self._in_utc():
            return super().run_many(sql, params)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Join the caller's transaction; in autocommit, have one."""
        if self.connection.get_autocommit() and not self._in_transaction():
            now = self._now
            with super().transaction():
                self._now = now
                yield
        else:
            yield

    def close(self) -> None:
        """Leave the connection open: it is the caller's."""

    @contextmanager
    def _in_utc(self) -> Iterator[None]:
        zone = getattr(self, "_zone", "UTC")
        if zone in UTC_NAMES:
            yield
            return
        with _Translated(self.where):
            self._cursor.execute("SET time_zone = '+00:00'")
        try:
            yield
        finally:
            with suppress(pymysql.Error):
                self._cursor.execute("SET time_zone = %s", (zone,))


class _Translated:
    """Turn the driver's errors into goque's."""

    __slots__ = ("_where",)

    def __init__(self, where: str) -> None:
        self._where = where

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, pymysql.Error):
            told = translate(error, self._where)
            if told is not None:
                raise told from error


_abandoned: Final[list[Any]] = []
