"""The databases that the storage suite runs on, and the shorthands of its tests."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import aiosqlite
import psycopg
import pymysql
import pytest
from backend import START, Backend, Clock, run
from server_backends import MysqlBackend, PostgresqlBackend, ServerBackend

from goque.outcome import Change
from goque.storage.sql.storage import SqlStorage
from goque.storage.sqlite.dialect import SqliteDialect
from goque.task import Task
from goque.task_row import TaskRow, TaskStatus, Token

__all__ = ["START", "Backend", "Clock", "MysqlBackend", "PostgresqlBackend", "ServerBackend", "run"]


class SqliteBackend(Backend):
    """A SQLite file."""

    name = "sqlite"
    driver = "sqlite3"
    asyncio_driver = "aiosqlite"

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.path = folder / "tasks.db"
        self.url = self.sqlalchemy_url = f"sqlite:///{self.path}"
        self.sqlalchemy_asyncio_url = f"sqlite+aiosqlite:///{self.path}"

    def dialect(self, **options: Any) -> SqliteDialect:
        return SqliteDialect(str(self.path), clock=self.clock, **options)

    def connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self.path)

    def django_settings(self) -> dict[str, Any]:
        return {"ENGINE": "django.db.backends.sqlite3", "NAME": str(self.path)}

    async def connect_asyncio(self, *, autocommit: bool = False) -> aiosqlite.Connection:
        return await aiosqlite.connect(self.path, **({"isolation_level": None} if autocommit else {}))

    def connect_autocommit(self) -> sqlite3.Connection:
        return sqlite3.connect(self.path, isolation_level=None)

    def rows_as_mappings(self, connection: sqlite3.Connection) -> None:
        connection.row_factory = sqlite3.Row

    def run_script(self, text: str) -> None:
        with contextlib.closing(self.connect()) as connection:
            connection.executescript(text)

    def indexes(self) -> set[str]:
        return {name for (name,) in self.execute("SELECT name FROM sqlite_master WHERE type = 'index'")}

    def column_types(self) -> list[tuple[str, str]]:
        return [
            (row[1], f"{row[2]} {row[3]} {row[4]}") for row in self.execute("PRAGMA table_info(goque_task)")
        ]

    def time(self, instant: datetime) -> str:
        return instant.isoformat(timespec="microseconds").replace("+00:00", "Z")

    def execute(self, sql: str, **params: Any) -> list[tuple[Any, ...]]:
        with contextlib.closing(self.connect()) as connection, connection:
            return connection.execute(sql, params).fetchall()


BACKENDS: dict[str, type[Any]] = {
    "sqlite": SqliteBackend,
    "postgresql": PostgresqlBackend,
    "mysql": MysqlBackend,
}
SERVERS = sorted(set(BACKENDS) - {"sqlite"})


def make(name: str, folder: Path) -> Backend:
    """Make a database of the test's own; a server that is missing is an error in CI and a loud skip elsewhere."""
    try:
        return BACKENDS[name](folder)
    except (psycopg.OperationalError, pymysql.OperationalError) as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"NO {name.upper()} SERVER, run `scripts/services up`: {str(error).strip()}")


def add(storage: SqlStorage, task_type: str = "mail", **options: Any) -> Task:
    """Insert one task."""
    return storage.insert_tasks([Task(task_type, {"n": 1}, **options)])[0]


def row_of(storage: SqlStorage, task: Task | TaskRow) -> TaskRow:
    row = storage.get_task(task.id)
    assert row is not None
    return row


def claim(
    storage: SqlStorage, owner: str = "node-1", task_type: str = "mail", limit: int = 10, **options: Any
) -> list[TaskRow]:
    return storage.claim_due(task_type, owner, limit, **options)


def done(row: TaskRow, **fields: Any) -> Change:
    return Change(row.token, TaskStatus.DONE, row.attempts, **fields)


def move(row: TaskRow, status: TaskStatus, **fields: Any) -> Change:
    return Change(fields.pop("token", row.token), status, fields.pop("attempts", row.attempts), **fields)


def stale(row: TaskRow) -> Token:
    return row.token._replace(claims=row.claims - 1)


@contextlib.contextmanager
def main_connection_in_use(storage: SqlStorage) -> Iterator[None]:
    """Let another thread hold the main connection during the block."""
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        with storage._connections:
            held.set()
            release.wait(30)

    holding = threading.Thread(target=hold)
    holding.start()
    assert held.wait(30)
    try:
        yield
    finally:
        release.set()
        holding.join()
