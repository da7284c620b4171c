"""The statements of `goque list`, the dashboard and other searches, each read through an index without a sort.

A lateral join reads type by type. Each ORDER BY makes the planner use a certain index; `type || ''` prevents the use
of an index. `postgresql/statements.py` explains why.
"""

from __future__ import annotations

from typing import Final

from goque.storage.postgresql.failures import CANDIDATES, IS_OPEN
from goque.storage.sql.statements.search import SearchStatements

POSTGRESQL_SEARCH: Final = SearchStatements(
    walk=(
        """
    SELECT id, type, external_id, status, attempts, right(errors, 2000), created_at, updated_at, next_attempt_at,
           priority, claimed_by
    FROM goque_task
    WHERE id < CAST(:before AS uuid)""",
        """
    ORDER BY id DESC
    LIMIT :limit""",
    ),
    walk_up=(
        """
    SELECT id, type, external_id, status, attempts, right(errors, 2000), created_at, updated_at, next_attempt_at,
           priority, claimed_by
    FROM goque_task
    WHERE id > CAST(:before AS uuid)""",
        """
    ORDER BY id
    LIMIT :limit""",
    ),
    conditions={
        "failure": IS_OPEN,
        "floor": "id >= CAST(:floor AS uuid)",
        "ceiling": "id <= CAST(:ceiling AS uuid)",
        "task_type": "type || '' = :task_type",
        "types": "type || '' = ANY (ARRAY(SELECT jsonb_array_elements_text(CAST(:types AS jsonb))))",
        "statuses": "status || '' = ANY (ARRAY(SELECT jsonb_array_elements_text(CAST(:statuses AS jsonb))))",
        "external_id": "external_id || '' = :external_id",
        "limit_key": "limit_key || '' = :limit_key",
        "error": "strpos(lower(errors), lower(CAST(:error AS text))) > 0",
        "payload": "strpos(lower(CAST(payload AS text)), lower(CAST(:payload AS text))) > 0",
        "created_from": "created_at >= :created_from",
        "created_before": "created_at < :created_before",
    },
    floor="""
    SELECT id
    FROM goque_task
    WHERE id < CAST(:before AS uuid)
    ORDER BY id DESC
    LIMIT 1 OFFSET :scan""",
    ceiling="""
    SELECT id
    FROM goque_task
    WHERE id > CAST(:before AS uuid)
    ORDER BY id
    LIMIT 1 OFFSET :scan""",
    of_ids="""
    SELECT id
    FROM goque_task
    WHERE id >= CAST(:low AS uuid) AND id <= CAST(:high AS uuid)
    ORDER BY id
    LIMIT :most""",
    waiting="""
    SELECT found.id, found.status, found.external_id
    FROM jsonb_array_elements_text(CAST(:types AS jsonb)) AS wanted (type)
    CROSS JOIN LATERAL (
        SELECT id, status, external_id
        FROM goque_task
        WHERE goque_task.type = wanted.type AND status IN ('new', 'error') AND claimed_by IS NULL
        ORDER BY priority DESC, next_attempt_at
        LIMIT :most) AS found
    LIMIT :most""",
    blocked="""
    SELECT found.id, found.status
    FROM jsonb_array_elements_text(CAST(:types AS jsonb)) AS wanted (type)
    CROSS JOIN LATERAL (
        SELECT id, status
        FROM goque_task
        WHERE goque_task.type = wanted.type AND status = 'blocked'
        ORDER BY goque_task.type
        LIMIT :most) AS found
    LIMIT :most""",
    held="""
    SELECT id, status, external_id
    FROM (
        SELECT id, status, external_id, type
        FROM goque_task
        WHERE claimed_by IS NOT NULL
        ORDER BY claimed_by
        LIMIT :most) AS held
    WHERE type = ANY (ARRAY(SELECT jsonb_array_elements_text(CAST(:types AS jsonb))))""",
    unowned="""
    SELECT id, status
    FROM (
        SELECT id, status, type
        FROM goque_task
        WHERE status IN ('pending', 'processing') AND claimed_by IS NULL
        ORDER BY coalesce(updated_at, created_at)
        LIMIT :most) AS unowned
    WHERE type = ANY (ARRAY(SELECT jsonb_array_elements_text(CAST(:types AS jsonb))))""",
    finished="""
    SELECT found.id, found.status
    FROM jsonb_array_elements_text(CAST(:types AS jsonb)) AS wanted (type)
    CROSS JOIN LATERAL (
        SELECT id, status
        FROM goque_task
        WHERE goque_task.type = wanted.type AND status = :status
          AND status IN ('done', 'canceled', 'attempts_left') AND claimed_by IS NULL
        ORDER BY coalesce(updated_at, created_at)
        LIMIT :most) AS found
    LIMIT :most""",
    finished_total="""
    SELECT count(*)
    FROM (
        SELECT 1
        FROM jsonb_array_elements_text(CAST(:types AS jsonb)) AS wanted (type)
        CROSS JOIN LATERAL (
            SELECT 1
            FROM goque_task
            WHERE goque_task.type = wanted.type AND status = :status
              AND status IN ('done', 'canceled', 'attempts_left') AND claimed_by IS NULL
            LIMIT :most) AS one
        LIMIT :most) AS found""",
    of_types="""
    SELECT found.id, found.status
    FROM jsonb_array_elements_text(CAST(:types AS jsonb)) AS wanted (type)
    CROSS JOIN LATERAL (
        SELECT id, status
        FROM goque_task
        WHERE goque_task.type = wanted.type
        ORDER BY external_id
        LIMIT :most) AS found
    LIMIT :most""",
    of_failure=CANDIDATES,
    of_external_id="""
    SELECT found.id, found.status
    FROM jsonb_array_elements_text(CAST(:types AS jsonb)) AS wanted (type)
    CROSS JOIN LATERAL (
        SELECT id, status
        FROM goque_task
        WHERE goque_task.type = wanted.type AND external_id = :external_id) AS found
    LIMIT :most""",
    of_external_ids="""
    SELECT found.id
    FROM jsonb_array_elements_text(CAST(:types AS jsonb)) AS wanted (type)
    CROSS JOIN LATERAL (
        SELECT id, external_id
        FROM goque_task
        WHERE goque_task.type = wanted.type AND external_id >= :prefix
        ORDER BY external_id
        LIMIT :scan) AS found
    WHERE starts_with(found.external_id, :prefix)
    LIMIT :most""",
    previews="""
    SELECT id, CASE WHEN pg_column_size(payload) <= :largest THEN left(CAST(payload AS text), :length) END
    FROM goque_task
    WHERE id = ANY (ARRAY(SELECT CAST(jsonb_array_elements_text(CAST(:batch AS jsonb)) AS uuid)))""",
    lines_by_id="""
    SELECT id, type, external_id, status, attempts, right(errors, 2000), created_at, updated_at, next_attempt_at,
           priority, claimed_by
    FROM goque_task
    WHERE id = ANY (ARRAY(SELECT CAST(jsonb_array_elements_text(CAST(:batch AS jsonb)) AS uuid)))""",
    finished_counts="""
    SELECT CAST(floor(extract(epoch FROM coalesce(updated_at, created_at)) / :step) AS bigint) AS slot, count(*)
    FROM goque_task
    WHERE type = :task_type AND status = :status AND coalesce(updated_at, created_at) >= :since
      AND coalesce(updated_at, created_at) < :until
      AND status IN ('done', 'canceled', 'attempts_left') AND claimed_by IS NULL
    GROUP BY slot""",
    typed_tasks="""
    WITH RECURSIVE known (type) AS (
        (SELECT type FROM goque_task ORDER BY type LIMIT 1)
        UNION ALL
        SELECT (SELECT next.type FROM goque_task AS next WHERE next.type > known.type ORDER BY next.type LIMIT 1)
        FROM known
        WHERE known.type IS NOT NULL)
    SELECT type
    FROM known
    WHERE type IS NOT NULL
    LIMIT :limit""",
)
