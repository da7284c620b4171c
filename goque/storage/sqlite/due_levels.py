"""When the first unclaimed task of each type and priority is due, in one statement for many types.

An instant of whole seconds sorts after the others of its second, so the first row of a level may be due later than
one of whole seconds: hence the last EXISTS, which runs only if the first row is due within the current second. A
priority that is no integer, which only SQLite stores, counts as `ANY_PRIORITY`: no claim of one priority would find it.
"""

from __future__ import annotations

from typing import Final

from goque.storage.contract import ANY_PRIORITY

DUE_LEVELS: Final = """
    WITH RECURSIVE level (type, priority, next_attempt_at) AS (
        SELECT asked.value, highest.priority, highest.next_attempt_at
        FROM json_each(:types) AS asked
        CROSS JOIN goque_task AS highest ON highest.rowid = (
            SELECT waiting.rowid
            FROM goque_task AS waiting INDEXED BY goque_task_claim_idx
            WHERE waiting.type = asked.value AND waiting.status IN ('new', 'error')
              AND waiting.claimed_by IS NULL
              AND waiting.rowid NOT IN (SELECT value FROM json_each(:past))
            ORDER BY waiting.priority DESC, waiting.next_attempt_at
            LIMIT 1)
        WHERE NOT EXISTS (SELECT 1 FROM goque_type WHERE goque_type.type = asked.value AND paused)
        UNION ALL
        SELECT level.type, lower.priority, lower.next_attempt_at
        FROM level
        CROSS JOIN goque_task AS lower ON lower.rowid = (
            SELECT nearest.rowid
            FROM goque_task AS nearest INDEXED BY goque_task_claim_idx
            WHERE nearest.type = level.type AND nearest.status IN ('new', 'error')
              AND nearest.claimed_by IS NULL AND nearest.priority < level.priority
              AND nearest.rowid NOT IN (SELECT value FROM json_each(:past))
            ORDER BY nearest.priority DESC, nearest.next_attempt_at
            LIMIT 1))
    SELECT type, CASE typeof(priority) WHEN 'integer' THEN priority ELSE <any priority> END,
           CASE WHEN next_attempt_at <= :now OR next_attempt_at <= :upper AND EXISTS (
               SELECT 1
               FROM goque_task AS due INDEXED BY goque_task_claim_idx
               WHERE due.type = level.type AND due.status IN ('new', 'error') AND due.claimed_by IS NULL
                 AND due.priority = level.priority AND due.next_attempt_at = :upper
                 AND due.rowid NOT IN (SELECT value FROM json_each(:past)))
           THEN NULL ELSE next_attempt_at END,
           :now
    FROM level""".replace("<any priority>", str(ANY_PRIORITY))
