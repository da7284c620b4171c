"""The statements for unique keys in MySQL and MariaDB, whose column `held_key` is set while a task holds its key."""

from __future__ import annotations

from typing import Final

INSERT_KEYED_TASKS: Final = """
    INSERT INTO goque_task (id, type, external_id, payload, status, attempts, metadata, created_at,
                            next_attempt_at, priority, unique_key, limit_key, flags)
    VALUES (:id, :type, :external_id, :payload, :status, :attempts, :metadata, :created_at, :next_attempt_at,
            :priority, :unique_key, :limit_key, :flags)"""

TASK_BY_UNIQUE_KEY: Final = """
    SELECT id, type, external_id, payload, status, attempts, errors, metadata, created_at, updated_at,
           next_attempt_at, priority, result, claimed_by, claims, lost_claims, unique_key, limit_key, flags
    FROM goque_task FORCE INDEX (goque_task_unique_idx)
    WHERE type = :type AND held_key = SUBSTR(:unique_key, 2)"""

KEY_IS_HELD: Final = """
    SELECT 1
    FROM goque_task FORCE INDEX (goque_task_unique_idx)
    WHERE type = :type AND held_key = SUBSTR(:unique_key, 2)"""
"""Asked before the insert: one that meets a duplicate locks its key until the caller's transaction ends, and a claim
or settlement of that task would wait for it."""

REPLACE_IF_WAITING: Final = """
    UPDATE goque_task FORCE INDEX (PRIMARY)
    SET payload = :payload, metadata = :metadata, priority = :priority, next_attempt_at = :next_attempt_at,
        updated_at = :now,
        unique_key = :unique_key, limit_key = :limit_key
    WHERE id = :id AND status IN ('new', 'error', 'blocked') AND claimed_by IS NULL"""
