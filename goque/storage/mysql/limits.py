"""Claims by limits in MySQL and MariaDB, whose column `waiting_key` is set while a task with a key may be claimed.

Their index has the priority and not `claim_rank`, so that a claim of a task without a key leaves it as it is.

Keys come by a loose scan of the index. What is asked of each key is a SELECT of its own with constants in one UNION:
values from a JSON_TABLE are no constants for the server, which would read all tasks of a type from the beginning. The
row of a type is written by each claim, because in a Galera cluster only a write keeps out a claim on another server.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

from goque.storage.mysql.claim_texts import claim_by_limits
from goque.storage.mysql.rows import encode_list, read_text
from goque.storage.sql.limits.holders import HolderStatements
from goque.storage.sql.limits.key_queries import KeyHead, KeyQueries, Share, read_pace
from goque.storage.sql.session import Session
from goque.storage.sql.statements.limits import LimitStatements

AT_ONCE: Final = 100
"""How many keys one statement asks about."""

FIRST_KEYS: Final = """
    SELECT waiting_key
    FROM goque_task FORCE INDEX (goque_task_limit_idx)
    WHERE type = :task_type AND waiting_key >= ''
    GROUP BY waiting_key
    ORDER BY waiting_key
    LIMIT :most"""

KEYS_AFTER: Final = """
    SELECT waiting_key
    FROM goque_task FORCE INDEX (goque_task_limit_idx)
    WHERE type = :task_type AND waiting_key > :after
    GROUP BY waiting_key
    ORDER BY waiting_key
    LIMIT :most"""

HEAD: Final = """
    SELECT waiting_key, priority, next_attempt_at
    FROM goque_task FORCE INDEX (goque_task_limit_idx)
    WHERE type = :task_type AND waiting_key = :key_<number>
    ORDER BY priority DESC, next_attempt_at
    LIMIT 1"""

DUE_HEAD: Final = """
    SELECT waiting_key, priority, next_attempt_at
    FROM goque_task FORCE INDEX (goque_task_limit_idx)
    WHERE type = :task_type AND waiting_key = :key_<number> AND next_attempt_at <= :now
      AND id NOT IN :past
    ORDER BY priority DESC, next_attempt_at
    LIMIT 1"""

DUE_OF_KEY: Final = """
    SELECT id
    FROM goque_task FORCE INDEX (goque_task_limit_idx)
    WHERE type = :task_type AND waiting_key = :key_<number> AND priority = :priority_<number>
      AND next_attempt_at <= :now AND id NOT IN :past
    ORDER BY next_attempt_at
    LIMIT :limit_<number>"""

WITHOUT_KEY: Final = """
    SELECT id, id
    FROM goque_task FORCE INDEX (goque_task_claim_idx)
    WHERE type = :task_type AND claim_rank = 0 - :priority AND next_attempt_at <= :now AND limit_key IS NULL
      AND id NOT IN :past
    ORDER BY next_attempt_at
    LIMIT :limit"""

DUE_KEYS: Final = """
    SELECT limit_key
    FROM goque_task FORCE INDEX (goque_task_claim_idx)
    WHERE type = :task_type AND claim_rank = 0 - :priority AND next_attempt_at <= :now
    ORDER BY next_attempt_at
    LIMIT :most"""

FIRST_ONES: Final = """
    SELECT id
    FROM (
        SELECT id, limit_key
        FROM goque_task FORCE INDEX (goque_task_claim_idx)
        WHERE type = :task_type AND claim_rank > -1000
        ORDER BY claim_rank, next_attempt_at
        LIMIT :most) AS first_ones
    WHERE limit_key IS NULL"""

NEXT_ONES: Final = """
    WITH next_ones AS (
        SELECT external_id, id, limit_key IS NULL AND claim_rank IS NOT NULL AS has_none
        FROM goque_task FORCE INDEX (goque_task_type_external_id_idx)
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
    UPDATE goque_task FORCE INDEX (PRIMARY)
    SET limit_key = ''
    WHERE id IN :ids AND limit_key IS NULL AND priority > -32768
      AND (status IN ('new', 'error') OR claimed_by IS NOT NULL)"""

HELD: Final = """
    SELECT limit_key, count(*)
    FROM goque_task FORCE INDEX (goque_task_state_idx)
    WHERE claimed_by IS NOT NULL AND type = :task_type
    GROUP BY limit_key"""

CLAIM: Final = claim_by_limits("""FORCE INDEX (PRIMARY)
    WHERE id IN :keys AND status IN ('new', 'error') AND claimed_by IS NULL""")

LOCK: Final = """
    SELECT last_key, arrival, not_before,
           (SELECT limits FROM goque_type WHERE goque_type.type = :task_type),
           (SELECT limits_set FROM goque_type WHERE goque_type.type = :task_type),
           (SELECT paused FROM goque_type WHERE goque_type.type = :task_type)
    FROM goque_limit
    WHERE type = :task_type AND limit_key = ''
    FOR UPDATE"""

INSERT: Final = """
    INSERT IGNORE INTO goque_limit (type, limit_key)
    VALUES (:task_type, :key)"""

WRITE_ARRIVAL: Final = """
    INSERT INTO goque_limit (type, limit_key, arrival)
    VALUES (:task_type, :key, :arrival)
    ON DUPLICATE KEY UPDATE arrival = VALUES(arrival)"""

PACES_OF_KEYS: Final = """
    SELECT limit_key, arrival, not_before
    FROM goque_limit
    WHERE type = :task_type AND limit_key IN :keys"""

WAITING_BY_KEY: Final = """
    SELECT waiting_key, count(*) AS tasks, min(next_attempt_at)
    FROM goque_task FORCE INDEX (goque_task_limit_idx)
    WHERE type = :task_type AND waiting_key IS NOT NULL
    GROUP BY waiting_key
    ORDER BY tasks DESC, waiting_key
    LIMIT :most"""

WAITING_OF_KEY: Final = """
    SELECT count(*), min(next_attempt_at)
    FROM goque_task FORCE INDEX (goque_task_limit_idx)
    WHERE type = :task_type AND waiting_key = :key"""

HOLDERS: Final = HolderStatements(
    of_keys="""goque_task FORCE INDEX (goque_task_state_idx)
        WHERE claimed_by IS NOT NULL AND type = :task_type AND limit_key IN :keys""",
    without_key="""goque_task FORCE INDEX (goque_task_state_idx)
        WHERE claimed_by IS NOT NULL AND type = :task_type AND limit_key IS NULL""",
)

MYSQL_LIMITS: Final = LimitStatements(
    lock=LOCK,
    insert=INSERT,
    write_arrival=WRITE_ARRIVAL,
    held=HELD,
    holders=HOLDERS,
    without_key=WITHOUT_KEY,
    due_keys=DUE_KEYS,
    paces_of_keys=PACES_OF_KEYS,
    first_ones=FIRST_ONES,
    next_ones=NEXT_ONES,
    adopt=ADOPT,
    claim=CLAIM,
    waiting_by_key=WAITING_BY_KEY,
    waiting_of_key=WAITING_OF_KEY,
)


@lru_cache(maxsize=64)
def _union(part: str, parts: int) -> str:
    """Return the rows of a SELECT for each of `:key_0` and so on."""
    if parts == 1:
        return part.replace("<number>", "0")
    return " UNION ALL ".join(f"({part.replace('<number>', str(number))})" for number in range(parts))


class MysqlKeys(KeyQueries):
    """Finds the keys in one statement, and asks about a hundred of them in another."""

    def next_keys(self, session: Session, task_type: str, after: str | None, most: int) -> list[KeyHead]:
        """Return the next keys with waiting tasks."""
        params = {"task_type": task_type, "after": after, "most": most}
        rows = session.rows(FIRST_KEYS if after is None else KEYS_AFTER, params)
        keys = [read_text(row[0]) for row in rows]
        heads = self._heads(session, HEAD, task_type, keys)
        if not heads:
            return []
        paces = {
            read_text(key): read_pace(arrival, not_before)
            for key, arrival, not_before in session.rows(
                PACES_OF_KEYS, {"task_type": task_type, "keys": encode_list(keys)}
            )
        }
        now = session.now
        return [
            KeyHead(key, heads[key][0], heads[key][1] <= now, paces.get(key) or read_pace(None, None))
            for key in keys
            if key in heads
        ]

    def due_priorities(
        self, session: Session, task_type: str, keys: Sequence[str], past: Sequence[Any]
    ) -> dict[str, int]:
        """Return the highest priority of a due task of each key that has one."""
        heads = self._heads(session, DUE_HEAD, task_type, keys, past)
        return {key: priority for key, (priority, _due) in heads.items()}

    def _heads(
        self, session: Session, part: str, task_type: str, keys: Sequence[str], past: Sequence[Any] = ()
    ) -> dict[str, tuple[int, Any]]:
        found: dict[str, tuple[int, Any]] = {}
        for start in range(0, len(keys), AT_ONCE):
            some = keys[start : start + AT_ONCE]
            params = {
                "task_type": task_type,
                "past": encode_list(past),
                **{f"key_{number}": key for number, key in enumerate(some)},
            }
            for key, priority, due in session.rows(_union(part, len(some)), params):
                found[read_text(key)] = priority, due
        return found

    def due(
        self, session: Session, task_type: str, shares: Sequence[Share], past: Sequence[Any]
    ) -> list[tuple[Any, str]]:
        """Return the tasks that shares take."""
        found: list[tuple[Any, str]] = []
        for start in range(0, len(shares), AT_ONCE):
            some = shares[start : start + AT_ONCE]
            params: dict[str, Any] = {"task_type": task_type, "past": encode_list(past)}
            for number, (key, priority, most) in enumerate(some):
                params |= {f"key_{number}": key, f"priority_{number}": priority, f"limit_{number}": most}
            rows = session.rows(_union(DUE_OF_KEY, len(some)), params)
            found += ((row[0], read_text(row[0])) for row in rows)
        return found
