"""A storage on a connection that somebody else opens, and whose transactions are somebody else's: a framework's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from goque.storage import dialect_of
from goque.storage.sql.call_policy import CallPolicy
from goque.storage.sql.caller_connection import note_error
from goque.storage.sql.connections import Connections
from goque.storage.sql.dialect import Dialect
from goque.storage.sql.migrate import Migrations
from goque.storage.sql.session import Session
from goque.storage.sql.storage import SqlStorage
from goque.task import Task
from goque.task_rules.uniqueness import OnConflict

ResultT = TypeVar("ResultT")


class BorrowedStorage(SqlStorage):
    """Does everything in the transaction that the framework has open, or, in autocommit, in one of its own.

    Args:
        dialect: the kind of the database.
        borrow: returns the framework's connection for the calling thread.
    """

    def __init__(self, dialect: Dialect, borrow: Callable[[], Any]) -> None:
        super().__init__(dialect)
        self._borrow = borrow
        self._connections: Connections = _Borrowed(dialect, borrow)
        self._migrations = Migrations(dialect, self._connections)

    def insert_task(self, task: Task, *, on_conflict: OnConflict = "raise", conn: Any = None) -> Task:
        """Insert a task and return it, or the one in its place where `on_conflict` or its debounce says so."""
        return super().insert_task(task, on_conflict=on_conflict, conn=self._given(conn))

    def insert_tasks(
        self, tasks: Sequence[Task], *, on_conflict: OnConflict = "raise", conn: Any = None
    ) -> list[Task]:
        """Insert all tasks or none; with "skip", those whose places are free."""
        return super().insert_tasks(tasks, on_conflict=on_conflict, conn=self._given(conn))

    def _run(self, work: Callable[[Session], ResultT], policy: CallPolicy, conn: Any = None) -> ResultT:
        """Write in the framework's transaction, where nothing can be tried again."""
        return super()._run(work, policy, self._given(conn) if policy.writes else conn)

    def _given(self, conn: Any) -> Any:
        return self._borrow() if conn is None else conn


class _Borrowed(Connections):
    """Holds nothing: each block gets the connection that the framework has for its thread then."""

    def __init__(self, dialect: Dialect, borrow: Callable[[], Any]) -> None:
        super().__init__(lambda: dialect.wrap(borrow()))
        self._wrap = self._connect
        self._borrow = borrow

    def __enter__(self) -> Session:
        return self._wrap()

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Leave the connection to the framework, and tell it of an error."""
        if error is not None:
            note_error(self._borrow())


def borrowed_dialect(vendor: str, url: str) -> Dialect:
    """Return the dialect of a framework's database; one of SQLite's may be in memory.

    Args:
        vendor: sqlite, postgresql or mysql.
        url: where it is; for SQLite the name of the file, which is not opened.

    Raises:
        ConfigurationError: the URL is wrong, or its driver is not installed.
    """
    if vendor != "sqlite":
        return dialect_of(url)
    from goque.storage.sqlite.dialect import SqliteDialect  # noqa: PLC0415 - drivers load when they are named

    return SqliteDialect(url)
