"""How SQLite claims past tasks that cannot be changed, as when a trigger undoes each claim."""

from __future__ import annotations

from typing import Final

from goque.storage.sql.statements.kinds import ClaimPast

HAS_USUAL_ID: Final = "typeof(id) = 'text' AND length(id) = 36 AND id NOT GLOB '*[^0-9A-Za-z-]*'"
"""What the processes of a tree can write into their black boxes, and find again; no other task is claimed."""

CLAIM_PAST: Final = ClaimPast(
    lock="""
    SELECT rowid, id
    FROM goque_task INDEXED BY goque_task_claim_idx
    WHERE type = :task_type AND status IN ('new', 'error') AND claimed_by IS NULL
      AND next_attempt_at <= :upper AND (next_attempt_at <= :now OR next_attempt_at = :upper)
      AND (:priority IS NULL OR priority = :priority)
      AND rowid NOT IN (SELECT value FROM json_each(:past))
      AND NOT EXISTS (
          SELECT 1
          FROM goque_type
          WHERE goque_type.type = :task_type AND (paused OR limits IS NOT NULL OR limits_set IS NOT NULL))
    ORDER BY priority DESC, next_attempt_at
    LIMIT :limit""",
    change="""
    UPDATE goque_task
    SET status = 'pending', claimed_by = :owner, updated_at = :now,
        claims = CASE WHEN typeof(claims) = 'integer' AND claims BETWEEN 0 AND 2147483646
                      THEN claims + 1 ELSE 1 END
    WHERE rowid IN (SELECT value FROM json_each(:keys)) AND <usual id>""".replace("<usual id>", HAS_USUAL_ID),
    changed="""
    SELECT rowid, id, type, external_id, payload, status, attempts, errors, metadata, created_at,
           updated_at, next_attempt_at, priority, result, claimed_by, claims, lost_claims, unique_key, limit_key, flags
    FROM goque_task
    WHERE rowid IN (SELECT value FROM json_each(:keys)) AND +status = 'pending' AND +claimed_by = :owner""",
)
