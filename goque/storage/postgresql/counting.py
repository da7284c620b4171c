"""How many tasks wait, on PostgreSQL: each part reads one index only."""

from __future__ import annotations

from typing import Final

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
