"""The statements for unique keys in PostgreSQL. The condition is that of the index, which else could not serve it."""

from __future__ import annotations

from typing import Final

INSERT_KEYED_TASKS: Final = """
    INSERT INTO goque_task (id, type, external_id, payload, status, attempts, metadata, created_at,
                            next_attempt_at, priority, unique_key, limit_key, flags)
    SELECT CAST(task ->> 0 AS uuid), task ->> 1, task ->> 2, CAST(task ->> 3 AS jsonb), task ->> 9, 0,
           CAST(task ->> 4 AS jsonb), :now, CAST(task ->> 5 AS timestamptz), CAST(task ->> 6 AS smallint), task ->> 7,
           task ->> 8, CAST(task ->> 10 AS smallint)
    FROM jsonb_array_elements(CAST(:batch AS jsonb)) AS task
    ON CONFLICT DO NOTHING
    RETURNING id"""

TASK_BY_UNIQUE_KEY: Final = """
    SELECT id, type, external_id, payload, status, attempts, errors, metadata, created_at, updated_at,
           next_attempt_at, priority, result, claimed_by, claims, lost_claims, unique_key, limit_key, flags
    FROM goque_task
    WHERE type = :type AND substr(unique_key, 2) = substr(CAST(:unique_key AS text), 2)
      AND unique_key IS NOT NULL AND CASE substr(unique_key, 1, 1)
        WHEN 'w' THEN status IN ('new', 'blocked') AND claims = 0
        WHEN 'a' THEN status NOT IN ('done', 'canceled', 'attempts_left') OR claimed_by IS NOT NULL
        ELSE true END"""

REPLACE_IF_WAITING: Final = """
    UPDATE goque_task
    SET payload = CAST(:payload AS jsonb), metadata = CAST(:metadata AS jsonb), priority = :priority,
        next_attempt_at = :next_attempt_at, updated_at = :now,
        unique_key = :unique_key, limit_key = :limit_key
    WHERE id = :id AND status || '' IN ('new', 'error', 'blocked') AND claimed_by IS NULL"""
