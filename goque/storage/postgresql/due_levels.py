"""When the first unclaimed task of each type and priority is due, in one statement for many types."""

from __future__ import annotations

from typing import Final

DUE_LEVELS: Final = """
    WITH RECURSIVE level (type, priority, next_attempt_at) AS (
        SELECT asked.type, highest.priority, highest.next_attempt_at
        FROM jsonb_array_elements_text(CAST(:types AS jsonb)) AS asked (type)
        CROSS JOIN LATERAL (
            SELECT waiting.priority, waiting.next_attempt_at
            FROM goque_task AS waiting
            WHERE waiting.type = asked.type AND waiting.status IN ('new', 'error') AND waiting.claimed_by IS NULL
              AND waiting.id <> ALL (ARRAY(SELECT CAST(jsonb_array_elements_text(CAST(:past AS jsonb)) AS uuid)))
            ORDER BY waiting.priority DESC, waiting.next_attempt_at
            LIMIT 1) AS highest
        WHERE NOT EXISTS (SELECT 1 FROM goque_type WHERE goque_type.type = asked.type AND paused <> 0)
        UNION ALL
        SELECT level.type, nearest.priority, nearest.next_attempt_at
        FROM level
        CROSS JOIN LATERAL (
            SELECT lower.priority, lower.next_attempt_at
            FROM goque_task AS lower
            WHERE lower.type = level.type AND lower.status IN ('new', 'error') AND lower.claimed_by IS NULL
              AND lower.priority < level.priority
              AND lower.id <> ALL (ARRAY(SELECT CAST(jsonb_array_elements_text(CAST(:past AS jsonb)) AS uuid)))
            ORDER BY lower.priority DESC, lower.next_attempt_at
            LIMIT 1) AS nearest)
    SELECT type, priority,
           CASE WHEN next_attempt_at > coalesce(CAST(:clock AS timestamptz), statement_timestamp())
                THEN next_attempt_at END,
           coalesce(CAST(:clock AS timestamptz), statement_timestamp())
    FROM level"""
