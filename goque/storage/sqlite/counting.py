"""How SQLite counts tasks by type and status: along its partial indexes, where these know all tasks."""

from __future__ import annotations

from typing import Final

from goque.storage.sql.statements.type_counts import TypeCountStatements
from goque.task_row import TaskStatus

COUNT_TASKS: Final = """
    SELECT type, status, count(*) AS tasks, NULL AS earliest
    FROM goque_task
    GROUP BY +type, +status"""

COUNT_BY_INDEXES: Final = """
    SELECT type, status, tasks, (SELECT count(*) FROM goque_task) AS total
    FROM (
        SELECT type, status, count(*) AS tasks
        FROM goque_task INDEXED BY goque_task_finished_idx
        WHERE status IN ('done', 'canceled', 'attempts_left') AND claimed_by IS NULL
        GROUP BY type, status
        UNION ALL
        SELECT type, status, count(*)
        FROM goque_task INDEXED BY goque_task_claim_idx
        WHERE status IN ('new', 'error') AND claimed_by IS NULL
        GROUP BY type, +status
        UNION ALL
        SELECT type, status, count(*)
        FROM goque_task INDEXED BY goque_task_owner_idx
        WHERE claimed_by IS NOT NULL
        GROUP BY +type, +status
        UNION ALL
        SELECT type, status, count(*)
        FROM goque_task INDEXED BY goque_task_unowned_idx
        WHERE status IN ('pending', 'processing') AND claimed_by IS NULL
        GROUP BY +type, +status
        UNION ALL
        SELECT type, status, count(*)
        FROM goque_task INDEXED BY goque_task_blocked_idx
        WHERE status = 'blocked'
        GROUP BY type, status)"""
"""A quarter of the work of COUNT_TASKS where most tasks have ended."""

QUEUE_DEPTHS: Final = """
    WITH waiting AS (
        SELECT type, sum(status = 'new') AS fresh, sum(status = 'error') AS retried,
               min(CASE status WHEN 'new' THEN next_attempt_at END) AS fresh_at,
               min(CASE status WHEN 'error' THEN next_attempt_at END) AS retried_at
        FROM goque_task INDEXED BY goque_task_claim_idx
        WHERE status IN ('new', 'error') AND claimed_by IS NULL
        GROUP BY type)
    SELECT type, 'new' AS status, fresh AS tasks, fresh_at AS earliest
    FROM waiting
    WHERE fresh > 0
    UNION ALL
    SELECT type, 'error', retried, retried_at
    FROM waiting
    WHERE retried > 0
    UNION ALL
    SELECT type, status, count(*), NULL
    FROM goque_task INDEXED BY goque_task_owner_idx
    WHERE claimed_by IS NOT NULL AND +status IN ('pending', 'processing')
    GROUP BY +type, +status
    UNION ALL
    SELECT type, status, count(*), NULL
    FROM goque_task INDEXED BY goque_task_unowned_idx
    WHERE status IN ('pending', 'processing') AND claimed_by IS NULL
    GROUP BY +type, +status
    UNION ALL
    SELECT type, 'blocked', count(*), NULL
    FROM goque_task INDEXED BY goque_task_blocked_idx
    WHERE status = 'blocked'
    GROUP BY type"""
"""Waiting tasks come in the order of the index, one group for each type: groups by status would be sorted."""

_ENDED: Final = """
    SELECT :type_0, :status, count(*)
    FROM (
        SELECT 1
        FROM goque_task INDEXED BY goque_task_finished_idx
        WHERE type = :type_0 AND status = :status
          AND status IN ('done', 'canceled', 'attempts_left') AND claimed_by IS NULL
        LIMIT :most)"""

_WAITING: Final = """
    SELECT :type_0, status, count(*)
    FROM (
        SELECT status
        FROM goque_task INDEXED BY goque_task_claim_idx
        WHERE type = :type_0 AND status IN ('new', 'error') AND claimed_by IS NULL
        LIMIT :most)
    GROUP BY status"""

_BLOCKED: Final = """
    SELECT :type_0, :status, count(*)
    FROM (
        SELECT 1
        FROM goque_task INDEXED BY goque_task_blocked_idx
        WHERE type = :type_0 AND status = 'blocked'
        LIMIT :most)"""

_HELD: Final = """
    SELECT type, status, count(*)
    FROM (
        SELECT type, status
        FROM goque_task INDEXED BY goque_task_owner_idx
        WHERE claimed_by IS NOT NULL
        LIMIT :most)
    GROUP BY type, status"""

_UNOWNED: Final = """
    SELECT type, status, count(*)
    FROM (
        SELECT type, status
        FROM goque_task INDEXED BY goque_task_unowned_idx
        WHERE status IN ('pending', 'processing') AND claimed_by IS NULL
        LIMIT :most)
    GROUP BY type, status"""

_NEWEST_ENDED: Final = """
    SELECT type, id, coalesce(updated_at, created_at)
    FROM goque_task INDEXED BY goque_task_finished_idx
    WHERE type = :type_0 AND status = :status
      AND status IN ('done', 'canceled', 'attempts_left') AND claimed_by IS NULL
    ORDER BY coalesce(updated_at, created_at) DESC
    LIMIT :most"""

TYPE_COUNTS: Final = TypeCountStatements(
    types_at_once=1,
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
"""One type at once, because a statement costs SQLite little, and its subqueries cannot see the type of an outer row."""
