"""The statements about recorded steps that SQLite says in its own way; CROSS JOIN keeps the batch the outer table."""

from __future__ import annotations

from typing import Final

from goque.storage.sql.statements.recorded_steps import RecordedStepStatements

CLAIMS: Final = """
    CASE typeof(goque_task.claims) WHEN 'integer'
        THEN max(min(goque_task.claims, 2147483647), -2147483648) ELSE 0 END"""
"""The number of a claim as it is read, whatever the file holds."""

HOLD: Final = """
    SELECT goque_task.id, goque_task.flags
    FROM json_each(:batch) AS claim
    CROSS JOIN goque_task ON goque_task.id = claim.key
    WHERE <claims> = claim.value
      AND +goque_task.claimed_by IS :owner AND +goque_task.status IN ('pending', 'processing')
    """.replace("<claims>", CLAIMS)
"""It needs no lock: the transaction keeps all other writers out."""

IS_HELD: Final = """
    SELECT 1
    FROM goque_task
    WHERE id = :id AND <claims> = :claims
      AND +claimed_by IS :owner AND +status IN ('pending', 'processing')""".replace("<claims>", CLAIMS)

INSERT_STEPS: Final = """
    INSERT INTO goque_step (task_id, kind, name, value, claims, duration, made_at)
    SELECT json_extract(value, '$[0]'), 'step', json_extract(value, '$[1]'), json_extract(value, '$[2]'),
           json_extract(value, '$[3]'), json_extract(value, '$[4]'), :now
    FROM json_each(:batch)
    WHERE true
    ON CONFLICT DO NOTHING"""

ASKED: Final = """
    SELECT goque_step.task_id, goque_step.kind, goque_step.name, goque_step.value, goque_step.until
    FROM json_each(:batch) AS asked
    CROSS JOIN goque_step
      ON goque_step.task_id = json_extract(asked.value, '$[0]')
      AND goque_step.kind = json_extract(asked.value, '$[1]')
      AND goque_step.name = json_extract(asked.value, '$[2]')"""

SIZES: Final = """
    SELECT name, length(CAST(value AS BLOB))
    FROM goque_step
    WHERE task_id = :id AND kind = 'step' AND name > :after
    ORDER BY name
    LIMIT :limit"""

DELETE_SOME: Final = """
    DELETE FROM goque_step
    WHERE (task_id, kind, name) IN (
        SELECT task_id, kind, name
        FROM goque_step
        WHERE task_id IN <ids>
        LIMIT :limit)"""

SQLITE_RECORDED_STEPS: Final = RecordedStepStatements.of(
    ids="IN (SELECT value FROM json_each(:ids))",
    lock="",
    status="+status",
    hold=HOLD,
    is_held=IS_HELD,
    insert_steps=INSERT_STEPS,
    asked=ASKED,
    sizes=SIZES,
    delete_some=DELETE_SOME,
)
