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
        conditions: what each field of a search adds to a walk, and to `lines_by_id`.
        floor: the id of the task that `:scan` others lie before.
        waiting: candidates among what nobody has claimed.
        blocked: candidates of the types in `:types` that wait for tasks that they need.
        held: candidates among what somebody holds.
        unowned: candidates among what the original has claimed.
        finished: candidates of the types in `:types` that ended in `:status`.
        of_types: candidates of the types in `:types`.
        of_failure: candidates among the tasks with the newest attempts of the group `:failure`.
        of_external_id: candidates of these types with `:external_id`.
        lines_by_id: the head of reading the tasks in `:batch`; conditions come behind.
        finished_counts: how many tasks of `:task_type` ended in `:status` from `:since` to `:until`, by slot.
        finished_lately: when each of the newest done tasks of `:task_type` was due, and when it was done.
        failures: the newest failed attempts with ids between `:after` and `:until`.
        all_nodes: the newest nodes, those that have ended too.
        schedules: what is known of periodic jobs.
        typed_tasks: the types that have tasks.
    """

    walk: tuple[str, str]
    conditions: dict[str, str]
    waiting: str
    blocked: str
    held: str
    unowned: str
    finished: str
    of_types: str
    of_external_id: str
    of_failure: str
    lines_by_id: str
    finished_counts: str
    finished_lately: str
    typed_tasks: str

    floor: str = """
        SELECT id
        FROM goque_task
        WHERE id < :before
        ORDER BY id DESC
        LIMIT 1 OFFSET :scan"""

    failures: str = """
        SELECT newest.id, newest.task_id, goque_task.type, goque_task.status, newest.attempt, newest.cause,
               newest.error, newest.ended_at, newest.duration, goque_task.external_id, newest.failure_group
        FROM (
            SELECT id, task_id, attempt, cause, substr(error, 1, 400) AS error, ended_at, duration, failure_group
            FROM goque_attempt
            WHERE id > :after AND id < :until
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
