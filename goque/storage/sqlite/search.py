"""How SQLite is asked what people look for; a unary plus keeps a condition from choosing an index."""

from __future__ import annotations

from typing import Final

from goque.storage.sql.statements.search import SearchStatements
from goque.storage.sqlite.failures import CANDIDATES, IS_OPEN

SQLITE_SEARCH: Final = SearchStatements(
    walk=(
        """
    SELECT id, type, external_id, status, attempts, substr(errors, -2000), created_at, updated_at, next_attempt_at,
           priority, claimed_by
    FROM goque_task
    WHERE id < :before""",
        """
    ORDER BY id DESC
    LIMIT :limit""",
    ),
    walk_up=(
        """
    SELECT id, type, external_id, status, attempts, substr(errors, -2000), created_at, updated_at, next_attempt_at,
           priority, claimed_by
    FROM goque_task
    WHERE id > :before""",
        """
    ORDER BY id
    LIMIT :limit""",
    ),
    conditions={
        "failure": IS_OPEN,
        "floor": "id >= :floor",
        "ceiling": "id <= :ceiling",
        "task_type": "+type = :task_type",
        "types": "+type IN (SELECT value FROM json_each(:types))",
        "statuses": "+status IN (SELECT value FROM json_each(:statuses))",
        "external_id": "+external_id = :external_id",
        "limit_key": "+limit_key = :limit_key",
        "error": "instr(lower(errors), lower(:error)) > 0",
        "payload": "instr(lower(payload), lower(:payload)) > 0",
        "created_from": "rtrim(created_at, 'Z') >= rtrim(:created_from, 'Z')",
        "created_before": "rtrim(created_at, 'Z') < rtrim(:created_before, 'Z')",
    },
    waiting="""
    SELECT id, status, external_id
    FROM goque_task INDEXED BY goque_task_claim_idx
    WHERE type IN (SELECT value FROM json_each(:types)) AND status IN ('new', 'error') AND claimed_by IS NULL
    LIMIT :most""",
    blocked="""
    SELECT id, status
    FROM goque_task INDEXED BY goque_task_blocked_idx
    WHERE status = 'blocked' AND type IN (SELECT value FROM json_each(:types))
    LIMIT :most""",
    held="""
    SELECT id, status, external_id
    FROM goque_task INDEXED BY goque_task_owner_idx
    WHERE claimed_by IS NOT NULL AND +type IN (SELECT value FROM json_each(:types))
    LIMIT :most""",
    unowned="""
    SELECT id, status
    FROM goque_task INDEXED BY goque_task_unowned_idx
    WHERE status IN ('pending', 'processing') AND claimed_by IS NULL
      AND +type IN (SELECT value FROM json_each(:types))
    LIMIT :most""",
    finished="""
    SELECT id, status
    FROM goque_task INDEXED BY goque_task_finished_idx
    WHERE type IN (SELECT value FROM json_each(:types)) AND status = :status
      AND status IN ('done', 'canceled', 'attempts_left') AND claimed_by IS NULL
    LIMIT :most""",
    finished_total="""
    SELECT count(*)
    FROM (
        SELECT 1
        FROM goque_task INDEXED BY goque_task_finished_idx
        WHERE type IN (SELECT value FROM json_each(:types)) AND status = :status
          AND status IN ('done', 'canceled', 'attempts_left') AND claimed_by IS NULL
        LIMIT :most) AS found""",
    of_types="""
    SELECT id, status
    FROM goque_task
    WHERE type IN (SELECT value FROM json_each(:types))
    LIMIT :most""",
    of_failure=CANDIDATES,
    of_external_id="""
    SELECT id, status
    FROM goque_task
    WHERE type IN (SELECT value FROM json_each(:types)) AND external_id = :external_id
    LIMIT :most""",
    of_external_ids="""
    SELECT id
    FROM goque_task
    WHERE type IN (SELECT value FROM json_each(:types)) AND external_id >= :prefix AND external_id < :past
    LIMIT :most""",
    previews="""
    SELECT id, CASE WHEN length(payload) <= :largest THEN substr(payload, 1, :length) END
    FROM goque_task
    WHERE id IN (SELECT value FROM json_each(:batch))""",
    lines_by_id="""
    SELECT id, type, external_id, status, attempts, substr(errors, -2000), created_at, updated_at, next_attempt_at,
           priority, claimed_by
    FROM goque_task
    WHERE id IN (SELECT value FROM json_each(:batch))""",
    finished_counts="""
    SELECT CAST(strftime('%s', coalesce(updated_at, created_at)) AS INTEGER) / :step AS slot, count(*)
    FROM goque_task INDEXED BY goque_task_finished_idx
    WHERE type = :task_type AND status = :status AND coalesce(updated_at, created_at) >= :since
      AND coalesce(updated_at, created_at) < :until
      AND status IN ('done', 'canceled', 'attempts_left') AND claimed_by IS NULL
    GROUP BY slot""",
    typed_tasks="""
    WITH RECURSIVE known (type) AS (
        SELECT min(type)
        FROM goque_task
        UNION ALL
        SELECT (SELECT min(next.type) FROM goque_task AS next WHERE next.type > known.type)
        FROM known
        WHERE known.type IS NOT NULL)
    SELECT type
    FROM known
    WHERE type IS NOT NULL
    LIMIT :limit""",
)
