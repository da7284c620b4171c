"""The databases that the storage suite runs on, each with what tests need beside the contract."""

from __future__ import annotations

import contextlib
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from goque.outcome import Change
from goque.storage.sql_storage import SqlStorage
from goque.storage.sqlite import SqliteDialect
from goque.task import Task, TaskRow, TaskStatus, Token

START = datetime(2026, 11, 23, 21, 2, 33, 123456, tzinfo=UTC)


class Clock:
    """A clock that moves when it is told to."""

    def __init__(self, now: datetime = START) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


class SqliteBackend:
    """A SQLite file with a clock of its own."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "tasks.db"
        self.url = f"sqlite:///{self.path}"
        self.clock = Clock()
        self._open: list[SqlStorage] = []

    def new_storage(self, *, patience: float = 30.0, lock_slice: float = 2.0) -> SqlStorage:
        """Open a storage on a connection of its own, as another process would."""
        dialect = SqliteDialect(str(self.path), clock=self.clock, lock_slice=lock_slice)
        storage = SqlStorage(dialect, patience=patience)
        self._open.append(storage)
        return storage

    def connect(self) -> sqlite3.Connection:
        """Open a plain connection of the driver's, as an application would."""
        return sqlite3.connect(self.path)

    def execute(self, sql: str, **params: Any) -> list[tuple[Any, ...]]:
        """Run raw SQL behind goque's back."""
        with contextlib.closing(self.connect()) as connection, connection:
            return connection.execute(sql, params).fetchall()

    def time(self, instant: datetime) -> str:
        return instant.isoformat(timespec="microseconds").replace("+00:00", "Z")

    def close(self) -> None:
        for storage in self._open:
            storage.close()


BACKENDS = {"sqlite": SqliteBackend}


def add(storage: SqlStorage, task_type: str = "mail", **options: Any) -> Task:
    """Insert one task."""
    return storage.insert_tasks([Task(task_type, {"n": 1}, **options)])[0]


def row_of(storage: SqlStorage, task: Task | TaskRow) -> TaskRow:
    row = storage.get_task(task.id)
    assert row is not None
    return row


def claim(
    storage: SqlStorage, owner: str = "node-1", task_type: str = "mail", limit: int = 10
) -> list[TaskRow]:
    return storage.claim_due(task_type, owner, limit)


def done(row: TaskRow, **fields: Any) -> Change:
    return Change(row.token, TaskStatus.DONE, row.attempts, **fields)


def move(row: TaskRow, status: TaskStatus, **fields: Any) -> Change:
    return Change(fields.pop("token", row.token), status, fields.pop("attempts", row.attempts), **fields)


def stale(row: TaskRow) -> Token:
    return row.token._replace(claims=row.claims - 1)
