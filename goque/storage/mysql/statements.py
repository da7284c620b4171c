"""The statements that MySQL and MariaDB say in their own way, in words that both understand.

- Neither returns what an UPDATE changed on both, so such a move is two statements in one transaction: the first
  reads and locks what the second changes.
- There is no partial index. `claim_rank` is set while a task may be claimed, the highest priority lowest, and an
  index on it walks level by level, each from its longest due; `goque_task_state_idx` finds what an owner holds,
  what has no owner, and what is finished. FORCE INDEX keeps stale statistics from choosing another.
- A batch is one JSON parameter, read by JSON_TABLE, and STRAIGHT_JOIN begins with it. The comments with a number
  are code: the collation of the ids has one name in MariaDB and another in MySQL. Its texts name their character
  set: the default is the database's, which may be latin1.
- Rows are locked in the order of their ids, so that two batches do not wait for each other.
"""

from __future__ import annotations

from typing import Final

from goque.storage.mysql.claim_past import CLAIM_PAST
from goque.storage.mysql.claim_texts import claim_of
from goque.storage.mysql.counting import COUNT_TASKS, QUEUE_DEPTHS, QUEUE_WAITS, TYPE_COUNTS
from goque.storage.mysql.failures import MYSQL_FAILURES, OPEN_TASKS
from goque.storage.mysql.limits import MYSQL_LIMITS
from goque.storage.mysql.recorded_steps import MYSQL_RECORDED_STEPS
from goque.storage.mysql.search import MYSQL_SEARCH
from goque.storage.mysql.settling import (
    DELETE_UNNEEDED,
    RELEASE_STALE,
    SETTLE_DONE,
    SETTLE_MOVES,
    SETTLE_UNNEEDED,
)
from goque.storage.mysql.unique_keys import (
    INSERT_KEYED_TASKS,
    REPLACE_IF_WAITING,
    TASK_BY_UNIQUE_KEY,
)
from goque.storage.sql.statements.complete import Statements, function_counts
from goque.storage.sql.statements.flows import FlowStatements
from goque.storage.sql.statements.kinds import LockThenChange
from goque.storage.sql.statements.rollups import MYSQL_ROLLUPS

INSERT_TASK: Final = """
    INSERT INTO goque_task (id, type, external_id, payload, status, attempts, metadata, created_at,
                            next_attempt_at, priority, unique_key, limit_key)
    VALUES (:id, :type, :external_id, :payload, 'new', 0, :metadata, :created_at, :next_attempt_at, :priority,
            :unique_key, :limit_key)"""

INSERT_DUE_TASK: Final = """
    INSERT INTO goque_task (id, type, external_id, payload, status, attempts, metadata, created_at,
                            next_attempt_at, priority, unique_key, limit_key)
    VALUES (:id, :type, :external_id, :payload, 'new', 0, :metadata, UTC_TIMESTAMP(6), UTC_TIMESTAMP(6), :priority,
            :unique_key, :limit_key)
    RETURNING created_at"""
"""MariaDB's: one round trip less, for the server dates the task itself."""

INSERT_TASKS: Final = """
    INSERT INTO goque_task (id, type, external_id, payload, status, attempts, metadata, created_at,
                            next_attempt_at, priority)
    VALUES (:id, :type, :external_id, :payload, :status, :attempts, :metadata, :created_at, :next_attempt_at,
            :priority)"""
"""Only parameters among its values: else PyMySQL does not make one statement of many rows."""

TAKEN: Final = """
    SELECT type, external_id
    FROM goque_task
    WHERE type IN :types AND external_id IN :external_ids"""

PRESENT: Final = """
    SELECT id
    FROM goque_task FORCE INDEX (PRIMARY)
    WHERE id IN :ids"""

NEXT_DUE_LEVEL: Final = """
    SELECT claim_rank, next_attempt_at
    FROM goque_task FORCE INDEX (goque_task_claim_idx)
    WHERE type = :task_type AND claim_rank > :rank AND claim_rank <= :last_rank
      AND NOT EXISTS (
        SELECT 1
        FROM goque_type
        WHERE goque_type.type = :task_type AND (paused <> 0 OR limits IS NOT NULL OR limits_set IS NOT NULL))
    ORDER BY claim_rank, next_attempt_at
    LIMIT 1"""

NEXT_LEVEL: Final = """
    SELECT claim_rank, next_attempt_at
    FROM goque_task FORCE INDEX (goque_task_claim_idx)
    WHERE type = :task_type AND claim_rank > :rank AND claim_rank <= :last_rank
      AND NOT EXISTS (SELECT 1 FROM goque_type WHERE goque_type.type = :task_type AND paused <> 0)
    ORDER BY claim_rank, next_attempt_at
    LIMIT 1"""

CLAIM_DUE: Final = claim_of("""FORCE INDEX (goque_task_claim_idx)
    WHERE type = :task_type AND claim_rank = 0 - :priority AND next_attempt_at <= :now
    ORDER BY next_attempt_at
    LIMIT :limit""")

MARK_PROCESSING: Final = """
    UPDATE JSON_TABLE(:batch, '$[*]' COLUMNS (
        id CHAR(36) CHARACTER SET utf8mb4 PATH '$[0]', claims INT PATH '$[1]')) AS claim
    STRAIGHT_JOIN goque_task
      ON goque_task.id = claim.id /*M!100600 COLLATE utf8mb4_nopad_bin */ /*!80017 COLLATE utf8mb4_0900_bin */
    SET goque_task.status = 'processing', goque_task.updated_at = :now, goque_task.claim_room = NULL
    WHERE goque_task.claims = claim.claims AND goque_task.claimed_by <=> :owner AND goque_task.status = 'pending'"""

LOCK_TASK: Final = """
    SELECT id, type, external_id, payload, status, attempts, errors, metadata, created_at, updated_at,
           next_attempt_at, priority, result, claimed_by, claims, lost_claims, unique_key, limit_key, flags
    FROM goque_task
    WHERE id = :id
    FOR UPDATE"""

TASKS_BY_ID: Final = """
    SELECT id, type, external_id, payload, status, attempts, errors, metadata, created_at, updated_at,
           next_attempt_at, priority, result, claimed_by, claims, lost_claims, unique_key, limit_key, flags
    FROM goque_task FORCE INDEX (PRIMARY)
    WHERE id IN :batch
    FOR UPDATE"""

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
    "ids": "id IN :ids",
    "task_type": "type = :task_type",
    "statuses": "status IN :statuses",
    "limit_key": "limit_key = :limit_key",
    "updated_before": "coalesce(updated_at, created_at) < :updated_before",
    "age": "coalesce(updated_at, created_at) <= :before",
}

CLAIMED_BY_OWNER: Final = """
    SELECT id, type, external_id, payload, status, attempts, errors, metadata, created_at, updated_at,
           next_attempt_at, priority, result, claimed_by, claims, lost_claims, unique_key, limit_key, flags
    FROM goque_task FORCE INDEX (goque_task_state_idx)
    WHERE claimed_by = :owner AND (:task_type IS NULL OR type = :task_type)
    ORDER BY id
    LIMIT :limit"""

CHANGED_BY_OTHERS: Final = """
    SELECT id, claims, NULL
    FROM goque_task FORCE INDEX (goque_task_state_idx)
    WHERE claimed_by = :owner AND (:task_type IS NULL OR type = :task_type)
      AND status NOT IN ('pending', 'processing')
    UNION ALL
    SELECT task_id, NULL, id
    FROM goque_stack
    WHERE owner = :owner AND answer IS NULL"""

MOVE_CLAIMS: Final = """
    UPDATE JSON_TABLE(:batch, '$[*]' COLUMNS (
        id CHAR(36) CHARACTER SET utf8mb4 PATH '$[0]', claims INT PATH '$[1]')) AS claim
    STRAIGHT_JOIN goque_task
      ON goque_task.id = claim.id /*M!100600 COLLATE utf8mb4_nopad_bin */ /*!80017 COLLATE utf8mb4_0900_bin */
    SET goque_task.claimed_by = :new_owner
    WHERE goque_task.claims = claim.claims AND goque_task.claimed_by <=> :owner"""

CLAIMS_OF_OWNER: Final = """
    SELECT id, claims, type
    FROM goque_task FORCE INDEX (goque_task_state_idx)
    WHERE claimed_by = :owner AND (:task_type IS NULL OR type = :task_type)"""

UNOWNED_CLAIMS: Final = """
    SELECT id, type, external_id, payload, status, attempts, errors, metadata, created_at, updated_at,
           next_attempt_at, priority, result, claimed_by, claims, lost_claims, unique_key, limit_key, flags
    FROM goque_task FORCE INDEX (goque_task_state_idx)
    WHERE claimed_by IS NULL AND status IN ('pending', 'processing')
      AND coalesce(updated_at, created_at) < :before
      AND (type = :task_type OR :task_type IS NULL
           AND NOT EXISTS (SELECT 1 FROM goque_type WHERE goque_type.type = goque_task.type))
    ORDER BY coalesce(updated_at, created_at)
    LIMIT :limit"""

FINISHED_EXISTS: Final = """
    SELECT 1
    FROM goque_task FORCE INDEX (goque_task_state_idx)
    WHERE claimed_by IS NULL AND status = :status AND type = :task_type AND updated_at < :before
      AND coalesce(flags, 0) & 6 = 0
    LIMIT 1"""

DELETE_FINISHED: Final = LockThenChange(
    lock="""
    SELECT id, flags
    FROM goque_task FORCE INDEX (goque_task_state_idx)
    WHERE claimed_by IS NULL AND status = :status AND type = :task_type AND updated_at < :before
      AND coalesce(flags, 0) & 6 = 0
    ORDER BY updated_at
    LIMIT :limit
    FOR UPDATE SKIP LOCKED""",
    change="""
    DELETE goque_task
    FROM goque_task FORCE INDEX (PRIMARY)
    WHERE id IN :ids AND status = :status AND claimed_by IS NULL""",
)

DELETE_ATTEMPTS: Final = """
    DELETE FROM goque_attempt
    WHERE task_id IN :batch"""

NEXT_TYPES: Final = """
    SELECT known.type, EXISTS (SELECT 1 FROM goque_type WHERE goque_type.type = known.type)
    FROM (
        SELECT type
        FROM goque_task FORCE INDEX (goque_task_type_external_id_idx)
        WHERE type >= :after
        GROUP BY type
        ORDER BY type
        LIMIT :most) AS known
    ORDER BY known.type"""

ATTEMPTS: Final = """
    SELECT task_id, node, started_at, ended_at, attempt, cause, error, traceback, worker_pid, duration,
           exit_code, `signal`, max_rss, oom, stack, stderr, failure_group, app_version
    FROM goque_attempt
    WHERE task_id = :task_id
    ORDER BY id"""

INSERT_ATTEMPT: Final = """
    INSERT INTO goque_attempt (task_id, node, started_at, ended_at, attempt, cause, error, traceback,
                               worker_pid, duration, exit_code, `signal`, max_rss, oom, stack, stderr,
                               failure_group, app_version)
    VALUES (:task_id, :node, :started_at, :now, :attempt, :cause, :error, :traceback,
            :worker_pid, :duration, :exit_code, :signal, :max_rss, :oom, :stack, :stderr,
            :failure_group, :app_version)"""

INSERT_TYPE: Final = """
    INSERT IGNORE INTO goque_type (type, max_attempts, strategy, max_crashes, cleaner_age, cleaner_keep_failed,
                                   healer_age, paused, limits, updated_at)
    VALUES (:type, :max_attempts, :strategy, :max_crashes, :cleaner_age, :cleaner_keep_failed,
            :healer_age, :paused, :limits, :now)"""

INSERT_SLOT: Final = """
    INSERT IGNORE INTO goque_schedule (job_name, last_slot, updated_at)
    VALUES (:job_name, :slot, :now)"""

MYSQL_STATEMENTS: Final = Statements(
    insert_task=INSERT_TASK,
    insert_tasks=INSERT_TASKS,
    insert_keyed_tasks=INSERT_KEYED_TASKS,
    task_by_unique_key=TASK_BY_UNIQUE_KEY,
    replace_if_waiting=REPLACE_IF_WAITING,
    see_newest="\n    LOCK IN SHARE MODE",
    due_priorities=NEXT_DUE_LEVEL,
    next_due=NEXT_LEVEL,
    claim_due=CLAIM_DUE,
    claim_past=CLAIM_PAST,
    mark_processing=MARK_PROCESSING,
    settle_done=SETTLE_DONE,
    settle_unneeded=SETTLE_UNNEEDED,
    delete_unneeded=DELETE_UNNEEDED,
    settle_moves=SETTLE_MOVES,
    release_stale=RELEASE_STALE,
    lock_task=LOCK_TASK,
    tasks_by_id=TASKS_BY_ID,
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
    count_tasks=COUNT_TASKS,
    queue_depths=QUEUE_DEPTHS,
    queue_waits=(QUEUE_WAITS,),
    function_counts=function_counts("left(external_id, greatest(37, char_length(external_id)) - 37)"),
    search=MYSQL_SEARCH,
    type_counts=TYPE_COUNTS,
    limits=MYSQL_LIMITS,
    flows=FlowStatements.of(ids="IN :ids", lock="FOR UPDATE"),
    recorded_steps=MYSQL_RECORDED_STEPS,
    failures=MYSQL_FAILURES,
    rollups=MYSQL_ROLLUPS,
    attempts=ATTEMPTS,
    insert_attempt=INSERT_ATTEMPT,
    insert_type=INSERT_TYPE,
    insert_slot=INSERT_SLOT,
)
