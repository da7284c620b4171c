"""The texts that all claims of MySQL and MariaDB are made from: which rows they take is what they differ in.

Neither has an `UPDATE … RETURNING`, so a claim reads and locks the rows as they will be, and changes them then.
A claim shortens `claim_room` by what it adds to the row, so that the row stays in its place on a full page. It keeps
the three characters by which `processing` is longer than `pending`.
"""

from __future__ import annotations

from typing import Final

from goque.storage.sql.statements.kinds import LockThenChange

LOCK: Final = """
    SELECT id, type, external_id, payload, 'pending', attempts, errors, metadata, created_at, :now,
           next_attempt_at, priority, result, :owner,
           CASE WHEN claims BETWEEN 0 AND 2147483646 THEN claims + 1 ELSE 1 END, lost_claims, unique_key,
           <limit key>, flags
    FROM goque_task <rows>
    FOR UPDATE SKIP LOCKED"""

CHANGE: Final = """
    UPDATE goque_task FORCE INDEX (PRIMARY)
    SET status = 'pending', claimed_by = :owner, updated_at = :now, claim_room = '...',<new limit key>
        claims = CASE WHEN claims BETWEEN 0 AND 2147483646 THEN claims + 1 ELSE 1 END
    WHERE id IN :ids AND status IN ('new', 'error') AND claimed_by IS NULL
      AND length(id) = 36 AND id NOT REGEXP '[^0-9A-Za-z-]'"""

CHANGED: Final = """
    SELECT id
    FROM goque_task FORCE INDEX (PRIMARY)
    WHERE id IN :ids AND status = 'pending' AND claimed_by = :owner"""

CHANGE_KEEPING_KEY: Final = CHANGE.replace("<new limit key>", "")
KEY_OR_NONE: Final = "coalesce(limit_key, '')"


def claim_of(rows: str) -> LockThenChange:
    """Return the claim of the rows that a text says: an index, conditions, an order and a bound."""
    lock = LOCK.replace("<limit key>", "limit_key").replace("<rows>", rows)
    return LockThenChange(lock, CHANGE_KEEPING_KEY, CHANGED)


def claim_by_limits(rows: str) -> LockThenChange:
    """Return such a claim that gives tasks without a key the one that stands for none."""
    lock = LOCK.replace("<limit key>", KEY_OR_NONE).replace("<rows>", rows)
    change = CHANGE.replace("<new limit key>", f" limit_key = {KEY_OR_NONE},")
    return LockThenChange(lock, change, CHANGED)
