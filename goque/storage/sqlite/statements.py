"""The statements that SQLite says in its own way: batches as one JSON parameter, instants as text.

- A unary plus keeps a condition from choosing an index: settling must find its rows by id, and
  counting reads the table from end to end, in a fifth of the time of a walk along an index.
- Instants are text, `2026-11-23T21:02:33.123456Z`. Rows of the original have whole seconds, and `.` sorts
  before `Z`; so what is due lies at or before `:upper`, the whole second of now, and is at most `:now`, or
  `:upper` itself.
- A partial index can serve only where its condition is repeated word for word. INDEXED BY holds SQLite to it:
  a table that the original made has other indexes, and an ANALYZE of the empty table would prefer those.
- Everything that writes runs in BEGIN IMMEDIATE, so what a statement read holds until the transaction ends.
"""

from __future__ import annotations

from typing import Final

from goque.storage.sql.statements.complete import Statements, function_counts, largest_groups
from goque.storage.sql.statements.flows import FlowStatements
from goque.storage.sql.statements.kinds import AllOrNone
from goque.storage.sql.statements.rollups import SQLITE_ROLLUPS
from goque.storage.sqlite.claim_past import CLAIM_PAST
from goque.storage.sqlite.counting import COUNT_BY_INDEXES, COUNT_TASKS, QUEUE_DEPTHS, TYPE_COUNTS
from goque.storage.sqlite.due_levels import DUE_LEVELS
from goque.storage.sqlite.failures import OPEN_TASKS, SQLITE_FAILURES
from goque.storage.sqlite.limits import SQLITE_LIMITS
from goque.storage.sqlite.recorded_steps import CLAIMS, SQLITE_RECORDED_STEPS
from goque.storage.sqlite.search import SQLITE_SEARCH
from goque.storage.sqlite.unique_keys import INSERT_KEYED_TASKS, REPLACE_IF_WAITING, TASK_BY_UNIQUE_KEY

INSERT_TASK: Final = """
    INSERT INTO goque_task (id, type, external_id, payload, status, attempts, metadata, created_at,
                            next_attempt_at, priority, unique_key, limit_key)
    VALUES (:id, :type, :external_id, :payload, 'new', 0, :metadata, :now, coalesce(:next_attempt_at, :now),
            :priority, :unique_key, :limit_key)
    ON CONFLICT DO NOTHING"""

INSERT_TASKS: Final = """
    INSERT INTO goque_task (id, type, external_id, payload, status, attempts, metadata, created_at,
                            next_attempt_at, priority)
    SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]'),
           json_extract(value, '$[3]'), 'new', 0, json_extract(value, '$[4]'), :now,
           json_extract(value, '$[5]'), json_extract(value, '$[6]')
    FROM json_each(:batch)
    WHERE true
    ON CONFLICT DO NOTHING
    RETURNING id"""

DUE_PRIORITIES: Final = """
    WITH RECURSIVE level (priority) AS (
        SELECT coalesce(:priority, (
            SELECT priority
            FROM goque_task INDEXED BY goque_task_claim_idx
            WHERE type = :task_type AND status IN ('new', 'error') AND claimed_by IS NULL
            ORDER BY priority DESC
            LIMIT 1))
        UNION ALL
        SELECT (
            SELECT lower.priority
            FROM goque_task AS lower INDEXED BY goque_task_claim_idx
            WHERE lower.type = :task_type AND lower.status IN ('new', 'error') AND lower.claimed_by IS NULL
              AND lower.priority < level.priority
            ORDER BY lower.priority DESC
            LIMIT 1)
        FROM level
        WHERE level.priority IS NOT NULL AND :priority IS NULL)
    SELECT priority, typeof(priority)
    FROM level
    WHERE priority IS NOT NULL
      AND EXISTS (
        SELECT 1
        FROM goque_task AS due INDEXED BY goque_task_claim_idx
        WHERE due.type = :task_type AND due.status IN ('new', 'error') AND due.claimed_by IS NULL
          AND due.priority = level.priority
          AND due.next_attempt_at <= :upper AND (due.next_attempt_at <= :now OR due.next_attempt_at = :upper))
      AND NOT EXISTS (
        SELECT 1
        FROM goque_type
        WHERE goque_type.type = :task_type AND (paused OR limits IS NOT NULL OR limits_set IS NOT NULL))"""

NEXT_DUE: Final = """
    WITH RECURSIVE level (priority, next_attempt_at) AS (
        SELECT * FROM (
            SELECT priority, next_attempt_at
            FROM goque_task INDEXED BY goque_task_claim_idx
            WHERE type = :task_type AND status IN ('new', 'error') AND claimed_by IS NULL
            ORDER BY priority DESC, next_attempt_at
            LIMIT 1)
        UNION ALL
        SELECT lower.priority, lower.next_attempt_at
        FROM level
        JOIN goque_task AS lower ON lower.rowid = (
            SELECT nearest.rowid
            FROM goque_task AS nearest INDEXED BY goque_task_claim_idx
            WHERE nearest.type = :task_type AND nearest.status IN ('new', 'error')
              AND nearest.claimed_by IS NULL AND nearest.priority < level.priority
            ORDER BY nearest.priority DESC, nearest.next_attempt_at
            LIMIT 1))
    SELECT next_attempt_at
    FROM level
    WHERE NOT EXISTS (SELECT 1 FROM goque_type WHERE goque_type.type = :task_type AND paused)"""

CLAIM_DUE: Final = """
    UPDATE goque_task
    SET status = 'pending', claimed_by = :owner, updated_at = :now, claims = claims + 1
    WHERE rowid IN (
        SELECT rowid
        FROM goque_task INDEXED BY goque_task_claim_idx
        WHERE type = :task_type AND status IN ('new', 'error') AND claimed_by IS NULL AND priority = :priority
          AND next_attempt_at <= :upper AND (next_attempt_at <= :now OR next_attempt_at = :upper)
          AND NOT EXISTS (
            SELECT 1
            FROM goque_type
            WHERE goque_type.type = :task_type AND (paused OR limits IS NOT NULL OR limits_set IS NOT NULL))
        ORDER BY next_attempt_at
        LIMIT :limit)
      AND typeof(id) = 'text'
    RETURNING id, type, external_id, payload, status, attempts, errors, metadata, created_at, updated_at,
              next_attempt_at, priority, result, claimed_by, claims, lost_claims, unique_key, limit_key, flags"""

MARK_PROCESSING: Final = """
    UPDATE goque_task
    SET status = 'processing', updated_at = :now
    FROM json_each(:batch) AS claim
    WHERE goque_task.id = claim.key AND <claims> = claim.value
      AND +goque_task.claimed_by IS :owner AND +goque_task.status = 'pending'""".replace("<claims>", CLAIMS)

SETTLE_DONE: Final = """
    UPDATE goque_task
    SET status = 'done', claimed_by = NULL, updated_at = :now, lost_claims = 0
    FROM json_each(:batch) AS claim
    WHERE goque_task.id = claim.key AND <claims> = claim.value
      AND +goque_task.claimed_by IS :owner AND +goque_task.status IN ('pending', 'processing')
    RETURNING id, flags""".replace("<claims>", CLAIMS)

SETTLE_UNNEEDED: Final = AllOrNone(
    SETTLE_DONE.replace("RETURNING id, flags", "  AND coalesce(flags, 0) & 2 = 0")
)

DELETE_UNNEEDED: Final = AllOrNone(
    """
    DELETE FROM goque_task
    WHERE rowid IN (
        SELECT goque_task.rowid
        FROM json_each(:batch) AS claim
        JOIN goque_task ON goque_task.id = claim.key
        WHERE <claims> = claim.value
          AND +goque_task.claimed_by IS :owner AND +goque_task.status IN ('pending', 'processing')
          AND coalesce(flags, 0) = 0 AND errors IS NULL)""".replace("<claims>", CLAIMS)
)

SETTLE_MOVES: Final = """
    UPDATE goque_task
    SET status = json_extract(move.value, '$[1]'),
        attempts = json_extract(move.value, '$[2]'),
        errors = coalesce(json_extract(move.value, '$[3]'), errors),
        next_attempt_at = coalesce(json_extract(move.value, '$[4]'), next_attempt_at),
        result = coalesce(json_extract(move.value, '$[5]'), result),
        lost_claims = json_extract(move.value, '$[6]'),
        claimed_by = NULL,
        updated_at = :now
    FROM json_each(:batch) AS move
    WHERE goque_task.id = move.key AND <claims> = json_extract(move.value, '$[0]')
      AND +goque_task.claimed_by IS :owner AND +goque_task.status IN ('pending', 'processing')
    RETURNING id, flags""".replace("<claims>", CLAIMS)

RELEASE_STALE: Final = """
    UPDATE goque_task
    SET claimed_by = NULL
    FROM json_each(:batch) AS claim
    WHERE goque_task.id = claim.key AND <claims> = claim.value
      AND +goque_task.claimed_by = :owner AND +goque_task.status NOT IN ('pending', 'processing')
    RETURNING id, flags""".replace("<claims>", CLAIMS)

TASKS_BY_ID: Final = """
    SELECT id, type, external_id, payload, status, attempts, errors, metadata, created_at, updated_at,
           next_attempt_at, priority, result, claimed_by, claims, lost_claims, unique_key, limit_key, flags
    FROM goque_task
    WHERE id IN (SELECT value FROM json_each(:batch))"""

FIND_TASKS: Final = (
    """
    SELECT id, type, external_id, payload, status, attempts, errors, metadata, created_at, updated_at,
           next_attempt_at, priority, result, claimed_by, claims, lost_claims, unique_key, limit_key, flags
    FROM goque_task""",
    """
    ORDER BY id DESC
    LIMIT :limit""",
)

CONDITIONS: Final = {
    "failure": OPEN_TASKS,
    "ids": "id IN (SELECT value FROM json_each(:ids))",
    "task_type": "+type = :task_type",
    "statuses": "+status IN (SELECT value FROM json_each(:statuses))",
    "limit_key": "+limit_key = :limit_key",
    "updated_before": "rtrim(coalesce(updated_at, created_at), 'Z') < rtrim(:updated_before, 'Z')",
    "age": "rtrim(coalesce(updated_at, created_at), 'Z') <= rtrim(:before, 'Z')",
}

CLAIMED_BY_OWNER: Final = """
    SELECT id, type, external_id, payload, status, attempts, errors, metadata, created_at, updated_at,
           next_attempt_at, priority, result, claimed_by, claims, lost_claims, unique_key, limit_key, flags
    FROM goque_task INDEXED BY goque_task_owner_idx
    WHERE claimed_by = :owner AND (:task_type IS NULL OR type = :task_type)
    ORDER BY id
    LIMIT :limit"""

CHANGED_BY_OTHERS: Final = """
    SELECT id, <claims>, NULL
    FROM goque_task INDEXED BY goque_task_owner_idx
    WHERE claimed_by = :owner AND (:task_type IS NULL OR type = :task_type)
      AND status NOT IN ('pending', 'processing')
    UNION ALL
    SELECT task_id, NULL, id
    FROM goque_stack
    WHERE owner = :owner AND answer IS NULL
    """.replace("<claims>", CLAIMS)

MOVE_CLAIMS: Final = """
    UPDATE goque_task
    SET claimed_by = :new_owner
    FROM json_each(:batch) AS claim
    WHERE goque_task.id = claim.key AND +goque_task.claims = claim.value
      AND +goque_task.claimed_by IS :owner"""

CLAIMS_OF_OWNER: Final = """
    SELECT id, claims, type
    FROM goque_task INDEXED BY goque_task_owner_idx
    WHERE claimed_by = :owner AND (:task_type IS NULL OR type = :task_type)"""

UNOWNED_CLAIMS: Final = """
    SELECT id, type, external_id, payload, status, attempts, errors, metadata, created_at, updated_at,
           next_attempt_at, priority, result, claimed_by, claims, lost_claims, unique_key, limit_key, flags
    FROM goque_task INDEXED BY goque_task_unowned_idx
    WHERE status IN ('pending', 'processing') AND claimed_by IS NULL
      AND coalesce(updated_at, created_at) < :before
      AND (type = :task_type OR :task_type IS NULL
           AND NOT EXISTS (SELECT 1 FROM goque_type WHERE goque_type.type = goque_task.type))
    ORDER BY coalesce(updated_at, created_at)
    LIMIT :limit"""

FINISHED_EXISTS: Final = """
    SELECT 1
    FROM goque_task INDEXED BY goque_task_finished_idx
    WHERE type = :task_type AND status = :status AND coalesce(updated_at, created_at) < :before
      AND status IN ('done', 'canceled', 'attempts_left') AND claimed_by IS NULL AND coalesce(flags, 0) & 6 = 0
    LIMIT 1"""

DELETE_FINISHED: Final = """
    DELETE FROM goque_task
    WHERE rowid IN (
        SELECT rowid
        FROM goque_task INDEXED BY goque_task_finished_idx
        WHERE type = :task_type AND status = :status AND coalesce(updated_at, created_at) < :before
          AND status IN ('done', 'canceled', 'attempts_left') AND claimed_by IS NULL AND coalesce(flags, 0) & 6 = 0
        ORDER BY coalesce(updated_at, created_at)
        LIMIT :limit)
    RETURNING id, flags"""

DELETE_ATTEMPTS: Final = """
    DELETE FROM goque_attempt
    WHERE task_id IN (SELECT value FROM json_each(:batch))"""

NEXT_TYPES: Final = """
    WITH RECURSIVE known (type) AS (
        SELECT min(type)
        FROM goque_task
        WHERE type >= :after
        UNION ALL
        SELECT (SELECT min(next.type) FROM goque_task AS next WHERE next.type > known.type)
        FROM known
        WHERE known.type IS NOT NULL
        LIMIT :most)
    SELECT type, type IN (SELECT type FROM goque_type)
    FROM known
    WHERE type IS NOT NULL"""

MARK_NODE_DEAD: Final = """
    UPDATE goque_node
    SET state = 'dead'
    WHERE id = :id AND state = 'alive'
      AND CASE typeof(seq) WHEN 'integer' THEN seq ELSE 0 END = :seen_seq"""

SQLITE_STATEMENTS: Final = Statements(
    insert_task=INSERT_TASK,
    insert_tasks=INSERT_TASKS,
    insert_keyed_tasks=INSERT_KEYED_TASKS,
    task_by_unique_key=TASK_BY_UNIQUE_KEY,
    replace_if_waiting=REPLACE_IF_WAITING,
    due_priorities=DUE_PRIORITIES,
    due_levels=DUE_LEVELS,
    next_due=NEXT_DUE,
    claim_due=CLAIM_DUE,
    claim_past=CLAIM_PAST,
    mark_processing=MARK_PROCESSING,
    settle_done=SETTLE_DONE,
    settle_unneeded=SETTLE_UNNEEDED,
    delete_unneeded=DELETE_UNNEEDED,
    settle_moves=SETTLE_MOVES,
    release_stale=RELEASE_STALE,
    tasks_by_id=TASKS_BY_ID,
    count_by_indexes=COUNT_BY_INDEXES,
    count_tasks=largest_groups(COUNT_TASKS),
    find_tasks=FIND_TASKS,
    conditions=CONDITIONS,
    claimed_by_owner=CLAIMED_BY_OWNER,
    changed_by_others=CHANGED_BY_OTHERS,
    claims_of_owner=CLAIMS_OF_OWNER,
    move_claims=MOVE_CLAIMS,
    unowned_claims=UNOWNED_CLAIMS,
    finished_exists=FINISHED_EXISTS,
    delete_finished=DELETE_FINISHED,
    delete_attempts=DELETE_ATTEMPTS,
    next_types=NEXT_TYPES,
    queue_depths=largest_groups(QUEUE_DEPTHS),
    function_counts=function_counts("substr(external_id, 1, max(0, length(external_id) - 37))"),
    search=SQLITE_SEARCH,
    type_counts=TYPE_COUNTS,
    limits=SQLITE_LIMITS,
    flows=FlowStatements.of(ids="IN (SELECT value FROM json_each(:ids))", lock="", status="+status"),
    recorded_steps=SQLITE_RECORDED_STEPS,
    failures=SQLITE_FAILURES,
    rollups=SQLITE_ROLLUPS,
    version="",
    mark_node_dead=MARK_NODE_DEAD,
)
