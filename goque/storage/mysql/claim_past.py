"""How MySQL and MariaDB claims past tasks that cannot be changed, as when a trigger undoes each claim."""

from __future__ import annotations

from typing import Final

from goque.storage.mysql.claim_texts import CHANGE_KEEPING_KEY
from goque.storage.sql.statements.kinds import ClaimPast

CLAIM_PAST: Final = ClaimPast(
    lock="""
    SELECT id, id
    FROM goque_task FORCE INDEX (goque_task_claim_idx)
    WHERE type = :task_type AND next_attempt_at <= :now AND id NOT IN :past
      AND claim_rank BETWEEN coalesce(0 - :priority, -999) AND coalesce(0 - :priority, 32768)
      AND NOT EXISTS (
          SELECT 1
          FROM goque_type
          WHERE goque_type.type = :task_type AND (paused <> 0 OR limits IS NOT NULL OR limits_set IS NOT NULL))
    ORDER BY claim_rank, next_attempt_at
    LIMIT :limit
    FOR UPDATE SKIP LOCKED""",
    change=CHANGE_KEEPING_KEY.replace(":ids", ":keys"),
    changed="""
    SELECT id, id, type, external_id, payload, status, attempts, errors, metadata, created_at,
           updated_at, next_attempt_at, priority, result, claimed_by, claims, lost_claims, unique_key, limit_key, flags
    FROM goque_task FORCE INDEX (PRIMARY)
    WHERE id IN :keys AND status = 'pending' AND claimed_by = :owner""",
)
