"""How many tasks wait, on PostgreSQL: each part reads one index only."""

from __future__ import annotations

from typing import Final

from goque.storage.sql.statements.type_counts import TypeCountStatements
from goque.task_row import TaskStatus

QUEUE_DEPTHS: Final = """
    SELECT type, status, count(*) AS tasks, min(next_attempt_at) AS earliest
    FROM (
        SELECT type, status, next_attempt_at
        FROM goque_task
        WHERE status IN ('new', 'error') AND claimed_by IS NULL
        ORDER BY type, priority DESC, next_attempt_at
        OFFSET 0) AS waiting
    GROUP BY type, status
    UNION ALL
    SELECT type, status, count(*), NULL
    FROM (
        SELECT type, status
        FROM goque_task
        WHERE claimed_by IS NOT NULL AND status || '' IN ('pending', 'processing')
        ORDER BY claimed_by
        OFFSET 0) AS held
    GROUP BY type, status
    UNION ALL
    SELECT type, status, count(*), NULL
    FROM (
        SELECT type, status
        FROM goque_task
        WHERE status IN ('pending', 'processing') AND claimed_by IS NULL
        ORDER BY coalesce(updated_at, created_at)
        OFFSET 0) AS unowned
    GROUP BY type, status
    UNION ALL
    SELECT type, 'blocked', count(*), NULL
    FROM (
        SELECT type
        FROM goque_task
        WHERE status = 'blocked'
        ORDER BY type
        OFFSET 0) AS blocked
    GROUP BY type"""
"""Each ORDER BY is there only to choose an index: with sorting switched off, no other index has that order."""

_ENDED: Final = """
    SELECT wanted.type, :status, found.tasks
    FROM jsonb_array_elements_text(CAST(:types AS jsonb)) AS wanted (type)
    CROSS JOIN LATERAL (
        SELECT count(*) AS tasks
        FROM (
            SELECT 1
            FROM goque_task
            WHERE goque_task.type = wanted.type AND status = :status
              AND status IN ('done', 'canceled', 'attempts_left') AND claimed_by IS NULL
            LIMIT :most) AS one) AS found"""

_WAITING: Final = """
    SELECT wanted.type, found.status, count(*)
    FROM jsonb_array_elements_text(CAST(:types AS jsonb)) AS wanted (type)
    CROSS JOIN LATERAL (
        SELECT status
        FROM goque_task
        WHERE goque_task.type = wanted.type AND status IN ('new', 'error') AND claimed_by IS NULL
        ORDER BY priority DESC, next_attempt_at
        LIMIT :most) AS found
    GROUP BY wanted.type, found.status"""

_BLOCKED: Final = """
    SELECT wanted.type, :status, found.tasks
    FROM jsonb_array_elements_text(CAST(:types AS jsonb)) AS wanted (type)
    CROSS JOIN LATERAL (
        SELECT count(*) AS tasks
        FROM (
            SELECT 1
            FROM goque_task
            WHERE goque_task.type = wanted.type AND status = 'blocked'
            ORDER BY goque_task.type
            LIMIT :most) AS one) AS found"""

_HELD: Final = """
    SELECT type, status, count(*)
    FROM (
        SELECT type, status
        FROM goque_task
        WHERE claimed_by IS NOT NULL
        ORDER BY claimed_by
        LIMIT :most) AS held
    GROUP BY type, status"""

_UNOWNED: Final = """
    SELECT type, status, count(*)
    FROM (
        SELECT type, status
        FROM goque_task
        WHERE status IN ('pending', 'processing') AND claimed_by IS NULL
        ORDER BY coalesce(updated_at, created_at)
        LIMIT :most) AS unowned
    GROUP BY type, status"""

_NEWEST_ENDED: Final = """
    SELECT wanted.type, found.id, found.ended
    FROM jsonb_array_elements_text(CAST(:types AS jsonb)) AS wanted (type)
    CROSS JOIN LATERAL (
        SELECT id, coalesce(updated_at, created_at) AS ended
        FROM goque_task
        WHERE goque_task.type = wanted.type AND status = :status
          AND status IN ('done', 'canceled', 'attempts_left') AND claimed_by IS NULL
        ORDER BY coalesce(updated_at, created_at) DESC
        LIMIT :most) AS found"""

TYPE_COUNTS: Final = TypeCountStatements(
    types_at_once=500,
    unclaimed={
        TaskStatus.NEW: _WAITING,
        TaskStatus.BLOCKED: _BLOCKED,
        TaskStatus.DONE: _ENDED,
        TaskStatus.CANCELED: _ENDED,
        TaskStatus.ATTEMPTS_LEFT: _ENDED,
    },
    claimed=(_HELD, _UNOWNED),
    newest_ended=_NEWEST_ENDED,
)
