"""The statements with which a node compares the claims in the table with the tasks that it holds."""

from __future__ import annotations

from typing import Final

MOVE_CLAIMS: Final = """
    UPDATE goque_task
    SET claimed_by = :new_owner
    WHERE id = ANY (ARRAY(SELECT CAST(jsonb_object_keys(CAST(:batch AS jsonb)) AS uuid)))
      AND claims = CAST(CAST(:batch AS jsonb) ->> CAST(id AS text) AS int)
      AND claimed_by IS NOT DISTINCT FROM :owner"""

CLAIMS_OF_OWNER: Final = """
    SELECT id, claims, type
    FROM goque_task
    WHERE claimed_by = :owner AND (CAST(:task_type AS text) IS NULL OR type || '' = :task_type)"""
