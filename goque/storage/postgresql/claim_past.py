"""The statements that claim tasks behind others that cannot be changed, such as when a trigger undoes each claim."""

from __future__ import annotations

from typing import Final

from goque.storage.sql.statements.kinds import ClaimPast

CLAIM_PAST: Final = ClaimPast(
    lock="""
    SELECT CAST(id AS text), CAST(id AS text)
    FROM goque_task
    WHERE type = :task_type AND status IN ('new', 'error') AND claimed_by IS NULL AND next_attempt_at <= :now
      AND priority BETWEEN coalesce(CAST(:priority AS smallint), -32768)
                       AND coalesce(CAST(:priority AS smallint), 32767)
      AND id <> ALL (ARRAY(SELECT CAST(jsonb_array_elements_text(CAST(:past AS jsonb)) AS uuid)))
      AND NOT EXISTS (
          SELECT 1
          FROM goque_type
          WHERE goque_type.type = :task_type AND (paused <> 0 OR limits IS NOT NULL OR limits_set IS NOT NULL))
    ORDER BY priority DESC, next_attempt_at
    LIMIT :limit
    FOR UPDATE OF goque_task SKIP LOCKED""",
    change="""
    UPDATE goque_task
    SET status = 'pending', claimed_by = :owner, updated_at = :now,
        claims = CASE WHEN claims BETWEEN 0 AND 2147483646 THEN claims + 1 ELSE 1 END
    WHERE id = ANY (ARRAY(SELECT CAST(jsonb_array_elements_text(CAST(:keys AS jsonb)) AS uuid)))""",
    changed="""
    SELECT CAST(id AS text), id, type, external_id, payload, status, attempts, errors, metadata, created_at,
           updated_at, next_attempt_at, priority, result, claimed_by, claims, lost_claims, unique_key, limit_key, flags
    FROM goque_task
    WHERE id = ANY (ARRAY(SELECT CAST(jsonb_array_elements_text(CAST(:keys AS jsonb)) AS uuid)))
      AND status || '' = 'pending' AND claimed_by || '' = :owner""",
)
