"""The statements by which people look at a table: each touches a bounded part of it, by an index that is there."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class SearchStatements:
    """What the dashboard asks besides the contract's other reads.

    The columns of a task come in the order of `TaskLine`. Candidates are ids and statuses, at most `:most` of them;
    those of `waiting` and `held` have their external ids, too.

    Attributes:
        walk: the head and the tail of a walk from the newest id to older ones; conditions come between.
        walk_up: the same from the oldest id to newer ones.
        conditions: what each field of a search adds to a walk, and to `lines_by_id`.
        floor: the id of the task that `:scan` others lie before, on the way down.
        ceiling: the same on the way up.
        waiting: candidates among what nobody has claimed.
        blocked: candidates of the types in `:types` that wait for tasks that they need.
        held: candidates among what somebody holds.
        unowned: candidates among what the original has claimed.
        finished: candidates of the types in `:types` that ended in `:status`.
        finished_total: how many those are, at most `:most`, from the index alone where the database can do that.
        of_types: candidates of the types in `:types`.
        of_failure: candidates among the tasks with the newest attempts of the group `:failure`.
        of_external_id: candidates of these types with `:external_id`.
        of_external_ids: ids of tasks of these types whose external ids begin with `:prefix`; `:scan` of each type are
            looked at, and `:past` is greater than all external ids that begin so.
        of_ids: ids from `:low` to `:high`.
        previews: the ids of the tasks in `:batch`, and how their payloads begin; NULL for a large one.
        lines_by_id: the head of reading the tasks in `:batch`; conditions come behind.
        finished_counts: how many tasks of `:task_type` ended in `:status` from `:since` to `:until`, by slot.
        failures: the newest failed attempts with ids between `:after` and `:until`; a process that was killed for a
            cancel or a shutdown is none.
        all_nodes: the newest nodes, those that have ended too.
        schedules: what is known of periodic jobs.
        typed_tasks: the types that have tasks.
    """

    walk: tuple[str, str]
    walk_up: tuple[str, str]
    conditions: dict[str, str]
    waiting: str
    blocked: str
    held: str
    unowned: str
    finished: str
    finished_total: str
    of_types: str
    of_external_id: str
    of_external_ids: str
    previews: str
    of_failure: str
    lines_by_id: str
    finished_counts: str
    typed_tasks: str

    floor: str = """
        SELECT id
        FROM goque_task
        WHERE id < :before
        ORDER BY id DESC
        LIMIT 1 OFFSET :scan"""

    ceiling: str = """
        SELECT id
        FROM goque_task
        WHERE id > :before
        ORDER BY id
        LIMIT 1 OFFSET :scan"""

    of_ids: str = """
        SELECT id
        FROM goque_task
        WHERE id >= :low AND id <= :high
        ORDER BY id
        LIMIT :most"""

    failures: str = """
        SELECT newest.id, newest.task_id, goque_task.type, goque_task.status, newest.attempt, newest.cause,
               newest.error, newest.ended_at, newest.duration, goque_task.external_id, newest.failure_group
        FROM (
            SELECT id, task_id, attempt, cause, substr(error, 1, 400) AS error, ended_at, duration, failure_group
            FROM goque_attempt
            WHERE id > :after AND id < :until AND cause NOT IN ('canceled', 'interrupted', 'done')
            ORDER BY id DESC
            LIMIT :limit) AS newest
        LEFT JOIN goque_task ON goque_task.id = newest.task_id
        ORDER BY newest.id DESC"""

    all_nodes: str = """
        SELECT id, seq, state, host, pid, started_at, heartbeat_at, info
        FROM goque_node
        ORDER BY heartbeat_at DESC, id
        LIMIT :limit"""

    schedules: str = """
        SELECT job_name, last_slot, paused
        FROM goque_schedule
        ORDER BY job_name
        LIMIT :limit"""
