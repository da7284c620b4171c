"""Claims by limits in PostgreSQL. The lock and what is counted under it are two statements.

A statement that waits for a lock goes on with the snapshot that it had before: one that locked and counted at once
would not see what the claim before it has just committed. The conditions of the indexes are repeated word for word. A
key is bounded from both sides and not named by `=`: only so is it part of the order, which one index alone has. With
`=` the planner may read the index of plain claims instead, and filter a whole backlog by each key. The LIMIT 1 keeps a
lookup of one row from becoming a join with all rows of goque_limit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from goque.storage.postgresql.rows import read_text
from goque.storage.sql.batches import encode_list
from goque.storage.sql.limits.holders import HolderStatements
from goque.storage.sql.limits.key_queries import KeyHead, KeyQueries, Share, read_pace
from goque.storage.sql.session import Session
from goque.storage.sql.statements.limits import LimitStatements

NEXT_KEYS: Final = """
    WITH RECURSIVE step (limit_key, priority, next_attempt_at, number) AS (
        (SELECT limit_key, priority, next_attempt_at, 1
         FROM goque_task
         WHERE CAST(:after AS text) IS NULL AND type = :task_type AND status IN ('new', 'error')
           AND claimed_by IS NULL AND limit_key IS NOT NULL
         ORDER BY limit_key, priority DESC, next_attempt_at
         LIMIT 1)
        UNION ALL
        (SELECT limit_key, priority, next_attempt_at, 1
         FROM goque_task
         WHERE type = :task_type AND status IN ('new', 'error') AND claimed_by IS NULL AND limit_key IS NOT NULL
           AND limit_key > CAST(:after AS text)
         ORDER BY limit_key, priority DESC, next_attempt_at
         LIMIT 1)
        UNION ALL
        SELECT nearest.limit_key, nearest.priority, nearest.next_attempt_at, step.number + 1
        FROM step
        CROSS JOIN LATERAL (
            SELECT following.limit_key, following.priority, following.next_attempt_at
            FROM goque_task AS following
            WHERE following.type = :task_type AND following.status IN ('new', 'error')
              AND following.claimed_by IS NULL AND following.limit_key IS NOT NULL
              AND following.limit_key > step.limit_key
            ORDER BY following.limit_key, following.priority DESC, following.next_attempt_at
            LIMIT 1) AS nearest
        WHERE step.number < :most)
    SELECT step.limit_key, step.priority, step.next_attempt_at <= :now, pace.arrival, pace.not_before, step.number
    FROM step
    LEFT JOIN LATERAL (
        SELECT one.arrival, one.not_before
        FROM goque_limit AS one
        WHERE one.type = :task_type AND one.limit_key = step.limit_key
        LIMIT 1) AS pace ON TRUE"""

DUE_PRIORITY: Final = """
    SELECT asked.key, due.priority
    FROM jsonb_array_elements_text(CAST(:keys AS jsonb)) AS asked (key)
    CROSS JOIN LATERAL (
        SELECT waiting.priority
        FROM goque_task AS waiting
        WHERE waiting.type = :task_type AND waiting.status IN ('new', 'error') AND waiting.claimed_by IS NULL
          AND waiting.limit_key IS NOT NULL AND waiting.limit_key >= asked.key AND waiting.limit_key <= asked.key
          AND waiting.next_attempt_at <= :now
          AND waiting.id <> ALL (ARRAY(SELECT CAST(jsonb_array_elements_text(CAST(:past AS jsonb)) AS uuid)))
        ORDER BY waiting.limit_key, waiting.priority DESC, waiting.next_attempt_at
        LIMIT 1) AS due"""

DUE: Final = """
    SELECT CAST(due.id AS text)
    FROM jsonb_array_elements(CAST(:shares AS jsonb)) AS share
    CROSS JOIN LATERAL (
        SELECT waiting.id
        FROM goque_task AS waiting
        WHERE waiting.type = :task_type AND waiting.status IN ('new', 'error') AND waiting.claimed_by IS NULL
          AND waiting.limit_key IS NOT NULL AND waiting.limit_key >= share ->> 0 AND waiting.limit_key <= share ->> 0
          AND waiting.priority = CAST(share ->> 1 AS smallint) AND waiting.next_attempt_at <= :now
          AND waiting.id <> ALL (ARRAY(SELECT CAST(jsonb_array_elements_text(CAST(:past AS jsonb)) AS uuid)))
        ORDER BY waiting.limit_key, waiting.priority DESC, waiting.next_attempt_at
        LIMIT CAST(share ->> 2 AS int)
        FOR UPDATE SKIP LOCKED) AS due"""

WITHOUT_KEY: Final = """
    SELECT CAST(id AS text), CAST(id AS text)
    FROM goque_task
    WHERE type = :task_type AND status IN ('new', 'error') AND claimed_by IS NULL AND priority = :priority
      AND next_attempt_at <= :now AND limit_key IS NULL
      AND id <> ALL (ARRAY(SELECT CAST(jsonb_array_elements_text(CAST(:past AS jsonb)) AS uuid)))
    ORDER BY priority DESC, next_attempt_at
    LIMIT :limit
    FOR UPDATE SKIP LOCKED"""

DUE_KEYS: Final = """
    SELECT limit_key
    FROM goque_task
    WHERE type = :task_type AND status IN ('new', 'error') AND claimed_by IS NULL AND priority = :priority
      AND next_attempt_at <= :now
    ORDER BY priority DESC, next_attempt_at
    LIMIT :most"""

PACES_OF_KEYS: Final = """
    SELECT limit_key, arrival, not_before
    FROM goque_limit
    WHERE type = :task_type AND limit_key = ANY (ARRAY(SELECT jsonb_array_elements_text(CAST(:keys AS jsonb))))"""

FIRST_ONES: Final = """
    SELECT CAST(id AS text)
    FROM (
        SELECT id, limit_key
        FROM goque_task
        WHERE type = :task_type AND status IN ('new', 'error') AND claimed_by IS NULL
        ORDER BY priority DESC, next_attempt_at
        LIMIT :most) AS first_ones
    WHERE limit_key IS NULL"""

NEXT_ONES: Final = """
    WITH next_ones AS MATERIALIZED (
        SELECT external_id, id, limit_key IS NULL AND status IN ('new', 'error') AND claimed_by IS NULL AS has_none
        FROM goque_task
        WHERE type = :task_type AND external_id > :after
        ORDER BY external_id
        LIMIT :most)
    SELECT external_id, CAST(id AS text)
    FROM next_ones
    WHERE has_none
    UNION ALL
    SELECT max(external_id), NULL
    FROM next_ones
    HAVING count(*) = :most"""

ADOPT: Final = """
    UPDATE goque_task
    SET limit_key = ''
    WHERE id = ANY (ARRAY(
            SELECT id
            FROM goque_task
            WHERE id = ANY (ARRAY(SELECT CAST(jsonb_array_elements_text(CAST(:ids AS jsonb)) AS uuid)))
            ORDER BY id
            FOR UPDATE SKIP LOCKED))
      AND limit_key IS NULL AND (status || '' IN ('new', 'error') OR claimed_by IS NOT NULL)"""

HELD: Final = """
    SELECT limit_key, count(*)
    FROM goque_task
    WHERE type = :task_type AND claimed_by IS NOT NULL AND limit_key IS NOT NULL
    GROUP BY limit_key"""

HELD_WITHOUT_KEY: Final = """
    SELECT CAST(id AS text)
    FROM goque_task
    WHERE claimed_by IS NOT NULL AND type || '' = :task_type AND limit_key IS NULL"""

CLAIM: Final = """
    UPDATE goque_task
    SET status = 'pending', claimed_by = :owner, updated_at = :now, limit_key = coalesce(limit_key, ''),
        claims = CASE WHEN claims BETWEEN 0 AND 2147483646 THEN claims + 1 ELSE 1 END
    WHERE id = ANY (ARRAY(SELECT CAST(jsonb_array_elements_text(CAST(:keys AS jsonb)) AS uuid)))
      AND status || '' IN ('new', 'error') AND claimed_by IS NULL
    RETURNING id, type, external_id, payload, status, attempts, errors, metadata, created_at, updated_at,
              next_attempt_at, priority, result, claimed_by, claims, lost_claims, unique_key, limit_key, flags"""

LOCK: Final = """
    SELECT last_key, arrival, not_before,
           (SELECT limits FROM goque_type WHERE goque_type.type = :task_type),
           (SELECT limits_set FROM goque_type WHERE goque_type.type = :task_type),
           (SELECT paused FROM goque_type WHERE goque_type.type = :task_type),
           set_config('idle_in_transaction_session_timeout', '10s', true)
    FROM goque_limit
    WHERE type = :task_type AND limit_key = ''
    FOR UPDATE"""
"""A process that is frozen just here must not keep all other nodes waiting: the server ends its transaction."""

WAITING_BY_KEY: Final = """
    SELECT limit_key, count(*) AS tasks, min(next_attempt_at)
    FROM goque_task
    WHERE type = :task_type AND status IN ('new', 'error') AND claimed_by IS NULL AND limit_key IS NOT NULL
    GROUP BY limit_key
    ORDER BY tasks DESC, limit_key
    LIMIT :most"""

HOLDERS: Final = HolderStatements(
    of_keys="""goque_task
        WHERE type = :task_type AND claimed_by IS NOT NULL AND limit_key IS NOT NULL
          AND limit_key = ANY (ARRAY(SELECT jsonb_array_elements_text(CAST(:keys AS jsonb))))""",
    without_key="""goque_task
        WHERE claimed_by IS NOT NULL AND type || '' = :task_type AND limit_key IS NULL""",
)

POSTGRESQL_LIMITS: Final = LimitStatements(
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


class PostgresqlKeys(KeyQueries):
    """Each question is one statement."""

    def next_keys(self, session: Session, task_type: str, after: str | None, most: int) -> list[KeyHead]:
        """Return the next keys with waiting tasks."""
        rows = session.rows(NEXT_KEYS, {"task_type": task_type, "after": after, "most": most})
        return [
            KeyHead(key, priority, due, read_pace(arrival, not_before))
            for key, priority, due, arrival, not_before, _number in sorted(rows, key=lambda row: row[5])
        ]

    def due_priorities(
        self, session: Session, task_type: str, keys: Sequence[str], past: Sequence[Any]
    ) -> dict[str, int]:
        """Return the highest priority of a due task of each key that has one."""
        params = {"task_type": task_type, "keys": encode_list(keys), "past": encode_list(past)}
        rows = session.rows(DUE_PRIORITY, params)
        found: dict[str, int] = dict(map(tuple, rows))
        return found

    def due(
        self, session: Session, task_type: str, shares: Sequence[Share], past: Sequence[Any]
    ) -> list[tuple[Any, str]]:
        """Return the tasks that shares take."""
        params = {
            "task_type": task_type,
            "shares": msgspec.json.encode(shares).decode(),
            "past": encode_list(past),
        }
        return [(task_id, task_id) for (task_id,) in map(_texts, session.rows(DUE, params))]


def _texts(row: Sequence[Any]) -> tuple[str, ...]:
    return tuple(map(read_text, row))
