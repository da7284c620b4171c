"""The statements about recorded steps in words that both MySQL and MariaDB understand, as in `statements.py`."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from goque.storage.sql.statements.recorded_steps import RecordedStepStatements

HOLD: Final = """
    SELECT goque_task.id, goque_task.flags
    FROM JSON_TABLE(:batch, '$[*]' COLUMNS (
        id CHAR(36) CHARACTER SET utf8mb4 PATH '$[0]', claims INT PATH '$[1]')) AS claim
    STRAIGHT_JOIN goque_task
      ON goque_task.id = claim.id /*M!100600 COLLATE utf8mb4_nopad_bin */ /*!80017 COLLATE utf8mb4_0900_bin */
    WHERE goque_task.claims = claim.claims AND goque_task.claimed_by <=> :owner
      AND goque_task.status IN ('pending', 'processing')
    FOR UPDATE /*!80017 OF goque_task */"""
"""MySQL is told which table, for it refuses to lock what is no table; MariaDB knows no OF."""

IS_HELD: Final = """
    SELECT 1
    FROM goque_task
    WHERE id = :id AND claims = :claims AND claimed_by <=> :owner AND status IN ('pending', 'processing')"""

INSERT_STEPS: Final = """
    INSERT IGNORE INTO goque_step (task_id, kind, name, value, claims, duration, made_at)
    SELECT step.task_id, 'step', step.name, step.value, step.claims, step.duration, :now
    FROM JSON_TABLE(:batch, '$[*]' COLUMNS (
        task_id CHAR(36) CHARACTER SET utf8mb4 PATH '$[0]',
        name VARCHAR(200) CHARACTER SET utf8mb4 PATH '$[1]',
        value LONGTEXT CHARACTER SET utf8mb4 PATH '$[2]',
        claims INT PATH '$[3]',
        duration DOUBLE PATH '$[4]')) AS step"""

INSERT_ONE: Final = """
    INSERT IGNORE INTO goque_step (task_id, kind, name, value, claims, duration, made_at)
    VALUES (:task_id, :kind, :name, :value, :claims, :duration, :now)"""
"""Not ON DUPLICATE KEY UPDATE: what that says it changed depends on the caller's connection."""

SAVE: Final = """
    INSERT INTO goque_step (task_id, kind, name, value, claims, until, made_at)
    VALUES (:task_id, :kind, :name, :value, :claims, :until, :now)
    ON DUPLICATE KEY UPDATE value = VALUES(value), claims = VALUES(claims)"""

SAVE_PROGRESS: Final = """
    INSERT INTO goque_step (task_id, kind, name, value, claims, made_at)
    VALUES (:task_id, :kind, :name, :value, :claims, :now)
    ON DUPLICATE KEY UPDATE value = VALUES(value), claims = VALUES(claims), made_at = VALUES(made_at)"""
"""Only parameters among its values: else PyMySQL does not make one statement of many rows."""

ASKED: Final = """
    SELECT goque_step.task_id, goque_step.kind, goque_step.name, goque_step.value, goque_step.until
    FROM JSON_TABLE(:batch, '$[*]' COLUMNS (
        task_id CHAR(36) CHARACTER SET utf8mb4 PATH '$[0]',
        kind VARCHAR(16) CHARACTER SET utf8mb4 PATH '$[1]',
        name VARCHAR(200) CHARACTER SET utf8mb4 PATH '$[2]')) AS asked
    STRAIGHT_JOIN goque_step FORCE INDEX (PRIMARY)
      ON goque_step.task_id = asked.task_id <bin> AND goque_step.kind = asked.kind <bin>
      AND goque_step.name = asked.name <bin>""".replace(
    "<bin>", "/*M!100600 COLLATE utf8mb4_nopad_bin */ /*!80017 COLLATE utf8mb4_0900_bin */"
)

SIZES: Final = """
    SELECT name, octet_length(value)
    FROM goque_step FORCE INDEX (PRIMARY)
    WHERE task_id = :id AND kind = 'step' AND name > :after
    ORDER BY name
    LIMIT :limit"""

DELETE_SOME: Final = """
    DELETE FROM goque_step
    WHERE task_id IN <ids>
    ORDER BY task_id, kind, name
    LIMIT :limit"""

MYSQL_RECORDED_STEPS: Final = replace(
    RecordedStepStatements.of(
        ids="IN :ids",
        lock="ORDER BY id FOR UPDATE",
        tasks="goque_task FORCE INDEX (PRIMARY)",
        hold=HOLD,
        is_held=IS_HELD,
        insert_steps=INSERT_STEPS,
        asked=ASKED,
        sizes=SIZES,
        delete_some=DELETE_SOME,
    ),
    insert_one=INSERT_ONE,
    save=SAVE,
    save_progress=SAVE_PROGRESS,
)
