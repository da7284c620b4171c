"""How PostgreSQL writes the ends of claimed tasks: by id, so that it checks the condition again for a newer version."""

from __future__ import annotations

from typing import Final

HELD: Final = """id = ANY (ARRAY(SELECT CAST(jsonb_object_keys(CAST(:batch AS jsonb)) AS uuid)))
      AND claims = CAST(CAST(:batch AS jsonb) ->> CAST(id AS text) AS int)
      AND claimed_by IS NOT DISTINCT FROM :owner AND status || '' IN ('pending', 'processing')"""

SETTLE_DONE: Final = """
    UPDATE goque_task
    SET status = 'done', claimed_by = NULL, lost_claims = 0,
        updated_at = coalesce(CAST(:clock AS timestamptz), statement_timestamp())
    WHERE <held> RETURNING id, flags""".replace("<held>", HELD)

SETTLE_UNNEEDED: Final = SETTLE_DONE.replace("RETURNING", "  AND coalesce(flags, 0) & 2 = 0\n    RETURNING")

DELETE_UNNEEDED: Final = """
    DELETE FROM goque_task WHERE <held> AND coalesce(flags, 0) = 0 AND errors IS NULL
    RETURNING id, flags""".replace("<held>", HELD)

SETTLE_MOVES: Final = """
    UPDATE goque_task
    SET (status, attempts, errors, next_attempt_at, result, lost_claims) = (
            SELECT move ->> 1, CAST(move ->> 2 AS int), coalesce(move ->> 3, goque_task.errors),
                   coalesce(CAST(move ->> 4 AS timestamptz), goque_task.next_attempt_at),
                   coalesce(CAST(move ->> 5 AS json), goque_task.result), CAST(move ->> 6 AS int)
            FROM (SELECT CAST(:batch AS jsonb) -> CAST(goque_task.id AS text) AS move OFFSET 0) AS looked_up),
        claimed_by = NULL,
        updated_at = :now
    WHERE id = ANY (ARRAY(SELECT CAST(jsonb_object_keys(CAST(:batch AS jsonb)) AS uuid)))
      AND claims = CAST(CAST(:batch AS jsonb) #>> ARRAY[CAST(id AS text), '0'] AS int)
      AND claimed_by IS NOT DISTINCT FROM :owner AND status || '' IN ('pending', 'processing')
    RETURNING id, flags"""

RELEASE_STALE: Final = """
    UPDATE goque_task
    SET claimed_by = NULL
    WHERE id = ANY (ARRAY(SELECT CAST(jsonb_object_keys(CAST(:batch AS jsonb)) AS uuid)))
      AND claims = CAST(CAST(:batch AS jsonb) ->> CAST(id AS text) AS int)
      AND claimed_by IS NOT DISTINCT FROM :owner AND CAST(:owner AS text) IS NOT NULL
      AND status || '' NOT IN ('pending', 'processing')
    RETURNING id, flags"""
