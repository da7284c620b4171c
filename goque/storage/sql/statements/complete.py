"""The statements of a storage: whole SQL text with named parameters; here those that all databases share.

`:now` is the database's clock and `:before` lies `:age` seconds before it; each dialect says both its way.
The columns of a task come in the order of `goque.task.TaskRow`. Moves repeat the status that they expect.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from goque.storage.contract import MAX_GROUPS
from goque.storage.sql.statements.failures import FailureStatements
from goque.storage.sql.statements.flows import FlowStatements
from goque.storage.sql.statements.kinds import AllOrNone, ClaimPast, LockThenChange
from goque.storage.sql.statements.limits import LimitStatements
from goque.storage.sql.statements.recorded_steps import RecordedStepStatements
from goque.storage.sql.statements.rollups import RollupStatements
from goque.storage.sql.statements.search import SearchStatements
from goque.storage.sql.statements.stacks import StackStatements
from goque.storage.sql.statements.type_counts import TypeCountStatements


def largest_groups(groups: str) -> str:
    """Return a statement that reads the largest of some groups of tasks, those of published types first.

    Args:
        groups: a statement whose columns are `type`, `status`, `tasks` and `earliest`.
    """
    return f"""
    SELECT type, status, tasks, earliest
    FROM ({groups}) AS task_groups
    ORDER BY CASE WHEN type IN (SELECT type FROM goque_type) THEN 0 ELSE 1 END, tasks DESC, type
    LIMIT {MAX_GROUPS}"""  # noqa: S608 - both are constants


COUNT_TASKS: Final = """
    SELECT type, status, count(*) AS tasks, NULL AS earliest
    FROM goque_task
    GROUP BY type, status"""


def function_counts(beginning: str) -> str:
    """Return a statement that counts the tasks of `:task_type` by the beginning of their external id, and by status.

    Args:
        beginning: an expression for the external id without its last 37 characters, which are an id; empty for a
            shorter one.
    """
    return f"""
    SELECT {beginning} AS beginning, status, count(*) AS tasks
    FROM goque_task
    WHERE type = :task_type
    GROUP BY beginning, status
    ORDER BY tasks DESC, beginning
    LIMIT {MAX_GROUPS}"""  # noqa: S608 - both are constants


@dataclass(frozen=True, kw_only=True)
class Statements:
    """Every statement that goque runs; fields without a default are each dialect's own.

    Attributes:
        insert_task: one task, unless its type and external id are taken; returns what was inserted.
        insert_tasks: the same for the tasks in `:batch`, of which none has a key.
        insert_keyed_tasks: the same with unique keys and limit keys.
        task_by_external_id: read the task that has `:external_id`.
        task_by_unique_key: read the task that holds the key in `:unique_key`.
        see_newest: the end of a statement that reads what was committed after the caller's snapshot, and locks it.
        replace_if_waiting: give an unclaimed task that waits another payload, metadata, priority, due time and
            unique key and limit key.
        due_priorities: the priorities that have a due task, highest first; only `:priority` if that is not NULL;
            none while the type is paused. Empty where `claim_due` walks them itself.
        due_levels: for each of `:types` that is not paused, and each priority in which it has an unclaimed task
            other than those in `:past`, four columns: type, priority, when the first of these is due or NULL if
            one is, and now. Empty where the dialect makes the statement.
        next_due: the earliest `next_attempt_at` of each priority; none while the type is paused.
        claim_due: claim up to `:limit` due tasks, of one priority where there are `due_priorities`, else of
            `:priority` or of all if that is NULL, and return them.
        claim_past: the same past tasks that cannot be changed, in three statements, of `:priority` or of all.
        mark_processing: move the claims in `:batch` on from pending.
        settle_done: end the claims in `:batch` as done and return their ids and flags.
        settle_unneeded: do so for those of the claims whose task nobody needs.
        delete_unneeded: delete those of the claims that are successes whose task has never failed, has no flags, and so
            is neither needed nor waited for; it returns what `settle_unneeded` does.
        deletes_done: whether `:task_type` deletes tasks with their success.
        wait_for: flag the task with `:id` as one that is waited for, if it has not ended.
        settle_moves: write the moves in `:batch` and return their ids and flags.
        release_stale: clear the owner of the claims in `:batch` whose task somebody else has moved, and return
            their ids and flags.
        lock_task: read one task, held against other writers until the end.
        tasks_by_id: read the tasks whose ids are in `:batch`, held against other writers until the end.
        conditions: what each field of a TaskFilter adds to `find_tasks`.
        find_tasks: the head and the tail of a search.
        finished_exists: whether the next statement has anything to do.
        claimed_by_owner: read what an owner holds, of one type or of all.
        changed_by_others: the claims of an owner whose task is neither pending nor processing, of one type or of all,
            and the requests to the owner for stacks: the task, NULL, and the id of the request.
        move_claims: put `:new_owner` in the place of the owner of the claims in `:batch`.
        claims_of_owner: the claims of an owner with their types, of one type or of all.
        unowned_claims: read the oldest pending and processing tasks that nobody owns.
        delete_finished: delete up to `:limit` tasks of one type and status, and return their ids and flags.
        delete_if_finished: delete one task, if it is terminal and unclaimed.
        delete_if_unneeded: do so, if nobody needs it.
        delete_attempts: delete the attempts of the tasks in `:batch`.
        next_types: the first `:most` types of tasks from `:after` on, in their order, and whether each is published.
        queue_depths: how many unfinished tasks of each type and status there are, and the earliest
            `next_attempt_at` of the unclaimed ones; a type and status may come in several rows.
        queue_waits: reads those times for `:types`, with the same columns, where queue_depths leaves them out.
        function_counts: how many tasks of one type name each function, by status.
        version: what server it is; empty where there is none.
        count_tasks: how many tasks of each type and status there are; they too may come in several rows.
        count_by_indexes: the same by indexes alone, which know no task of an unknown status; the last column is the
            number of all tasks. Empty where count_tasks is as quick.
        search: what people ask who look at the table.
        type_counts: counts by type and status, each up to a number of tasks.
        limits: the statements of claims by limits.
        failures: the statements about groups of failed attempts.
        savepoint, release_savepoint, rollback_savepoint: frame a bulk insert in a caller's transaction.
    """

    insert_task: str
    insert_tasks: str
    insert_keyed_tasks: str
    task_by_unique_key: str
    replace_if_waiting: str
    see_newest: str = ""
    next_due: str
    claim_due: str | LockThenChange
    claim_past: ClaimPast
    mark_processing: str
    settle_done: str | LockThenChange
    settle_unneeded: str | AllOrNone
    delete_unneeded: str | AllOrNone | LockThenChange
    settle_moves: str | LockThenChange
    release_stale: str | LockThenChange
    tasks_by_id: str
    due_priorities: str = ""
    due_levels: str = ""
    conditions: dict[str, str] = field(default_factory=dict)
    find_tasks: tuple[str, str]
    finished_exists: str
    delete_finished: str | LockThenChange
    delete_attempts: str
    next_types: str
    queue_depths: str
    function_counts: str
    queue_waits: tuple[str, ...] = ()
    unowned_claims: str
    claimed_by_owner: str
    changed_by_others: str
    claims_of_owner: str
    move_claims: str
    search: SearchStatements
    type_counts: TypeCountStatements
    limits: LimitStatements
    flows: FlowStatements
    recorded_steps: RecordedStepStatements
    failures: FailureStatements
    stacks: StackStatements = field(default_factory=StackStatements)
    rollups: RollupStatements = field(default_factory=RollupStatements)

    savepoint: str = "SAVEPOINT goque_insert"
    release_savepoint: str = "RELEASE SAVEPOINT goque_insert"
    rollback_savepoint: str = "ROLLBACK TO SAVEPOINT goque_insert"

    get_task: str = """
        SELECT id, type, external_id, payload, status, attempts, errors, metadata, created_at, updated_at,
               next_attempt_at, priority, result, claimed_by, claims, lost_claims, unique_key, limit_key, flags
        FROM goque_task
        WHERE id = :id"""

    lock_task: str = get_task

    task_by_external_id: str = """
        SELECT id, type, external_id, payload, status, attempts, errors, metadata, created_at, updated_at,
               next_attempt_at, priority, result, claimed_by, claims, lost_claims, unique_key, limit_key, flags
        FROM goque_task
        WHERE type = :type AND external_id = :external_id"""

    cancel: str = """
        UPDATE goque_task
        SET status = 'canceled', updated_at = :now
        WHERE id = :id AND status IN ('new', 'pending', 'processing', 'error', 'blocked')"""

    reset: str = """
        UPDATE goque_task
        SET status = 'new', attempts = 0, errors = :errors, result = NULL, lost_claims = 0,
            next_attempt_at = :due, updated_at = :now
        WHERE id = :id AND status IN ('error', 'done', 'canceled', 'attempts_left') AND claimed_by IS NULL"""

    forget_unique_key: str = """
        UPDATE goque_task
        SET unique_key = NULL
        WHERE id = :id AND claimed_by IS NULL"""

    delete_if_finished: str = """
        DELETE FROM goque_task
        WHERE id = :id AND status IN ('done', 'canceled', 'attempts_left') AND claimed_by IS NULL"""

    delete_if_unneeded: str = f"{delete_if_finished} AND coalesce(flags, 0) & 2 = 0"

    deletes_done: str = """
        SELECT 1
        FROM goque_type
        WHERE type = :task_type AND cleaner_age = 0"""
    wait_for: str = """
        UPDATE goque_task
        SET flags = coalesce(flags, 0) | 32
        WHERE id = :id AND status NOT IN ('done', 'canceled', 'attempts_left')"""

    count_by_indexes: str = ""
    count_tasks: str = largest_groups(COUNT_TASKS)

    attempts: str = """
        SELECT task_id, node, started_at, ended_at, attempt, cause, error, traceback, worker_pid, duration,
               exit_code, signal, max_rss, oom, stack, stderr, failure_group, app_version
        FROM goque_attempt
        WHERE task_id = :task_id
        ORDER BY id"""

    insert_attempt: str = """
        INSERT INTO goque_attempt (task_id, node, started_at, ended_at, attempt, cause, error, traceback,
                                   worker_pid, duration, exit_code, signal, max_rss, oom, stack, stderr,
                                   failure_group, app_version)
        VALUES (:task_id, :node, :started_at, :now, :attempt, :cause, :error, :traceback,
                :worker_pid, :duration, :exit_code, :signal, :max_rss, :oom, :stack, :stderr,
                :failure_group, :app_version)"""

    register_node: str = """
        INSERT INTO goque_node (id, seq, state, host, pid, started_at, heartbeat_at, info)
        VALUES (:id, 1, 'alive', :host, :pid, :now, :now, :info)"""

    forget_node: str = """
        DELETE FROM goque_node
        WHERE id = :id"""

    beat: str = """
        UPDATE goque_node
        SET seq = seq + 1, heartbeat_at = :now, info = coalesce(:info, info)
        WHERE id = :id AND state = 'alive'"""

    beat_after: str = """
        UPDATE goque_node
        SET seq = :seq, heartbeat_at = :now, info = coalesce(:info, info)
        WHERE id = :id AND state = 'alive' AND seq >= :acknowledged AND seq < :seq"""

    node_by_id: str = """
        SELECT id, seq, state, host, pid, started_at, heartbeat_at, info
        FROM goque_node
        WHERE id = :id"""

    retire_node: str = """
        UPDATE goque_node
        SET state = 'stopped', heartbeat_at = :now
        WHERE id = :id AND state = 'alive'"""

    mark_node_dead: str = """
        UPDATE goque_node
        SET state = 'dead'
        WHERE id = :id AND state = 'alive' AND seq = :seen_seq"""

    nodes: str = """
        SELECT id, seq, state, host, pid, started_at, heartbeat_at, info
        FROM goque_node
        WHERE state = 'alive' OR (SELECT 1 FROM goque_task WHERE claimed_by = goque_node.id LIMIT 1) IS NOT NULL
        ORDER BY started_at, id"""

    delete_dead_nodes: str = """
        DELETE FROM goque_node
        WHERE state <> 'alive' AND heartbeat_at < :before
          AND (SELECT 1 FROM goque_task WHERE claimed_by = goque_node.id LIMIT 1) IS NULL"""

    unknown_owners: str = """
        SELECT owner
        FROM (SELECT DISTINCT claimed_by AS owner FROM goque_task WHERE claimed_by IS NOT NULL) AS owners
        WHERE (SELECT 1 FROM goque_node WHERE id = owner LIMIT 1) IS NULL
        LIMIT 1000"""

    type_policies: str = """
        SELECT type, max_attempts, strategy, max_crashes, cleaner_age, cleaner_keep_failed, healer_age, paused,
               limits, limits_set
        FROM goque_type"""

    update_type: str = """
        UPDATE goque_type
        SET max_attempts = :max_attempts, strategy = :strategy, max_crashes = :max_crashes,
            cleaner_age = :cleaner_age, cleaner_keep_failed = :cleaner_keep_failed, healer_age = :healer_age,
            limits = :limits, updated_at = :now
        WHERE type = :type"""

    insert_type: str = """
        INSERT INTO goque_type (type, max_attempts, strategy, max_crashes, cleaner_age, cleaner_keep_failed,
                                healer_age, paused, limits, updated_at)
        VALUES (:type, :max_attempts, :strategy, :max_crashes, :cleaner_age, :cleaner_keep_failed,
                :healer_age, :paused, :limits, :now)
        ON CONFLICT DO NOTHING"""

    pause_type: str = """
        UPDATE goque_type
        SET paused = :paused, updated_at = :now
        WHERE type = :type AND paused <> :paused"""

    last_slot: str = """
        SELECT last_slot
        FROM goque_schedule
        WHERE job_name = :job_name"""

    advance_slot: str = """
        UPDATE goque_schedule
        SET last_slot = :slot, updated_at = :now
        WHERE job_name = :job_name AND last_slot < :slot"""

    insert_slot: str = """
        INSERT INTO goque_schedule (job_name, last_slot, updated_at)
        VALUES (:job_name, :slot, :now)
        ON CONFLICT DO NOTHING"""

    paused_jobs: str = """
        SELECT job_name
        FROM goque_schedule
        WHERE paused <> 0"""

    pause_job: str = """
        UPDATE goque_schedule
        SET paused = :paused, updated_at = :now
        WHERE job_name = :job_name AND paused <> :paused"""

    ping: str = "SELECT 1"

    version: str = "SELECT version()"

    applied_migrations: str = """
        SELECT name
        FROM goque_migration
        ORDER BY name"""

    record_migration: str = """
        INSERT INTO goque_migration (name, applied_at)
        VALUES (:name, :now)"""
