"""The SQLite dialect: one file, write-ahead log, one writer at a time."""

from __future__ import annotations

import logging
import os
import random
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, nullcontext, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, Final, TypeVar

from goque.at_once import at_once
from goque.errors import ConfigurationError, DatabaseUnavailableError
from goque.storage import batches, sqlite_rows
from goque.storage.awaited import Ready, Steps
from goque.storage.caller import asyncio_driver_connection, driver_connection, is_of, not_of_driver
from goque.storage.connections import Connections
from goque.storage.dialect import DatabaseLockedError, Dialect, Row, Session
from goque.storage.instants import later, time_text
from goque.storage.sqlite_errors import translate
from goque.storage.sqlite_statements import SQLITE_STATEMENTS
from goque.storage.sqlite_watcher import SqliteWatcher
from goque.storage.statements import Statements
from goque.storage.storage import Watcher

LOCK_SLICE: Final = 2.0
"""Seconds that one attempt waits for another writer; callers that may wait longer try again."""

FIRST_NAP: Final = 0.002
SWITCH_PATIENCE: Final = 10.0
OLDEST: Final = (3, 37, 0)

_log: Final = logging.getLogger("goque.storage")

Clock = Callable[[], datetime]
ResultT = TypeVar("ResultT")


def utc_now() -> datetime:
    """Return the host's clock, which is the clock of an embedded database."""
    return datetime.now(UTC)


class SqliteDialect(Dialect):
    """A SQLite database in one file.

    Args:
        path: the absolute path of the file.
        clock: what time it is; tests move it, and else it is the host's.
        lock_slice: seconds that one attempt waits for another writer.
    """

    name: ClassVar[str] = "sqlite"
    creates_schema: ClassVar[bool] = True
    now_text: ClassVar[str] = "strftime('%Y-%m-%dT%H:%M:%f000Z', 'now')"
    script_begin: ClassVar[str] = "BEGIN IMMEDIATE;"
    one_writer: ClassVar[bool] = True
    inserts_at_once: ClassVar[int] = 100_000
    sql: Statements = SQLITE_STATEMENTS

    time = staticmethod(time_text)
    read_time = staticmethod(sqlite_rows.read_time)
    read_text = staticmethod(sqlite_rows.read_text)
    read_task = staticmethod(sqlite_rows.read_task)
    task_params = staticmethod(batches.task_params)
    encode_tasks = staticmethod(batches.encode_tasks)
    encode_claims = staticmethod(batches.encode_claims)
    encode_moves = staticmethod(batches.encode_moves)
    encode_list = staticmethod(batches.encode_list)

    def __init__(self, path: str, *, clock: Clock | None = None, lock_slice: float = LOCK_SLICE) -> None:
        if sqlite3.sqlite_version_info < OLDEST:
            raise ConfigurationError(
                f"SQLite is {sqlite3.sqlite_version} here, and goque needs 3.37 or later"
            )
        self.path = path
        self._lock_slice = lock_slice
        self.url = f"sqlite:///{path}"
        self.clock = clock
        self._identity: tuple[int, int] | None = None

    def exists(self) -> bool:
        """Return whether the file is there."""
        return Path(self.path).exists()

    def connect(self) -> SqliteSession:
        """Open the file, with the write-ahead log on."""
        if self._identity is not None:
            self.check_identity()
        try:
            connection = sqlite3.connect(
                self.path,
                timeout=self._lock_slice,
                isolation_level=None,
                check_same_thread=False,
                cached_statements=256,
            )
        except sqlite3.Error as error:
            raise translate(error, self.path) or error from error
        connection.text_factory = bytes
        session = SqliteSession(
            connection,
            self.path,
            self.clock or utc_now,
            check=self.check_identity,
            lock_slice=self._lock_slice,
        )
        try:
            _tune(session)
        except BaseException:
            session.close()
            raise
        if self._identity is None:
            self._identity = _identity(self.path)
        return session

    def adopt(self, conn: Any) -> AdoptedSession:
        """Wrap the caller's sqlite3 connection, or what SQLAlchemy or Django wrap around one."""
        connection = driver_connection(conn)
        if not isinstance(connection, sqlite3.Connection):
            raise not_of_driver(connection, "sqlite3", f"{self.url} is a SQLite database")
        return AdoptedSession(connection, "the database of conn", self.clock or utc_now)

    async def join(self, conn: Any, steps: Steps[ResultT], *, writes: bool) -> ResultT:
        """Run steps on the caller's aiosqlite connection, or on what SQLAlchemy wraps around one.

        All of them run in the connection's own thread, so that no other task's statements come in between.
        """
        connection = await asyncio_driver_connection(conn)
        if not is_of(connection, "aiosqlite"):
            raise not_of_driver(connection, "aiosqlite", f"{self.url} is a SQLite database")

        run_in_its_thread, raw = connection._execute, connection._conn  # noqa: SLF001 - it has no other way to either

        def run() -> ResultT:
            session = AdoptedSession(raw, "the database of conn", self.clock or utc_now)
            with session.transaction() if writes else nullcontext():
                return at_once(steps(Ready(session)))

        result: ResultT = await run_in_its_thread(run)
        return result

    def watch(self, connections: Connections, task_type: str) -> Watcher:
        """Watch the write-ahead log, and ask `data_version` whose write it was; of which type it is not told."""
        del task_type
        return SqliteWatcher(connections, self.path)

    def columns(self, session: Session, table: str) -> set[str]:
        """Return the names of a table's columns, none where there is no such table."""
        del session
        import sqlite_utils  # noqa: PLC0415 - takes 100 ms, and only a schema that is not current needs it

        with closing(sqlite3.connect(self.path, timeout=self._lock_slice)) as connection:
            try:
                found = sqlite_utils.Database(connection)[table]
                return {column.name for column in found.columns} if found.exists() else set()
            except sqlite3.Error as error:
                raise translate(error, self.path) or error from error

    def forget(self) -> None:
        """Accept whatever file is at the path when it is opened next."""
        self._identity = None

    def check_identity(self) -> None:
        """Refuse to write into a file that no path leads to any more: the write would be lost."""
        if self._identity is not None and _identity(self.path) != self._identity:
            raise DatabaseUnavailableError(
                f"{self.path} was deleted or replaced while it was open; restore it, or restart what uses it"
            )


class SqliteSession(Session):
    """A connection of our own: statements commit by themselves but within `transaction()`.

    Its texts come as bytes, so that no text in the file can make reading a row fail.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        path: str,
        clock: Clock,
        check: Callable[[], None] | None = None,
        lock_slice: float = LOCK_SLICE,
    ) -> None:
        self.connection = connection
        self.path = path
        self._clock = clock
        self._check = check
        self._lock_slice = self._patience = lock_slice
        self._read_clock()

    @property
    def now(self) -> datetime:
        """The host's clock, read when the session was last started."""
        return self._now

    def start(self) -> None:
        """Read the clock, and make sure that the file is still there."""
        if self._check is not None:
            self._check()
        self._read_clock()

    def rows(self, sql: str, params: Mapping[str, Any] | None = None) -> list[Row]:
        """Run a statement and return all its rows."""
        try:
            return self.connection.execute(sql, self._bind(params)).fetchall()
        except sqlite3.Error as error:
            raise translate(error, self.path) or error from error

    def run(self, sql: str, params: Mapping[str, Any] | None = None) -> int:
        """Run a statement and return how many rows it changed."""
        try:
            return self.connection.execute(sql, self._bind(params)).rowcount
        except sqlite3.Error as error:
            raise translate(error, self.path) or error from error

    def run_many(self, sql: str, params: Iterable[Mapping[str, Any]]) -> int:
        """Run a statement once for each set of parameters and return how many rows that changed."""
        try:
            return self.connection.executemany(sql, map(self._bind, params)).rowcount
        except sqlite3.Error as error:
            raise translate(error, self.path) or error from error

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Take the write lock at once: a deferred upgrade would fail in spite of the busy timeout."""
        self._begin()
        self._read_clock()  # after the wait for the lock, so that moves are dated in their order
        try:
            yield
            self.run("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):  # what went wrong first is what the caller must hear of
                self.connection.rollback()
            raise

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Wait so long for another writer."""
        if seconds >= self._lock_slice:
            yield
            return
        self._wait_for_writers(seconds)
        try:
            yield
        finally:
            self._wait_for_writers(self._lock_slice)

    def _wait_for_writers(self, seconds: float) -> None:
        self._patience = seconds
        self._let_sqlite_wait(seconds)

    def _let_sqlite_wait(self, seconds: float) -> None:
        self.rows(f"PRAGMA busy_timeout = {int(seconds * 1000)}")  # a pragma takes no parameters

    def _begin(self) -> None:
        """Wait for the write lock in naps of our own.

        Those of SQLite grow to 100 ms, and who sleeps that long beside a fetcher that writes all the time hardly ever
        finds the lock free: a second supervisor would get no work.
        """
        began = time.monotonic()
        self._let_sqlite_wait(0)
        try:
            while True:
                try:
                    self.run("BEGIN IMMEDIATE")
                except DatabaseLockedError:
                    waited = time.monotonic() - began
                    if waited >= self._patience:
                        raise
                    time.sleep(random.uniform(0, FIRST_NAP + waited / 200))  # noqa: S311 - spreads those who wait
                else:
                    return
        finally:
            self._let_sqlite_wait(self._patience)

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()

    def abandon(self) -> None:
        """Keep the parent's connection unused and unclosed: closing it here could harm the parent's locks."""
        _abandoned.append(self.connection)

    def _read_clock(self) -> None:
        self._now = self._clock()
        text = time_text(self._now)
        self._clock_texts = {"now": text, "upper": f"{text[:19]}Z"}

    def _bind(self, params: Mapping[str, Any] | None) -> dict[str, Any]:
        bound: dict[str, Any] = {**self._clock_texts, **(params or {})}
        if "age" in bound:
            bound["before"] = time_text(later(self._now, -bound["age"]))
        return bound


class AdoptedSession(SqliteSession):
    """The caller's connection: its transaction, its settings, put back as they were after each statement."""

    def rows(self, sql: str, params: Mapping[str, Any] | None = None) -> list[Row]:
        """Run a statement and return all its rows as plain tuples of bytes and numbers."""
        text_factory = self.connection.text_factory
        try:
            with closing(self.connection.cursor()) as cursor:
                cursor.row_factory = None
                self.connection.text_factory = bytes
                return cursor.execute(sql, self._bind(params)).fetchall()
        except sqlite3.Error as error:
            raise translate(error, self.path) or error from error
        finally:
            self.connection.text_factory = text_factory

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Join the caller's transaction, or begin the one that Python would begin at the first write."""
        try:
            isolation, in_transaction = self.connection.isolation_level, self.connection.in_transaction
        except sqlite3.Error as error:
            raise translate(error, self.path) or error from error
        if not in_transaction and isolation is not None and self._python_begins():
            self.run(f"BEGIN {isolation}")
        yield

    def close(self) -> None:
        """Leave the connection open: it is the caller's."""

    def _python_begins(self) -> bool:
        try:
            mode = getattr(self.connection, "autocommit", -1)
        except sqlite3.Error as error:
            raise translate(error, self.path) or error from error
        return bool(mode == -1)  # sqlite3.LEGACY_TRANSACTION_CONTROL, from 3.12


_abandoned: Final[list[sqlite3.Connection]] = []


def _identity(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)  # noqa: PTH116 - Path.stat costs twice as much, and this runs for each statement
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _tune(session: SqliteSession) -> None:
    """Turn on the write-ahead log, which readers and the writer need to go on side by side."""
    session.run("PRAGMA synchronous = FULL")
    if session.rows("PRAGMA journal_mode")[0][0] != b"wal":
        _switch_to_wal(session)
    session.run("PRAGMA journal_size_limit = 67108864")


def _switch_to_wal(session: SqliteSession) -> None:
    began = time.monotonic()
    said = False
    while True:  # the switch needs the file alone for a moment, and SQLite does not wait for that by itself
        try:
            session.run("PRAGMA journal_mode = WAL")
        except DatabaseLockedError as error:
            waited = time.monotonic() - began
            if waited > SWITCH_PATIENCE:
                raise
            if waited > LOCK_SLICE and not said:
                _log.info("waiting up to %gs for the database: %s", SWITCH_PATIENCE, error)
                said = True
            time.sleep(random.uniform(0.005, 0.05))  # noqa: S311 - spreads processes that start together
        else:
            return
