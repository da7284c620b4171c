"""The floors: the same work in bare sqlite3 on the same schema, with the same durability, without goque's code."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import goque
from goque.identifiers import internal_id, new_task_id

INSERT: Final = """
    INSERT INTO goque_task (id, type, external_id, payload, status, attempts, metadata, created_at, next_attempt_at)
    VALUES (?, 'noop', ?, '{}', 'new', 0, '{}', ?, ?)"""
CLAIM: Final = """
    UPDATE goque_task SET status = 'pending', claimed_by = 'bare', claims = claims + 1, updated_at = ?
    WHERE rowid IN (
        SELECT rowid FROM goque_task
        WHERE type = 'noop' AND status IN ('new', 'error') AND claimed_by IS NULL
        ORDER BY priority DESC, next_attempt_at LIMIT ?)
    RETURNING rowid"""
DONE: Final = "UPDATE goque_task SET status = 'done', claimed_by = NULL, updated_at = ? WHERE rowid = ?"
NOW: Final = "2026-01-01T00:00:00.000000Z"


@contextmanager
def database(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a database with goque's schema; every statement is a transaction of its own unless one is begun."""
    with goque.TaskQueueManager(f"sqlite:///{path}") as queue:
        queue.storage.ping()
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    yield connection
    connection.close()


def new_rows(count: int) -> list[tuple[str, str, str, str]]:
    """Return the parameters of INSERT for so many tasks, made before the clock runs."""
    return [(new_task_id(), internal_id(), NOW, NOW) for _ in range(count)]


def claim_and_finish(connection: sqlite3.Connection, batch: int) -> None:
    """Claim a batch in one transaction and finish it in another, until nothing is left."""
    while True:
        connection.execute("BEGIN IMMEDIATE")
        claimed = connection.execute(CLAIM, (NOW, batch)).fetchall()
        connection.execute("COMMIT")
        if not claimed:
            return
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(DONE, [(NOW, rowid) for (rowid,) in claimed])
        connection.execute("COMMIT")
