"""Claims by limits in SQLite. BEGIN IMMEDIATE is the lock: what a claim counts holds until its end.

Keys are texts. Numbers sort before the empty text, and blobs after all texts: the walk passes over what others wrote.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from goque.storage.sql.batches import encode_list
from goque.storage.sql.limits.holders import HolderStatements
from goque.storage.sql.limits.key_queries import KeyHead, KeyQueries, Share, read_pace
from goque.storage.sql.read_values import read_count
from goque.storage.sql.session import Session
from goque.storage.sql.statements.limits import LimitStatements
from goque.storage.sqlite.claim_past import HAS_USUAL_ID
from goque.storage.sqlite.rows import read_text

NEXT_KEYS: Final = """
    WITH RECURSIVE step (place, limit_key, number) AS (
        SELECT rowid, limit_key, 1
        FROM goque_task
        WHERE rowid = coalesce((
            SELECT first.rowid
            FROM goque_task AS first INDEXED BY goque_task_limit_idx
            WHERE :after IS NULL AND first.type = :task_type AND first.status IN ('new', 'error')
              AND first.claimed_by IS NULL AND first.limit_key IS NOT NULL
              AND first.limit_key >= '' AND first.limit_key < x''
            ORDER BY first.limit_key, first.priority DESC, first.next_attempt_at
            LIMIT 1), (
            SELECT later.rowid
            FROM goque_task AS later INDEXED BY goque_task_limit_idx
            WHERE later.type = :task_type AND later.status IN ('new', 'error') AND later.claimed_by IS NULL
              AND later.limit_key IS NOT NULL AND later.limit_key > :after AND later.limit_key < x''
            ORDER BY later.limit_key, later.priority DESC, later.next_attempt_at
            LIMIT 1))
        UNION ALL
        SELECT following.rowid, following.limit_key, step.number + 1
        FROM step
        CROSS JOIN goque_task AS following ON following.rowid = (
            SELECT next.rowid
            FROM goque_task AS next INDEXED BY goque_task_limit_idx
            WHERE next.type = :task_type AND next.status IN ('new', 'error') AND next.claimed_by IS NULL
              AND next.limit_key IS NOT NULL AND next.limit_key > step.limit_key AND next.limit_key < x''
            ORDER BY next.limit_key, next.priority DESC, next.next_attempt_at
            LIMIT 1)
        WHERE step.number < :most)
    SELECT step.limit_key, head.priority,
           head.next_attempt_at <= :upper AND (head.next_attempt_at <= :now OR head.next_attempt_at = :upper),
           pace.arrival, pace.not_before
    FROM step
    CROSS JOIN goque_task AS head ON head.rowid = step.place
    LEFT JOIN goque_limit AS pace ON pace.type = :task_type AND pace.limit_key = step.limit_key
    ORDER BY step.number"""

DUE_PRIORITY: Final = """
    SELECT asked.value, due.priority, typeof(due.priority)
    FROM json_each(:keys) AS asked
    CROSS JOIN goque_task AS due ON due.rowid = (
        SELECT first.rowid
        FROM goque_task AS first INDEXED BY goque_task_limit_idx
        WHERE first.type = :task_type AND first.status IN ('new', 'error') AND first.claimed_by IS NULL
          AND first.limit_key IS NOT NULL AND first.limit_key = asked.value
          AND first.next_attempt_at <= :upper
          AND (first.next_attempt_at <= :now OR first.next_attempt_at = :upper)
          AND first.rowid NOT IN (SELECT value FROM json_each(:past))
        ORDER BY first.priority DESC, first.next_attempt_at
        LIMIT 1)"""

DUE_OF_KEY: Final = """
    SELECT rowid, id
    FROM goque_task INDEXED BY goque_task_limit_idx
    WHERE type = :task_type AND status IN ('new', 'error') AND claimed_by IS NULL
      AND limit_key IS NOT NULL AND limit_key = :key AND priority = :priority
      AND next_attempt_at <= :upper AND (next_attempt_at <= :now OR next_attempt_at = :upper)
      AND rowid NOT IN (SELECT value FROM json_each(:past))
    ORDER BY next_attempt_at
    LIMIT :limit"""

WITHOUT_KEY: Final = """
    SELECT rowid, id
    FROM goque_task INDEXED BY goque_task_claim_idx
    WHERE type = :task_type AND status IN ('new', 'error') AND claimed_by IS NULL AND priority = :priority
      AND next_attempt_at <= :upper AND (next_attempt_at <= :now OR next_attempt_at = :upper)
      AND limit_key IS NULL AND rowid NOT IN (SELECT value FROM json_each(:past))
    ORDER BY next_attempt_at
    LIMIT :limit"""

DUE_KEYS: Final = """
    SELECT limit_key
    FROM goque_task INDEXED BY goque_task_claim_idx
    WHERE type = :task_type AND status IN ('new', 'error') AND claimed_by IS NULL AND priority = :priority
      AND next_attempt_at <= :upper AND (next_attempt_at <= :now OR next_attempt_at = :upper)
    ORDER BY next_attempt_at
    LIMIT :most"""

PACES_OF_KEYS: Final = """
    SELECT limit_key, arrival, not_before
    FROM goque_limit
    WHERE type = :task_type AND limit_key IN (SELECT value FROM json_each(:keys))"""

FIRST_ONES: Final = """
    SELECT id
    FROM (
        SELECT id, limit_key
        FROM goque_task INDEXED BY goque_task_claim_idx
        WHERE type = :task_type AND status IN ('new', 'error') AND claimed_by IS NULL
        ORDER BY priority DESC, next_attempt_at
        LIMIT :most)
    WHERE typeof(limit_key) <> 'text'"""

NEXT_ONES: Final = """
    WITH next_ones AS (
        SELECT external_id, id,
               typeof(limit_key) <> 'text' AND status IN ('new', 'error') AND claimed_by IS NULL AS has_none
        FROM goque_task INDEXED BY goque_task_type_external_id_idx
        WHERE type = :task_type AND external_id > :after
        ORDER BY external_id
        LIMIT :most)
    SELECT external_id, id
    FROM next_ones
    WHERE has_none
    UNION ALL
    SELECT max(external_id), NULL
    FROM next_ones
    HAVING count(*) = :most"""

ADOPT: Final = """
    UPDATE goque_task
    SET limit_key = ''
    WHERE id IN (SELECT value FROM json_each(:ids)) AND typeof(limit_key) <> 'text'
      AND (+status IN ('new', 'error') AND claimed_by IS NULL OR claimed_by IS NOT NULL)"""

HELD: Final = """
    SELECT limit_key, count(*)
    FROM goque_task INDEXED BY goque_task_held_idx
    WHERE type = :task_type AND claimed_by IS NOT NULL AND limit_key IS NOT NULL
    GROUP BY limit_key"""

HELD_WITHOUT_KEY: Final = """
    SELECT id
    FROM goque_task INDEXED BY goque_task_owner_idx
    WHERE claimed_by IS NOT NULL AND type = :task_type AND limit_key IS NULL"""

CLAIM: Final = """
    UPDATE goque_task
    SET status = 'pending', claimed_by = :owner, updated_at = :now, limit_key = coalesce(limit_key, ''),
        claims = CASE WHEN typeof(claims) = 'integer' AND claims BETWEEN 0 AND 2147483646
                      THEN claims + 1 ELSE 1 END
    WHERE rowid IN (SELECT value FROM json_each(:keys)) AND +status IN ('new', 'error') AND +claimed_by IS NULL
      AND <usual id>
    RETURNING id, type, external_id, payload, status, attempts, errors, metadata, created_at, updated_at,
              next_attempt_at, priority, result, claimed_by, claims, lost_claims, unique_key, limit_key, flags
    """.replace("<usual id>", HAS_USUAL_ID)

LOCK: Final = """
    SELECT last_key, arrival, not_before,
           (SELECT limits FROM goque_type WHERE goque_type.type = :task_type),
           (SELECT limits_set FROM goque_type WHERE goque_type.type = :task_type),
           (SELECT paused FROM goque_type WHERE goque_type.type = :task_type)
    FROM goque_limit
    WHERE type = :task_type AND limit_key = ''"""

WAITING_BY_KEY: Final = """
    SELECT limit_key, count(*) AS tasks, min(next_attempt_at)
    FROM goque_task INDEXED BY goque_task_limit_idx
    WHERE type = :task_type AND status IN ('new', 'error') AND claimed_by IS NULL AND limit_key IS NOT NULL
    GROUP BY limit_key
    ORDER BY tasks DESC, limit_key
    LIMIT :most"""

HOLDERS: Final = HolderStatements(
    of_keys="""goque_task INDEXED BY goque_task_held_idx
        WHERE type = :task_type AND claimed_by IS NOT NULL AND limit_key IS NOT NULL
          AND limit_key IN (SELECT value FROM json_each(:keys))""",
    without_key="""goque_task INDEXED BY goque_task_owner_idx
        WHERE claimed_by IS NOT NULL AND type = :task_type AND limit_key IS NULL""",
)

SQLITE_LIMITS: Final = LimitStatements(
    lock=LOCK,
    held=HELD,
    holders=HOLDERS,
    held_without_key=HELD_WITHOUT_KEY,
    without_key=WITHOUT_KEY,
    due_keys=DUE_KEYS,
    paces_of_keys=PACES_OF_KEYS,
    first_ones=FIRST_ONES,
    next_ones=NEXT_ONES,
    adopt=ADOPT,
    claim=CLAIM,
    waiting_by_key=WAITING_BY_KEY,
)


class SqliteKeys(KeyQueries):
    """Walks keys in one statement, and reads the tasks of each in a statement of its own, which costs microseconds."""

    def next_keys(self, session: Session, task_type: str, after: str | None, most: int) -> list[KeyHead]:
        """Return the next keys with waiting tasks."""
        params = {"task_type": task_type, "after": after, "most": most}
        return [
            KeyHead(read_text(key), read_count(priority), bool(due), read_pace(arrival, not_before))
            for key, priority, due, arrival, not_before in session.rows(NEXT_KEYS, params)
        ]

    def due_priorities(
        self, session: Session, task_type: str, keys: Sequence[str], past: Sequence[Any]
    ) -> dict[str, int]:
        """Return the highest priority of a due task of each key that has one."""
        params = {"task_type": task_type, "keys": encode_list(keys), "past": encode_list(past)}
        rows = session.rows(DUE_PRIORITY, params)
        read: Any = read_text  # a text is read as bytes, which would equal no text
        return {read_text(key): read(value) if kind == b"text" else value for key, value, kind in rows}

    def due(
        self, session: Session, task_type: str, shares: Sequence[Share], past: Sequence[Any]
    ) -> list[tuple[Any, str]]:
        """Return the tasks that shares take."""
        found: list[tuple[Any, str]] = []
        asked = {"task_type": task_type, "past": encode_list(past)}
        for key, priority, number in shares:
            params = {**asked, "key": key, "priority": priority, "limit": number}
            found += ((place, read_text(task_id)) for place, task_id in session.rows(DUE_OF_KEY, params))
        return found
