"""The statements for unique keys in SQLite. The condition is that of the index, which else could not serve it."""

from __future__ import annotations

from typing import Final

INSERT_KEYED_TASKS: Final = """
    INSERT INTO goque_task (id, type, external_id, payload, status, attempts, metadata, created_at,
                            next_attempt_at, priority, unique_key, limit_key, flags)
    SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]'),
           json_extract(value, '$[3]'), json_extract(value, '$[9]'), 0, json_extract(value, '$[4]'), :now,
           json_extract(value, '$[5]'), json_extract(value, '$[6]'), json_extract(value, '$[7]'),
           json_extract(value, '$[8]'), json_extract(value, '$[10]')
    FROM json_each(:batch)
    WHERE true
    ON CONFLICT DO NOTHING
    RETURNING id"""

TASK_BY_UNIQUE_KEY: Final = """
    SELECT id, type, external_id, payload, status, attempts, errors, metadata, created_at, updated_at,
           next_attempt_at, priority, result, claimed_by, claims, lost_claims, unique_key, limit_key, flags
    FROM goque_task INDEXED BY goque_task_unique_idx
    WHERE type = :type AND substr(unique_key, 2) = substr(:unique_key, 2)
      AND unique_key IS NOT NULL AND CASE substr(unique_key, 1, 1)
        WHEN 'w' THEN status IN ('new', 'blocked') AND claims = 0
        WHEN 'a' THEN status NOT IN ('done', 'canceled', 'attempts_left') OR claimed_by IS NOT NULL
        ELSE 1 END"""

REPLACE_IF_WAITING: Final = """
    UPDATE goque_task
    SET payload = :payload, metadata = :metadata, priority = :priority, next_attempt_at = :next_attempt_at,
        updated_at = :now,
        unique_key = :unique_key, limit_key = :limit_key
    WHERE id = :id AND +status IN ('new', 'error', 'blocked') AND claimed_by IS NULL"""
