"""How MySQL and MariaDB write the ends of claimed tasks.

Neither returns what an UPDATE has changed, so the rows are read and locked first. Of plain successes, which are most,
the number of the changed rows says enough: if it is less than that of the claims, the statement is rolled back.
"""

from __future__ import annotations

from typing import Final

from goque.storage.mysql.recorded_steps import HOLD
from goque.storage.sql.statements.kinds import AllOrNone, LockThenChange

SETTLED: Final = """
    SELECT id
    FROM goque_task FORCE INDEX (PRIMARY)
    WHERE id IN :ids AND NOT (claimed_by <=> :owner AND status IN ('pending', 'processing'))"""

SETTLE_DONE: Final = LockThenChange(
    lock=HOLD,
    change="""
    UPDATE goque_task FORCE INDEX (PRIMARY)
    SET status = 'done', claimed_by = NULL, updated_at = :now, lost_claims = 0
    WHERE id IN :ids AND claimed_by <=> :owner AND status IN ('pending', 'processing')""",
    changed=SETTLED,
)

SETTLE_UNNEEDED: Final = AllOrNone("""
    UPDATE JSON_TABLE(:batch, '$[*]' COLUMNS (
        id CHAR(36) CHARACTER SET utf8mb4 PATH '$[0]', claims INT PATH '$[1]')) AS claim
    STRAIGHT_JOIN goque_task
      ON goque_task.id = claim.id /*M!100600 COLLATE utf8mb4_nopad_bin */ /*!80017 COLLATE utf8mb4_0900_bin */
    SET goque_task.status = 'done', goque_task.claimed_by = NULL, goque_task.updated_at = :now,
        goque_task.lost_claims = 0
    WHERE goque_task.claims = claim.claims AND goque_task.claimed_by <=> :owner
      AND goque_task.status IN ('pending', 'processing') AND coalesce(goque_task.flags, 0) & 2 = 0""")
"""Its rows are locked in the order of the batch, which is that of their ids."""

DELETE_UNNEEDED: Final = LockThenChange(
    lock=HOLD.replace(
        "FOR UPDATE",
        "  AND coalesce(goque_task.flags, 0) = 0 AND goque_task.errors IS NULL\n    FOR UPDATE",
    ),
    change="""
    DELETE goque_task
    FROM goque_task FORCE INDEX (PRIMARY)
    WHERE id IN :ids AND claimed_by <=> :owner AND status IN ('pending', 'processing')""",
)
"""It says which, for one task that has failed before must not keep the others of its batch in the table."""

SETTLE_MOVES: Final = LockThenChange(
    lock=HOLD,
    change="""
    UPDATE JSON_TABLE(:batch, '$[*]' COLUMNS (
        id CHAR(36) CHARACTER SET utf8mb4 PATH '$[0]',
        claims INT PATH '$[1]',
        status VARCHAR(50) CHARACTER SET utf8mb4 PATH '$[2]',
        attempts INT PATH '$[3]',
        errors LONGTEXT CHARACTER SET utf8mb4 PATH '$[4]',
        next_attempt_at VARCHAR(32) CHARACTER SET utf8mb4 PATH '$[5]',
        result LONGTEXT CHARACTER SET utf8mb4 PATH '$[6]',
        lost_claims INT PATH '$[7]')) AS move
    STRAIGHT_JOIN goque_task
      ON goque_task.id = move.id /*M!100600 COLLATE utf8mb4_nopad_bin */ /*!80017 COLLATE utf8mb4_0900_bin */
    SET goque_task.status = move.status,
        goque_task.attempts = move.attempts,
        goque_task.errors = coalesce(move.errors, goque_task.errors),
        goque_task.next_attempt_at = coalesce(move.next_attempt_at, goque_task.next_attempt_at),
        goque_task.result = coalesce(move.result, goque_task.result),
        goque_task.lost_claims = move.lost_claims,
        goque_task.priority = greatest(goque_task.priority, -32767),
        goque_task.claimed_by = NULL,
        goque_task.updated_at = :now
    WHERE goque_task.claims = move.claims AND goque_task.claimed_by <=> :owner
      AND goque_task.status IN ('pending', 'processing')""",
    changed=SETTLED,
)

RELEASE_STALE: Final = LockThenChange(
    lock=HOLD.replace("status IN", "status NOT IN").replace("<=>", "="),
    change="""
    UPDATE goque_task FORCE INDEX (PRIMARY)
    SET claimed_by = NULL
    WHERE id IN :ids AND claimed_by = :owner AND status NOT IN ('pending', 'processing')""",
)
