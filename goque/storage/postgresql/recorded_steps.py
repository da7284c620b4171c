"""The statements about recorded steps in PostgreSQL's SQL; see `statements.py` for how each has one possible plan."""

from __future__ import annotations

from typing import Final

from goque.storage.sql.statements.recorded_steps import RecordedStepStatements

HOLD: Final = """
    SELECT id, flags
    FROM goque_task
    WHERE id = ANY (ARRAY(SELECT CAST(jsonb_object_keys(CAST(:batch AS jsonb)) AS uuid)))
      AND claims = CAST(CAST(:batch AS jsonb) ->> CAST(id AS text) AS int)
      AND claimed_by IS NOT DISTINCT FROM :owner AND status || '' IN ('pending', 'processing')
    ORDER BY CAST(id AS text) COLLATE "C"
    FOR UPDATE"""

IS_HELD: Final = """
    SELECT 1
    FROM goque_task
    WHERE id = :id AND claims = :claims
      AND claimed_by IS NOT DISTINCT FROM :owner AND status || '' IN ('pending', 'processing')"""

INSERT_STEPS: Final = """
    INSERT INTO goque_step (task_id, kind, name, value, claims, duration, made_at)
    SELECT CAST(step ->> 0 AS uuid), 'step', step ->> 1, step ->> 2, CAST(step ->> 3 AS int),
           CAST(step ->> 4 AS double precision), :now
    FROM jsonb_array_elements(CAST(:batch AS jsonb)) AS step
    ON CONFLICT DO NOTHING"""

ASKED: Final = """
    SELECT found.task_id, found.kind, found.name, found.value, found.until
    FROM jsonb_array_elements(CAST(:batch AS jsonb)) AS asked
    CROSS JOIN LATERAL (
        SELECT task_id, kind, name, value, until
        FROM goque_step
        WHERE task_id = CAST(asked ->> 0 AS uuid) AND kind = asked ->> 1 AND name = asked ->> 2
        LIMIT 1) AS found"""

SIZES: Final = """
    SELECT name, octet_length(value)
    FROM goque_step
    WHERE task_id = :id AND kind = 'step' AND name > :after
    ORDER BY name
    LIMIT :limit"""

DELETE_SOME: Final = """
    DELETE FROM goque_step
    WHERE ctid = ANY (ARRAY(
        SELECT ctid
        FROM goque_step
        WHERE task_id IN <ids>
        LIMIT :limit))"""

POSTGRESQL_RECORDED_STEPS: Final = RecordedStepStatements.of(
    ids="= ANY (ARRAY(SELECT CAST(jsonb_array_elements_text(CAST(:ids AS jsonb)) AS uuid)))",
    lock='ORDER BY CAST(id AS text) COLLATE "C" FOR UPDATE',
    status="status || ''",
    hold=HOLD,
    is_held=IS_HELD,
    insert_steps=INSERT_STEPS,
    asked=ASKED,
    sizes=SIZES,
    delete_some=DELETE_SOME,
)
