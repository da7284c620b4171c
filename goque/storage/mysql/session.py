"""A connection to MySQL or MariaDB: every wait has a deadline, and every instant is in UTC."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import datetime
from typing import Any, Final, Self

import pymysql
from pymysql.constants import SERVER_STATUS
from pymysql.cursors import Cursor

from goque.storage.instants import later
from goque.storage.mysql import rows as mysql_rows
from goque.storage.mysql.errors import EXISTS_ALREADY, translate
from goque.storage.sql.placeholders import percent_placeholders, positional
from goque.storage.sql.session import ConnectionLostError, DatabaseLockedError, Row, Session

DEADLINE: Final = 8.0
"""Seconds that the server may be silent."""

SLOW_DEADLINE: Final = 120.0
MIGRATION_DEADLINE: Final = 6 * 3600
MIGRATION_PATIENCE: Final = 600
"""Seconds that a migration waits for another one to end."""

NOW: Final = "SELECT UTC_TIMESTAMP(6), @@session.time_zone"
TRIGGERS: Final = """
    SELECT 1
    FROM information_schema.triggers
    WHERE event_object_schema = DATABASE() AND event_object_table = 'goque_task' AND event_manipulation = 'UPDATE'
    LIMIT 1"""
TRIGGERS_KNOWN: Final = 60.0
"""Seconds after which a connection checks again whether the table has triggers."""

UTC_NAMES: Final = ("+00:00", "UTC")


_CHANGED: Final = re.compile(rb"Changed: (\d+)")

Clock = Callable[[], datetime]


class MysqlSession(Session):
    """A connection of goque's. Outside of `transaction()`, each statement commits by itself."""

    def __init__(
        self, connection: pymysql.connections.Connection[Any], where: str, clock: Clock | None
    ) -> None:
        self.connection: Any = connection  # the type stubs lack the attributes that show its state
        self.where = where
        self._clock = clock
        self._now: datetime | None = None
        self._cursor = Cursor(connection)
        self._has_triggers = False
        self._triggers_asked_at = 0.0

    @property
    def now(self) -> datetime:
        """The server's clock, read at the first use in a transaction."""
        if self._now is None:
            self._now = self._clock() if self._clock else mysql_rows.read_time(self.rows(NOW)[0][0])
        return self._now

    def start(self) -> None:
        """Forget the time that was read before."""
        self._now = None

    def rows(self, sql: str, params: Mapping[str, Any] | None = None) -> list[Row]:
        """Run a statement and return all its rows."""
        bound = self._bind(sql, params)
        with Translated(self.where):
            self._cursor.execute(percent_placeholders(sql), bound)
            return list(self._cursor.fetchall())

    def run(self, sql: str, params: Mapping[str, Any] | None = None) -> int:
        """Run a statement and return how many rows it matched, whether it changed them or not."""
        bound = self._bind(sql, params)
        with Translated(self.where):
            return self._cursor.execute(percent_placeholders(sql), bound)

    @property
    def changed(self) -> int | None:
        """The number in the server's answer `Rows matched: 5  Changed: 5`, or None if a trigger may falsify it.

        A trigger can undo goque's change and make another one. The server then counts the row as changed.
        """
        result = self.connection._result  # noqa: SLF001 - PyMySQL has no public way to this message
        told = _CHANGED.search(getattr(result, "message", None) or b"")
        return None if told is None or self._may_be_undone() else int(told[1])

    def changes_all(self, sql: str, params: Mapping[str, Any], number: int) -> bool:
        """Run a statement and return whether it has changed this number of rows; with triggers, do not try."""
        return not self._may_be_undone() and super().changes_all(sql, params, number)

    def _may_be_undone(self) -> bool:
        now = time.monotonic()
        if not self._triggers_asked_at or now - self._triggers_asked_at > TRIGGERS_KNOWN:
            self._has_triggers = bool(self.rows(TRIGGERS))
            self._triggers_asked_at = now
        return self._has_triggers

    def run_many(self, sql: str, params: Iterable[Mapping[str, Any]]) -> int:
        """Run a statement once for each set of parameters. An INSERT becomes one statement with many rows.

        PyMySQL writes each value as text. So it gets only those that the statement names.
        """
        text, values = positional(sql, (self._bind(sql, each) for each in params))
        with Translated(self.where):
            return self._cursor.executemany(text, values) or 0

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Open a transaction that may write."""
        try:
            self.run("START TRANSACTION")
            self._now = None
            yield
            self.run("COMMIT")
        except BaseException:
            with suppress(pymysql.Error, ConnectionLostError):  # the caller needs the first error
                if self.connection.open:
                    self.run("ROLLBACK")
            raise

    def statement_timeout(self, seconds: float) -> AbstractContextManager[None]:
        """Wait at most this long for each answer."""
        return self._deadline(min(seconds, DEADLINE))

    @contextmanager
    def long_read(self) -> Iterator[None]:
        """Let a statement take two minutes."""
        with self._deadline(SLOW_DEADLINE):
            yield

    @contextmanager
    def migrating(self) -> Iterator[None]:
        """Hold the lock of this database's migrations. On MySQL, each statement commits by itself."""
        with suppress(
            pymysql.OperationalError
        ):  # MySQL has no such setting, nor need later versions of MariaDB
            self._cursor.execute("SET SESSION alter_algorithm = 'DEFAULT'")
        with self._deadline(MIGRATION_DEADLINE):
            [(held,)] = self.rows(
                "SELECT GET_LOCK(concat('goque_migrate.', left(sha2(database(), 256), 32)), :patience)",
                {"patience": MIGRATION_PATIENCE},
            )
            if not held:
                raise DatabaseLockedError(f"{self.where}: another migration is running; try again")
            try:
                yield
            finally:
                with suppress(pymysql.Error, ConnectionLostError):
                    self.rows(
                        "SELECT RELEASE_LOCK(concat('goque_migrate.', left(sha2(database(), 256), 32)))"
                    )

    def migrate(self, statement: str) -> None:
        """Run a statement of a migration. An interrupted migration may have run it before."""
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
        """Keep the parent's connection open and unused."""
        _abandoned.append(self.connection)

    def is_usable(self) -> bool:
        """Return whether the connection is open and not in a transaction."""
        return self.connection.open and not self._in_transaction()

    def _in_transaction(self) -> bool:
        return bool(self.connection.server_status & SERVER_STATUS.SERVER_STATUS_IN_TRANS)

    @contextmanager
    def _deadline(self, seconds: float) -> Iterator[None]:
        connection = self.connection
        before = connection._read_timeout  # noqa: SLF001 - PyMySQL reads the timeout at each wait, without a setter
        connection._read_timeout = seconds  # noqa: SLF001 - the same
        try:
            yield
        finally:
            connection._read_timeout = before  # noqa: SLF001 - the same

    def _bind(self, sql: str, params: Mapping[str, Any] | None) -> Mapping[str, Any]:
        bound = params or {}
        if ":now" in sql:
            bound = {**bound, "now": mysql_rows.time_text(self.now)}
        if "age" in bound:
            bound = {**bound, "before": mysql_rows.time_text(later(self.now, -bound["age"]))}
        return bound


class CallerSession(MysqlSession):
    """The caller's connection, in the caller's transaction. Its time zone is restored after each statement."""

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
        """Join the caller's transaction; in autocommit mode, open one."""
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
        with Translated(self.where):
            self._cursor.execute("SET time_zone = '+00:00'")
        try:
            yield
        finally:
            with suppress(pymysql.Error):
                self._cursor.execute("SET time_zone = %s", (zone,))


class Translated:
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
