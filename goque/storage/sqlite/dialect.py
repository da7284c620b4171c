"""The SQLite dialect: one file, write-ahead log, one writer at a time."""

from __future__ import annotations

import logging
import os
import random
import sqlite3
import time
from collections.abc import Iterable, Sequence
from contextlib import closing, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, Final, TypeVar

from goque.errors import ConfigurationError, DatabaseUnavailableError
from goque.storage.contract import Watcher
from goque.storage.instants import time_text
from goque.storage.sql import batches
from goque.storage.sql.caller_connection import (
    is_of,
    not_of_driver,
    unwrap_asyncio_connection,
    unwrap_connection,
)
from goque.storage.sql.connections import Connections
from goque.storage.sql.dialect import Dialect
from goque.storage.sql.limits.key_queries import KeyQueries
from goque.storage.sql.session import DatabaseLockedError, Row, Session
from goque.storage.sql.statements.complete import Statements
from goque.storage.sql.steps import Steps, run_steps
from goque.storage.sqlite import rows as sqlite_rows
from goque.storage.sqlite.errors import translate
from goque.storage.sqlite.limits import SqliteKeys
from goque.storage.sqlite.session import LOCK_SLICE, CallerSession, Clock, SqliteSession
from goque.storage.sqlite.statements import SQLITE_STATEMENTS
from goque.storage.sqlite.watcher import SqliteWatcher

SWITCH_PATIENCE: Final = 10.0
OLDEST: Final = (3, 37, 0)

_log: Final = logging.getLogger("goque.storage")

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
    keys: KeyQueries = SqliteKeys()

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
                f"this Python has SQLite {sqlite3.sqlite_version}, and goque needs 3.37 or later"
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

    def wrap(self, conn: Any) -> CallerSession:
        """Wrap the caller's sqlite3 connection, or what SQLAlchemy or Django wrap around one."""
        connection = unwrap_connection(conn)
        if not isinstance(connection, sqlite3.Connection):
            raise not_of_driver(connection, "sqlite3", f"{self.url} is a SQLite database")
        return CallerSession(connection, "the database of conn", self.clock or utc_now)

    async def join(self, conn: Any, steps: Steps[ResultT], *, writes: bool) -> ResultT:
        """Run steps on the caller's aiosqlite connection, or on what SQLAlchemy wraps around one.

        All of them run in the connection's own thread, so that no other task's statements come in between.
        """
        connection = await unwrap_asyncio_connection(conn)
        if not is_of(connection, "aiosqlite"):
            raise not_of_driver(connection, "aiosqlite", f"{self.url} is a SQLite database")

        run_in_its_thread, raw = connection._execute, connection._conn  # noqa: SLF001 - it has no other way to either

        def run() -> ResultT:
            session = CallerSession(raw, "the database of conn", self.clock or utc_now)
            with session.transaction() if writes else nullcontext():
                return run_steps(session, steps)

        result: ResultT = await run_in_its_thread(run)
        return result

    def watch(self, connections: Connections, types: Sequence[str]) -> Watcher:
        """Watch the write-ahead log, and ask `data_version` whose write it was; of which type it is not told."""
        del types
        return SqliteWatcher(connections, self.path)

    def may_be_claimed(self, rows: Sequence[Row]) -> bool:
        """Return whether rows that `claim_due` has changed are those of tasks that goque claims."""
        return sqlite_rows.are_usual(rows)

    def due_priorities(self, session: Session, task_type: str, priority: int | None = None) -> Iterable[Any]:
        """Return the priorities that have a due task, highest first. SQLite stores a text or bytes as well.

        One that is asked for is not looked up: the claim of a priority is as quick as the question.
        """
        if priority is not None:
            return [priority]
        params = {"task_type": task_type, "priority": priority}
        found = session.rows(self.sql.due_priorities, params)
        # a text is read as bytes, which would equal no text
        return [sqlite_rows.read_text(value) if kind == b"text" else value for value, kind in found]

    def is_duplicate(self, error: Exception) -> bool:
        """Return whether a unique index refused a statement."""
        return getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_CONSTRAINT_UNIQUE

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
                f"{self.path} was deleted or replaced while it was open; "
                "restore it, or restart the programs that use it"
            )


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
