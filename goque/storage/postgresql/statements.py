"""The statements in PostgreSQL's SQL, each written so that the planner has only one possible plan.

The statistics of a queue's table are often stale or missing, and a bad plan for a batch is a hundred times slower. So
frequent statements run with sequential, bitmap, hash and merge plans switched off (see `PLANS` in `connection.py`).
They also follow these rules:

- A batch is one JSON parameter, and an UPDATE reads one table only, so there is no join order to choose. The ids
  become an array for the primary key; the other values of a row are looked up in the JSON object by id.
- `claimed_by IS NOT DISTINCT FROM` cannot be an index condition. `claimed_by =` could use the index of claimed rows.
  That index looks empty in the statistics, but it has a dead entry for each claim since the last vacuum.
  `status || ''` prevents index use too: a table made by the Go library has two indexes with the status.
- A claim first locks rows in the order of the partial index, then changes them by their physical address (ctid). A
  join with the locked rows would become a join over the whole table. A locked row keeps its address.
- Settling finds rows by id and not by address. If another transaction has changed a row meanwhile, PostgreSQL checks
  the whole condition again for its new version. By address, it would not find that version.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from goque.storage.postgresql.claim_past import CLAIM_PAST
from goque.storage.postgresql.counting import QUEUE_DEPTHS, TYPE_COUNTS
from goque.storage.postgresql.due_levels import DUE_LEVELS
from goque.storage.postgresql.failures import OPEN_TASKS, POSTGRESQL_FAILURES
from goque.storage.postgresql.limits import POSTGRESQL_LIMITS
from goque.storage.postgresql.owner_statements import CLAIMS_OF_OWNER, MOVE_CLAIMS
from goque.storage.postgresql.recorded_steps import POSTGRESQL_RECORDED_STEPS
from goque.storage.postgresql.search import POSTGRESQL_SEARCH
from goque.storage.postgresql.settling import (
    DELETE_UNNEEDED,
    RELEASE_STALE,
    SETTLE_DONE,
    SETTLE_MOVES,
    SETTLE_UNNEEDED,
)
from goque.storage.postgresql.unique_keys import INSERT_KEYED_TASKS, REPLACE_IF_WAITING, TASK_BY_UNIQUE_KEY
from goque.storage.sql.statements.complete import Statements, function_counts, largest_groups
from goque.storage.sql.statements.flows import FlowStatements

CHANNELS_OF: Final = """
    SELECT 'goque_' || CAST(CAST('goque_task' AS regclass) AS oid) || '_' || md5(type)
    FROM jsonb_array_elements_text(CAST(:types AS jsonb)) AS type"""
"""One channel for each type in each table, so that a fetcher wakes up only for its own types."""

NOTIFY: Final = """
    SELECT pg_notify('goque_' || CAST(CAST('goque_task' AS regclass) AS oid) || '_' || md5(type), '')
    FROM jsonb_array_elements_text(CAST(:batch AS jsonb)) AS type"""

INSERT_TASK: Final = """
    INSERT INTO goque_task (id, type, external_id, payload, status, attempts, metadata, created_at,
                            next_attempt_at, priority, unique_key, limit_key)
    VALUES (CAST(:id AS uuid), :type, :external_id, CAST(:payload AS jsonb), 'new', 0, CAST(:metadata AS jsonb),
            coalesce(CAST(:clock AS timestamptz), statement_timestamp()),
            coalesce(CAST(:run_at AS timestamptz),
                     coalesce(CAST(:clock AS timestamptz), statement_timestamp()) + make_interval(secs => :delay)),
            :priority, :unique_key, :limit_key)
    ON CONFLICT DO NOTHING
    RETURNING created_at, next_attempt_at"""

INSERT_TASK_AND_NOTIFY: Final = f"""{INSERT_TASK},
        pg_notify('goque_' || CAST(CAST('goque_task' AS regclass) AS oid) || '_' || md5(type), '')"""

INSERT_TASKS: Final = """
    INSERT INTO goque_task (id, type, external_id, payload, status, attempts, metadata, created_at,
                            next_attempt_at, priority)
    SELECT CAST(task ->> 0 AS uuid), task ->> 1, task ->> 2, CAST(task ->> 3 AS jsonb), 'new', 0,
           CAST(task ->> 4 AS jsonb), :now, CAST(task ->> 5 AS timestamptz), CAST(task ->> 6 AS smallint)
    FROM jsonb_array_elements(CAST(:batch AS jsonb)) AS task
    ON CONFLICT DO NOTHING
    RETURNING id"""

NEXT_DUE: Final = """
    WITH RECURSIVE level (priority, next_attempt_at) AS (
        (SELECT priority, next_attempt_at
         FROM goque_task
         WHERE type = :task_type AND status IN ('new', 'error') AND claimed_by IS NULL
         ORDER BY priority DESC, next_attempt_at
         LIMIT 1)
        UNION ALL
        SELECT nearest.priority, nearest.next_attempt_at
        FROM level
        CROSS JOIN LATERAL (
            SELECT lower.priority, lower.next_attempt_at
            FROM goque_task AS lower
            WHERE lower.type = :task_type AND lower.status IN ('new', 'error') AND lower.claimed_by IS NULL
              AND lower.priority < level.priority
            ORDER BY lower.priority DESC, lower.next_attempt_at
            LIMIT 1) AS nearest)
    SELECT next_attempt_at
    FROM level
    WHERE NOT EXISTS (SELECT 1 FROM goque_type WHERE goque_type.type = :task_type AND paused <> 0)"""

COPY_TASKS: Final = """
    COPY goque_task (id, type, external_id, payload, status, attempts, metadata, created_at, next_attempt_at, priority)
    FROM STDIN"""
"""COPY takes half the server's time of INSERT with ON CONFLICT, which checks each row for a conflict."""

CLAIM_DUE: Final = """
    WITH RECURSIVE level (priority) AS (
        SELECT coalesce(CAST(:top AS smallint), CAST(:priority AS smallint), (
            SELECT priority
            FROM goque_task
            WHERE type = :task_type AND status IN ('new', 'error') AND claimed_by IS NULL
            ORDER BY priority DESC
            LIMIT 1))
        UNION ALL
        SELECT (
            SELECT lower.priority
            FROM goque_task AS lower
            WHERE lower.type = :task_type AND lower.status IN ('new', 'error') AND lower.claimed_by IS NULL
              AND lower.priority < level.priority
            ORDER BY lower.priority DESC
            LIMIT 1)
        FROM level
        WHERE level.priority > coalesce(CAST(:priority AS smallint), -32768))
    UPDATE goque_task
    SET status = 'pending', claimed_by = :owner, updated_at = :now,
        claims = CASE WHEN claims BETWEEN 0 AND 2147483646 THEN claims + 1 ELSE 1 END
    WHERE ctid = ANY (ARRAY(
        SELECT due.place
        FROM level
        CROSS JOIN LATERAL (
            SELECT waiting.ctid AS place
            FROM goque_task AS waiting
            WHERE waiting.type = :task_type AND waiting.status IN ('new', 'error') AND waiting.claimed_by IS NULL
              AND waiting.priority = level.priority AND waiting.next_attempt_at <= :now
              AND waiting.next_attempt_at >= CASE
                  WHEN level.priority = CAST(:top AS smallint) THEN CAST(:since AS timestamptz)
                  ELSE '-infinity' END
            ORDER BY waiting.priority DESC, waiting.next_attempt_at
            LIMIT :limit
            FOR UPDATE SKIP LOCKED) AS due
        WHERE NOT EXISTS (
            SELECT 1
            FROM goque_type
            WHERE goque_type.type = :task_type AND (paused <> 0 OR limits IS NOT NULL OR limits_set IS NOT NULL))
        LIMIT :limit))
    RETURNING id, type, external_id, payload, status, attempts, errors, metadata, created_at, updated_at,
              next_attempt_at, priority, result, claimed_by, claims, lost_claims, unique_key, limit_key, flags"""
"""Reads priority by priority, from the highest or from `top` downwards, and stops at the limit; with `priority`, it
reads that one only. In the priority `top` it begins at `since`: before that are the dead entries of earlier claims,
see `claim_cursor`."""

MARK_PROCESSING: Final = """
    UPDATE goque_task
    SET status = 'processing', updated_at = :now
    WHERE id = ANY (ARRAY(SELECT CAST(jsonb_object_keys(CAST(:batch AS jsonb)) AS uuid)))
      AND claims = CAST(CAST(:batch AS jsonb) ->> CAST(id AS text) AS int)
      AND claimed_by IS NOT DISTINCT FROM :owner AND status || '' = 'pending'"""

LOCK_TASK: Final = """
    SELECT id, type, external_id, payload, status, attempts, errors, metadata, created_at, updated_at,
           next_attempt_at, priority, result, claimed_by, claims, lost_claims, unique_key, limit_key, flags
    FROM goque_task
    WHERE id = :id
    FOR UPDATE"""

TASKS_BY_ID: Final = """
    SELECT id, type, external_id, payload, status, attempts, errors, metadata, created_at, updated_at,
           next_attempt_at, priority, result, claimed_by, claims, lost_claims, unique_key, limit_key, flags
    FROM goque_task
    WHERE id = ANY (ARRAY(SELECT CAST(jsonb_array_elements_text(CAST(:batch AS jsonb)) AS uuid)))
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
    "ids": "id = ANY (ARRAY(SELECT CAST(jsonb_array_elements_text(CAST(:ids AS jsonb)) AS uuid)))",
    "task_type": "type = :task_type",
    "statuses": "status = ANY (ARRAY(SELECT jsonb_array_elements_text(CAST(:statuses AS jsonb))))",
    "limit_key": "limit_key || '' = :limit_key",
    "updated_before": "coalesce(updated_at, created_at) < :updated_before",
    "age": "coalesce(updated_at, created_at) <= :before",
}

CLAIMED_BY_OWNER: Final = """
    WITH held AS MATERIALIZED (
        SELECT id, type, external_id, payload, status, attempts, errors, metadata, created_at, updated_at,
               next_attempt_at, priority, result, claimed_by, claims, lost_claims, unique_key, limit_key, flags
        FROM goque_task
        WHERE claimed_by = :owner AND (CAST(:task_type AS text) IS NULL OR type = :task_type))
    SELECT *
    FROM held
    ORDER BY id
    LIMIT :limit"""

CHANGED_BY_OTHERS: Final = """
    SELECT id, claims, CAST(NULL AS uuid)
    FROM goque_task
    WHERE claimed_by = :owner AND (CAST(:task_type AS text) IS NULL OR type || '' = :task_type)
      AND status NOT IN ('pending', 'processing')
    UNION ALL
    SELECT task_id, NULL, id
    FROM goque_stack
    WHERE owner = :owner AND answer IS NULL"""

UNOWNED_CLAIMS: Final = """
    SELECT id, type, external_id, payload, status, attempts, errors, metadata, created_at, updated_at,
           next_attempt_at, priority, result, claimed_by, claims, lost_claims, unique_key, limit_key, flags
    FROM goque_task
    WHERE status IN ('pending', 'processing') AND claimed_by IS NULL
      AND coalesce(updated_at, created_at) < :before
      AND (type = CAST(:task_type AS text) OR CAST(:task_type AS text) IS NULL
           AND NOT EXISTS (SELECT 1 FROM goque_type WHERE goque_type.type = goque_task.type))
    ORDER BY coalesce(updated_at, created_at)
    LIMIT :limit"""

FINISHED_EXISTS: Final = """
    SELECT 1
    FROM goque_task
    WHERE type = :task_type AND status = :status AND coalesce(updated_at, created_at) < :before
      AND status IN ('done', 'canceled', 'attempts_left') AND claimed_by IS NULL AND coalesce(flags, 0) & 6 = 0
    ORDER BY coalesce(updated_at, created_at)
    LIMIT 1"""

DELETE_FINISHED: Final = """
    DELETE FROM goque_task
    WHERE ctid = ANY (ARRAY(
        SELECT ctid
        FROM goque_task
        WHERE type = :task_type AND status = :status AND coalesce(updated_at, created_at) < :before
          AND status IN ('done', 'canceled', 'attempts_left') AND claimed_by IS NULL AND coalesce(flags, 0) & 6 = 0
        ORDER BY coalesce(updated_at, created_at)
        LIMIT :limit
        FOR UPDATE SKIP LOCKED))
    RETURNING id, flags"""

DELETE_ATTEMPTS: Final = """
    DELETE FROM goque_attempt
    WHERE task_id = ANY (ARRAY(SELECT CAST(jsonb_array_elements_text(CAST(:batch AS jsonb)) AS uuid)))"""

NEXT_TYPES: Final = """
    WITH RECURSIVE known (type) AS (
        (SELECT type FROM goque_task WHERE type >= :after ORDER BY type LIMIT 1)
        UNION ALL
        SELECT (SELECT next.type FROM goque_task AS next WHERE next.type > known.type ORDER BY next.type LIMIT 1)
        FROM known
        WHERE known.type IS NOT NULL)
    SELECT type, EXISTS (SELECT 1 FROM goque_type WHERE goque_type.type = known.type)
    FROM known
    WHERE type IS NOT NULL
    LIMIT :most"""

POSTGRESQL_STATEMENTS: Final = Statements(
    insert_task=INSERT_TASK,
    insert_tasks=INSERT_TASKS,
    insert_keyed_tasks=INSERT_KEYED_TASKS,
    task_by_unique_key=TASK_BY_UNIQUE_KEY,
    replace_if_waiting=REPLACE_IF_WAITING,
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
    queue_depths=largest_groups(QUEUE_DEPTHS),
    function_counts=function_counts("left(external_id, -37)"),
    search=POSTGRESQL_SEARCH,
    type_counts=TYPE_COUNTS,
    limits=POSTGRESQL_LIMITS,
    flows=FlowStatements.of(
        ids="= ANY (ARRAY(SELECT CAST(jsonb_array_elements_text(CAST(:ids AS jsonb)) AS uuid)))",
        lock="FOR UPDATE",
        # an index cannot give this order: else a session without sorts would read all tasks in the order of their ids
        sorted_by='CAST({} AS text) COLLATE "C"',
        status="status || ''",
    ),
    recorded_steps=POSTGRESQL_RECORDED_STEPS,
    failures=POSTGRESQL_FAILURES,
)

CANCEL_AND_NOTIFY: Final = """
    WITH canceled AS (
        UPDATE goque_task
        SET status = 'canceled', updated_at = :now
        WHERE id = :id AND status || '' IN ('new', 'pending', 'processing', 'error', 'blocked')
        RETURNING type, CAST(id AS text))
    SELECT pg_notify('goque_' || CAST(CAST('goque_task' AS regclass) AS oid) || '_' || md5(type), ''),
           pg_notify('goque_ends_' || CAST(CAST('goque_task' AS regclass) AS oid), id)
    FROM canceled"""

RESET_AND_NOTIFY: Final = """
    WITH renewed AS (
        UPDATE goque_task
        SET status = 'new', attempts = 0, errors = :errors, result = NULL, lost_claims = 0,
            next_attempt_at = :due, updated_at = :now
        WHERE id = :id AND status || '' IN ('error', 'done', 'canceled', 'attempts_left') AND claimed_by IS NULL
        RETURNING type)
    SELECT pg_notify('goque_' || CAST(CAST('goque_task' AS regclass) AS oid) || '_' || md5(type), '')
    FROM renewed"""

NOTIFYING_STATEMENTS: Final = replace(
    POSTGRESQL_STATEMENTS,
    insert_task=INSERT_TASK_AND_NOTIFY,
    cancel=CANCEL_AND_NOTIFY,
    reset=RESET_AND_NOTIFY,
)
"""The same statements, which also notify the fetchers of the type at the commit."""
