"""How MySQL and MariaDB are asked what people look for; FORCE INDEX keeps stale statistics from choosing another."""

from __future__ import annotations

from typing import Final

from goque.storage.mysql.failures import CANDIDATES, IS_OPEN
from goque.storage.sql.statements.search import SearchStatements

MYSQL_SEARCH: Final = SearchStatements(
    walk=(
        """
    SELECT id, type, external_id, status, attempts, right(errors, 2000), created_at, updated_at, next_attempt_at,
           priority, claimed_by
    FROM goque_task FORCE INDEX (PRIMARY)
    WHERE id < :before""",
        """
    ORDER BY id DESC
    LIMIT :limit""",
    ),
    walk_up=(
        """
    SELECT id, type, external_id, status, attempts, right(errors, 2000), created_at, updated_at, next_attempt_at,
           priority, claimed_by
    FROM goque_task FORCE INDEX (PRIMARY)
    WHERE id > :before""",
        """
    ORDER BY id
    LIMIT :limit""",
    ),
    conditions={
        "failure": IS_OPEN,
        "floor": "id >= :floor",
        "ceiling": "id <= :ceiling",
        "task_type": "type = :task_type",
        "types": "type IN :types",
        "statuses": "status IN :statuses",
        "external_id": "external_id = :external_id",
        "limit_key": "limit_key = :limit_key",
        "error": "locate(lower(:error), lower(errors)) > 0",
        "payload": "locate(lower(:payload), lower(CAST(payload AS CHAR))) > 0",
        "created_from": "created_at >= :created_from",
        "created_before": "created_at < :created_before",
    },
    floor="""
    SELECT id
    FROM goque_task FORCE INDEX (PRIMARY)
    WHERE id < :before
    ORDER BY id DESC
    LIMIT 1 OFFSET :scan""",
    ceiling="""
    SELECT id
    FROM goque_task FORCE INDEX (PRIMARY)
    WHERE id > :before
    ORDER BY id
    LIMIT 1 OFFSET :scan""",
    of_ids="""
    SELECT id
    FROM goque_task FORCE INDEX (PRIMARY)
    WHERE id >= :low AND id <= :high
    ORDER BY id
    LIMIT :most""",
    waiting="""
    SELECT id, status, external_id
    FROM goque_task FORCE INDEX (goque_task_claim_idx)
    WHERE type IN :types AND claim_rank IS NOT NULL
    LIMIT :most""",
    blocked="""
    SELECT id, status
    FROM goque_task FORCE INDEX (goque_task_state_idx)
    WHERE claimed_by IS NULL AND status = 'blocked' AND type IN :types
    LIMIT :most""",
    held="""
    SELECT id, status, external_id
    FROM goque_task FORCE INDEX (goque_task_state_idx)
    WHERE claimed_by IS NOT NULL AND type IN :types
    LIMIT :most""",
    unowned="""
    SELECT id, status
    FROM goque_task FORCE INDEX (goque_task_state_idx)
    WHERE claimed_by IS NULL AND status IN ('pending', 'processing') AND type IN :types
    LIMIT :most""",
    finished="""
    SELECT id, status
    FROM goque_task FORCE INDEX (goque_task_state_idx)
    WHERE claimed_by IS NULL AND status = :status AND type IN :types
    LIMIT :most""",
    finished_total="""
    SELECT count(*)
    FROM (
        SELECT 1
        FROM goque_task FORCE INDEX (goque_task_state_idx)
        WHERE claimed_by IS NULL AND status = :status AND type IN :types
        LIMIT :most) AS found""",
    of_types="""
    SELECT id, status
    FROM goque_task FORCE INDEX (goque_task_claim_idx)
    WHERE type IN :types
    LIMIT :most""",
    of_failure=CANDIDATES,
    of_external_id="""
    SELECT id, status
    FROM goque_task
    WHERE type IN :types AND external_id = :external_id
    LIMIT :most""",
    of_external_ids="""
    SELECT id
    FROM goque_task FORCE INDEX (goque_task_type_external_id_idx)
    WHERE type IN :types AND external_id >= :prefix AND external_id < :past
    LIMIT :most""",
    previews="""
    SELECT id, CASE WHEN length(payload) <= :largest THEN left(CAST(payload AS CHAR), :length) END
    FROM goque_task FORCE INDEX (PRIMARY)
    WHERE id IN :batch""",
    lines_by_id="""
    SELECT id, type, external_id, status, attempts, right(errors, 2000), created_at, updated_at, next_attempt_at,
           priority, claimed_by
    FROM goque_task FORCE INDEX (PRIMARY)
    WHERE id IN :batch""",
    finished_counts="""
    SELECT UNIX_TIMESTAMP(updated_at) DIV :step AS slot, count(*)
    FROM goque_task FORCE INDEX (goque_task_state_idx)
    WHERE claimed_by IS NULL AND status = :status AND type = :task_type AND updated_at >= :since
      AND updated_at < :until
    GROUP BY slot""",
    typed_tasks="""
    SELECT type
    FROM goque_task
    GROUP BY type
    LIMIT :limit""",
)
