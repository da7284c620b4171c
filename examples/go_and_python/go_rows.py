"""What the Go library does to the table, statement by statement, so that this example runs without Go.

`main.go` is the service that it stands in for. Ids are UUIDv7, metadata is `{}` and never NULL, `next_attempt_at` of a
new task equals `created_at`, and `updated_at` is NULL until the first move.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

import msgspec
import psycopg

from goque.identifiers import new_task_id

MIGRATION: Final = """
CREATE TABLE IF NOT EXISTS goque_task (
    id UUID PRIMARY KEY, type TEXT NOT NULL, external_id TEXT NOT NULL, payload JSONB NOT NULL,
    status TEXT NOT NULL, attempts INT NOT NULL, errors TEXT, metadata JSONB,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(), updated_at TIMESTAMPTZ,
    next_attempt_at TIMESTAMPTZ NOT NULL DEFAULT now());
CREATE UNIQUE INDEX IF NOT EXISTS goque_task_type_external_id_idx ON goque_task (type, external_id);
CREATE INDEX IF NOT EXISTS goque_task_type_status_next_attempt_at_idx
    ON goque_task (type, status, next_attempt_at ASC);
CREATE INDEX IF NOT EXISTS goque_task_type_status_updated_at_idx ON goque_task (type, status, updated_at ASC);
"""
ADD: Final = """
INSERT INTO goque_task (id, type, external_id, payload, status, attempts, metadata, created_at, next_attempt_at)
VALUES (%(id)s, %(type)s, %(external_id)s, %(payload)s, 'new', 0, '{}', %(now)s, %(now)s)
"""
DUE: Final = """
SELECT id, type, external_id, payload, status, attempts, errors, metadata, created_at, updated_at, next_attempt_at
FROM goque_task WHERE type = %(type)s AND status IN ('new', 'error') AND next_attempt_at <= %(now)s
ORDER BY next_attempt_at LIMIT 10 FOR UPDATE
"""
MOVE: Final = "UPDATE goque_task SET status = %(status)s, updated_at = %(now)s WHERE id = %(id)s"


def migrate(connection: psycopg.Connection[Any]) -> None:
    """Make the table as the Go library's migrations do, if it is not there."""
    connection.execute(MIGRATION)


def add_task(connection: psycopg.Connection[Any], task_type: str, payload: object, external_id: str) -> str:
    """Do what `AddTaskToQueue` does; returns the id."""
    task_id = new_task_id()
    text = msgspec.json.encode(payload).decode()
    row = {"id": task_id, "type": task_type, "external_id": external_id, "payload": text}
    connection.execute(ADD, {**row, "now": datetime.now(UTC)})
    return task_id


def cancel_task(connection: psycopg.Connection[Any], task_id: str) -> None:
    """Do what `CancelTask` does."""
    move(connection, task_id, "canceled")


def run_due(connection: psycopg.Connection[Any], task_type: str) -> list[Any]:
    """Do what a processor does with what is due, and return the payloads: claim, begin, end."""
    with connection.transaction():
        rows = connection.execute(DUE, {"type": task_type, "now": datetime.now(UTC)}).fetchall()
        for row in rows:
            move(connection, row[0], "pending")
    for row in rows:
        move(connection, row[0], "processing")
        move(connection, row[0], "done")
    return [row[3] for row in rows]


def move(connection: psycopg.Connection[Any], task_id: object, status: str) -> None:
    """Write a status, as the Go library does: by id alone."""
    connection.execute(MOVE, {"id": task_id, "status": status, "now": datetime.now(UTC)})
