"""The statements about counts of runs by slots of time: the rows of goque_rollup."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class RollupStatements:
    """SQL text; each finds its rows by the primary key.

    Attributes:
        put: insert a row, or replace that of the same slot and writer.
        since: the rows from slot `:slot` on, the newest first, up to `:limit`.
        unmerged: up to `:limit` slots that start before `:slot` and have rows of writers.
        lock: the rows of a slot, held against others until the end.
        delete_slot: delete the rows of writers in a slot.
        oldest: the oldest slot of one length.
        delete: delete the slots that start before `:slot`.
    """

    put: str = """
    INSERT INTO goque_rollup (step, slot, writer, runs)
    VALUES (:step, :slot, :writer, :runs)
    ON CONFLICT (step, slot, writer) DO UPDATE SET runs = excluded.runs"""

    since: str = """
    SELECT step, slot, writer, runs
    FROM goque_rollup
    WHERE step = :step AND slot >= :slot
    ORDER BY slot DESC, writer
    LIMIT :limit"""

    unmerged: str = """
    SELECT DISTINCT slot
    FROM goque_rollup
    WHERE step = :step AND slot >= :first AND slot < :slot AND writer > ''
    ORDER BY slot
    LIMIT :limit"""

    lock: str = """
    SELECT writer, runs
    FROM goque_rollup
    WHERE step = :step AND slot = :slot
    ORDER BY writer
    FOR UPDATE"""

    delete_slot: str = """
    DELETE FROM goque_rollup
    WHERE step = :step AND slot = :slot AND writer > ''"""

    oldest: str = """
    SELECT slot
    FROM goque_rollup
    WHERE step = :step AND slot < :slot
    ORDER BY slot
    LIMIT :limit"""

    delete: str = """
    DELETE FROM goque_rollup
    WHERE step = :step AND slot <= :slot"""


SQLITE_ROLLUPS = RollupStatements(
    lock="""
    SELECT writer, runs
    FROM goque_rollup
    WHERE step = :step AND slot = :slot
    ORDER BY writer"""
)

MYSQL_ROLLUPS = RollupStatements(
    put="""
    INSERT INTO goque_rollup (step, slot, writer, runs)
    VALUES (:step, :slot, :writer, :runs)
    ON DUPLICATE KEY UPDATE runs = VALUES(runs)"""
)
