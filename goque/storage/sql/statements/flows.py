"""The statements about flows, which are the same in every dialect but for lists of ids and locks."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import Final, Self

OPEN, MET, FAILED = 0, 1, 2
"""The states of a need: still open; ended as wanted; ended otherwise, so that its dependents are canceled."""

HAS_ENDED: Final = """NOT EXISTS (
          SELECT 1
          FROM goque_task AS needed
          WHERE needed.id = goque_need.needs_id
            AND (needed.status NOT IN ('done', 'canceled', 'attempts_left') OR needed.claimed_by IS NOT NULL))"""
"""Whether the need of a row of goque_need has ended and nobody holds it, or is deleted."""


@dataclass(frozen=True, kw_only=True)
class FlowStatements:
    """SQL text.

    `IN <ids>` stands for the dialect's way to bind `:ids`, `<for update>` for its lock, `<sorted id>` for what sorts by
    an id. `ready` asks for one row and not whether any exists, so that a planner cannot make a join of it.

    Attributes:
        lock_needs: lock the tasks `:ids`, and return the id of each.
        keep_result: give a task that has just ended well, and that others need, its `:result`.
        mark_needed: let the ends of `:ids` look for dependents.
        lock_dependents: lock the tasks with an open need among `:ids` that has ended, or is deleted; return their
            id, type, flags, errors and status, in the order of their ids. A canceled one is locked too: it may be
            reset, and must know then which of its needs have ended.
        mark_needs: mark the open needs among `:ids` that have ended: met, or failed.
        failed_needs: return, for each failed need among `:ids`, the task that has it, and of the need its id, type,
            status and errors, in the order of tasks and needs.
        ready: return those of `:ids` of which no need is open or failed, with their type.
        unblock: let blocked tasks `:ids` be claimed.
        cancel_blocked: cancel a blocked task, with `:errors` and `:flags`.
        lock_waiting: lock the tasks that wait or are canceled and have a need among `:ids` that is not open; return id,
            status, flags and errors.
        block_waiting: block a task that might be claimed.
        flags: return the flags of a task.
        reopen_needs: open again those needs of `:id` that are among `:ids`.
        lock_needs_of: lock the tasks that `:id` needs.
        look_at_needs: note anew of each need of `:id` whether it is open, met or failed; a deleted one keeps its
            state.
        unmet: return the state and the need of each need of `:id` that is not met.
        block_again: let a canceled task wait for its needs again, with `:errors` and `:flags`; it is
            due at `:due` then, NULL for when it was.
        insert_flow, insert_member, insert_need: insert a flow, that a task is in it, and a need.
        flow_by_id: return a flow.
        tasks_of_flow: return the tasks of a flow, in their order.
        needs_of_flow: return the edges of a flow, in their order.
        needs_of: return the needs of `:ids`: the task, and of the need the id, type, status, result and errors.
        flow_of_task: return the flow of a task.
        flows_of_tasks: return the flows of those of `:ids` that are in one, each with its task.
        ended_needs: return up to `:limit` needs that have ended, or are deleted, while they count as open.
        open_dependent: return a task that has not ended and needs `:id`.
        overview: return how many tasks of a flow are in a status; one that is held counts as processing.
        lock_unfinished: lock the tasks of a flow that have not ended; return the id and the type of each.
        cancel_all: cancel those of `:ids` that have not ended.
        ended_flows: return up to `:limit` flows after `:after` of which no task is open or held, and no task outside
            needs one.
        last_ends: return the type and the status of the tasks of a flow, and when the last of them ended.
        some_tasks: return up to `:limit` tasks of a flow that are in the table, with their flags.
        needs_outside: return the tasks that those of a flow need, and that are not in it.
        delete_tasks, delete_needs: delete the tasks `:ids`, and what they need.
        forget_needed: let the ends of `:ids` look for nothing, where nobody needs them any more.
        delete_members, delete_flow: delete that tasks are in a flow, and the flow.
    """

    lock_needs: str = """
    SELECT id
    FROM goque_task
    WHERE id IN <ids>
    ORDER BY <sorted id>
    <for update>"""

    keep_result: str = """
    UPDATE goque_task
    SET result = :result
    WHERE id = :id AND <status> = 'done' AND claimed_by IS NULL AND claims = :claims AND result IS NULL"""

    mark_needed: str = """
    UPDATE goque_task
    SET flags = coalesce(flags, 0) | 2
    WHERE id IN <ids>"""

    lock_dependents: str = """
    SELECT id, type, flags, errors, status
    FROM goque_task
    WHERE id IN (
        SELECT task_id
        FROM goque_need
        WHERE needs_id IN <ids> AND state = 0 AND <has ended>)
    ORDER BY <sorted id>
    <for update>"""

    mark_needs: str = """
    UPDATE goque_need
    SET state = CASE
        WHEN wants = 'ended' THEN 1
        WHEN (SELECT status FROM goque_task WHERE goque_task.id = goque_need.needs_id) = 'done' THEN 1
        ELSE 2 END
    WHERE needs_id IN <ids> AND state = 0 AND <has ended>"""

    failed_needs: str = """
    SELECT goque_need.task_id, goque_need.needs_id, goque_task.type, goque_task.status, goque_task.errors
    FROM goque_need
    LEFT JOIN goque_task ON goque_task.id = goque_need.needs_id
    WHERE goque_need.needs_id IN <ids> AND goque_need.state = 2
    ORDER BY <sorted goque_need.task_id>, goque_need.position"""

    ready: str = """
    SELECT id, type
    FROM goque_task
    WHERE id IN <ids> AND <status> = 'blocked'
      AND (SELECT 1 FROM goque_need WHERE goque_need.task_id = goque_task.id AND state <> 1 LIMIT 1) IS NULL"""

    unblock: str = """
    UPDATE goque_task
    SET status = CASE WHEN attempts > 0 THEN 'error' ELSE 'new' END, updated_at = :now
    WHERE id IN <ids> AND <status> = 'blocked'"""

    cancel_blocked: str = """
    UPDATE goque_task
    SET status = 'canceled', errors = :errors, flags = :flags, updated_at = :now
    WHERE id = :id AND <status> = 'blocked'"""

    lock_waiting: str = """
    SELECT id, status, flags, errors
    FROM goque_task
    WHERE <status> IN ('blocked', 'canceled', 'new', 'error') AND claimed_by IS NULL
      AND id IN (SELECT task_id FROM goque_need WHERE needs_id IN <ids> AND state <> 0)
    ORDER BY <sorted id>
    <for update>"""

    block_waiting: str = """
    UPDATE goque_task
    SET status = 'blocked', updated_at = :now
    WHERE id = :id AND <status> IN ('new', 'error') AND claimed_by IS NULL"""

    flags: str = """
    SELECT flags
    FROM goque_task
    WHERE id = :id"""

    reopen_needs: str = """
    UPDATE goque_need
    SET state = 0
    WHERE task_id = :id AND needs_id IN <ids>"""

    lock_needs_of: str = """
    SELECT id
    FROM goque_task
    WHERE id IN (SELECT needs_id FROM goque_need WHERE task_id = :id)
    ORDER BY <sorted id>
    <for update>"""

    look_at_needs: str = """
    UPDATE goque_need
    SET state = CASE
        WHEN NOT <has ended> THEN 0
        WHEN wants = 'ended' THEN 1
        WHEN (SELECT status FROM goque_task WHERE goque_task.id = goque_need.needs_id) = 'done' THEN 1
        ELSE 2 END
    WHERE task_id = :id AND EXISTS (SELECT 1 FROM goque_task WHERE goque_task.id = goque_need.needs_id)"""

    unmet: str = """
    SELECT state, needs_id
    FROM goque_need
    WHERE task_id = :id AND state <> 1
    ORDER BY state DESC, position"""

    block_again: str = """
    UPDATE goque_task
    SET status = 'blocked', attempts = 0, errors = :errors, flags = :flags, result = NULL, lost_claims = 0,
        next_attempt_at = coalesce(:due, next_attempt_at), updated_at = :now
    WHERE id = :id AND <status> IN ('error', 'done', 'canceled', 'attempts_left') AND claimed_by IS NULL"""

    insert_flow: str = """
    INSERT INTO goque_flow (id, name, created_at)
    VALUES (:id, :name, :now)"""

    insert_member: str = """
    INSERT INTO goque_flow_task (flow_id, position, task_id)
    VALUES (:flow_id, :position, :task_id)"""

    insert_need: str = """
    INSERT INTO goque_need (task_id, position, needs_id, wants)
    VALUES (:task_id, :position, :needs_id, :wants)"""

    flow_by_id: str = """
    SELECT id, name, created_at
    FROM goque_flow
    WHERE id = :id"""

    tasks_of_flow: str = """
    SELECT goque_task.id, type, external_id, payload, status, attempts, errors, metadata, created_at, updated_at,
           next_attempt_at, priority, result, claimed_by, claims, lost_claims, unique_key, limit_key, flags
    FROM goque_flow_task
    JOIN goque_task ON goque_task.id = goque_flow_task.task_id
    WHERE goque_flow_task.flow_id = :id
    ORDER BY goque_flow_task.position"""

    needs_of_flow: str = """
    SELECT goque_need.task_id, goque_need.position, goque_need.needs_id, goque_need.wants
    FROM goque_flow_task
    JOIN goque_need ON goque_need.task_id = goque_flow_task.task_id
    WHERE goque_flow_task.flow_id = :id
    ORDER BY goque_flow_task.position, goque_need.position"""

    needs_of: str = """
    SELECT goque_need.task_id, goque_need.needs_id, goque_task.type, goque_task.status, goque_task.result,
           CASE WHEN goque_task.status <> 'done' THEN goque_task.errors END
    FROM goque_need
    LEFT JOIN goque_task ON goque_task.id = goque_need.needs_id
    WHERE goque_need.task_id IN <ids>
    ORDER BY <sorted goque_need.task_id>, goque_need.position"""

    flow_of_task: str = """
    SELECT flow_id
    FROM goque_flow_task
    WHERE task_id = :id"""

    flows_of_tasks: str = """
    SELECT task_id, flow_id
    FROM goque_flow_task
    WHERE task_id IN <ids>"""

    ended_needs: str = """
    SELECT needs_id
    FROM goque_need
    WHERE state = 0 AND <has ended>
    LIMIT :limit"""

    open_dependent: str = """
    SELECT goque_task.id
    FROM goque_need
    JOIN goque_task ON goque_task.id = goque_need.task_id
    WHERE goque_need.needs_id = :id AND <status> IN ('new', 'pending', 'processing', 'error', 'blocked')
    LIMIT 1"""

    overview: str = """
    SELECT CASE WHEN goque_task.claimed_by IS NOT NULL THEN 'processing' ELSE goque_task.status END AS is_now, count(*)
    FROM goque_flow_task
    JOIN goque_task ON goque_task.id = goque_flow_task.task_id
    WHERE goque_flow_task.flow_id = :id
    GROUP BY is_now"""

    lock_unfinished: str = """
    SELECT id, type
    FROM goque_task
    WHERE id IN (SELECT task_id FROM goque_flow_task WHERE flow_id = :id)
      AND <status> IN ('new', 'pending', 'processing', 'error', 'blocked')
    ORDER BY <sorted id>
    <for update>"""

    cancel_all: str = """
    UPDATE goque_task
    SET status = 'canceled', updated_at = :now
    WHERE id IN <ids> AND <status> IN ('new', 'pending', 'processing', 'error', 'blocked')"""

    ended_flows: str = """
    SELECT id
    FROM goque_flow
    WHERE id > :after AND NOT EXISTS (
        SELECT 1
        FROM goque_flow_task
        JOIN goque_task ON goque_task.id = goque_flow_task.task_id
        WHERE goque_flow_task.flow_id = goque_flow.id
          AND (goque_task.status NOT IN ('done', 'canceled', 'attempts_left') OR goque_task.claimed_by IS NOT NULL))
      AND NOT EXISTS (
        SELECT 1
        FROM goque_flow_task AS own
        JOIN goque_need ON goque_need.needs_id = own.task_id
        LEFT JOIN goque_flow_task AS others ON others.task_id = goque_need.task_id AND others.flow_id = own.flow_id
        WHERE own.flow_id = goque_flow.id AND others.task_id IS NULL)
    ORDER BY id
    LIMIT :limit"""

    last_ends: str = """
    SELECT goque_task.type, goque_task.status, max(coalesce(goque_task.updated_at, goque_task.created_at))
    FROM goque_flow_task
    JOIN goque_task ON goque_task.id = goque_flow_task.task_id
    WHERE goque_flow_task.flow_id = :id
    GROUP BY goque_task.type, goque_task.status"""

    some_tasks: str = """
    SELECT goque_task.id, goque_task.flags
    FROM goque_flow_task
    JOIN goque_task ON goque_task.id = goque_flow_task.task_id
    WHERE goque_flow_task.flow_id = :id
    LIMIT :limit"""

    needs_outside: str = """
    SELECT DISTINCT goque_need.needs_id
    FROM goque_flow_task
    JOIN goque_need ON goque_need.task_id = goque_flow_task.task_id
    LEFT JOIN goque_flow_task AS own ON own.task_id = goque_need.needs_id AND own.flow_id = goque_flow_task.flow_id
    WHERE goque_flow_task.flow_id = :id AND own.task_id IS NULL"""

    delete_tasks: str = """
    DELETE FROM goque_task
    WHERE id IN <ids> AND <status> IN ('done', 'canceled', 'attempts_left') AND claimed_by IS NULL"""

    delete_needs: str = """
    DELETE FROM goque_need
    WHERE task_id IN (SELECT task_id FROM goque_flow_task WHERE flow_id = :id)"""

    forget_needed: str = """
    UPDATE goque_task
    SET flags = CASE WHEN flags = 2 THEN NULL ELSE flags - 2 END
    WHERE id IN <ids> AND flags & 2 <> 0
      AND NOT EXISTS (SELECT 1 FROM goque_need WHERE goque_need.needs_id = goque_task.id)"""

    delete_members: str = """
    DELETE FROM goque_flow_task
    WHERE flow_id = :id"""

    delete_flow: str = """
    DELETE FROM goque_flow
    WHERE id = :id"""

    @classmethod
    def of(cls, *, ids: str, lock: str, sorted_by: str = "{}", status: str = "status") -> Self:
        """Return the statements of a dialect.

        Args:
            ids: what stands for `IN <ids>`.
            lock: what stands for `<for update>`.
            sorted_by: what stands for `<sorted id>`, where `{}` is the id.
            status: what stands for `<status>`, the column: in a form that no index serves, for the rows are known.
        """
        plain = cls()
        texts = {}
        for field in fields(cls):
            sql = getattr(plain, field.name).replace("<has ended>", HAS_ENDED).replace("IN <ids>", ids)
            sql = re.sub(r"<sorted (\S+)>", lambda found: sorted_by.format(found[1]), sql)
            texts[field.name] = sql.replace("<for update>", lock).replace("<status>", status)
        return cls(**texts)
