"""The statements by which people look at flows, the same in every dialect; each goes by the keys of flows and needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, kw_only=True)
class FlowReadStatements:
    """What the dashboard and the command line ask of flows besides the contract's other reads.

    Attributes:
        counts: how many tasks of flow `:id` have a type and a status, and whether somebody holds them.
        tasks: the tasks of a flow, in their order: id, type, status.
        edges: its needs, in the order of tasks and needs.
        open_outside: open needs of its tasks that are not in it, as a `Neighbor`, up to `:limit`.
        places: the places of its tasks behind the place `:after`, with their ids.
        places_in: the head and the tail of the same for some statuses; the condition comes between.
        flow_of_task: the id and the name of the flow of task `:id`.
        needs: what task `:id` needs, as a `Neighbor`: first what failed, then what is open.
        need_counts: how many needs it has in each state.
        dependents: what needs it, as a `Neighbor`.
        dependent_count: how many tasks need it.
    """

    counts: str = """
    SELECT goque_task.type, goque_task.status, goque_task.claimed_by IS NOT NULL AS is_held, count(*)
    FROM goque_flow_task
    JOIN goque_task ON goque_task.id = goque_flow_task.task_id
    WHERE goque_flow_task.flow_id = :id
    GROUP BY goque_task.type, goque_task.status, is_held"""

    tasks: str = """
    SELECT goque_task.id, goque_task.type, goque_task.status
    FROM goque_flow_task
    JOIN goque_task ON goque_task.id = goque_flow_task.task_id
    WHERE goque_flow_task.flow_id = :id
    ORDER BY goque_flow_task.position
    LIMIT :limit"""

    edges: str = """
    SELECT goque_need.task_id, goque_need.needs_id
    FROM goque_flow_task
    JOIN goque_need ON goque_need.task_id = goque_flow_task.task_id
    WHERE goque_flow_task.flow_id = :id
    ORDER BY goque_flow_task.position, goque_need.position
    LIMIT :limit"""

    open_outside: str = """
    SELECT DISTINCT goque_need.needs_id, goque_task.type, goque_task.status, goque_need.wants, goque_need.state
    FROM goque_flow_task
    JOIN goque_need ON goque_need.task_id = goque_flow_task.task_id AND goque_need.state = 0
    LEFT JOIN goque_flow_task AS own ON own.task_id = goque_need.needs_id AND own.flow_id = goque_flow_task.flow_id
    LEFT JOIN goque_task ON goque_task.id = goque_need.needs_id
    WHERE goque_flow_task.flow_id = :id AND own.task_id IS NULL
    ORDER BY goque_need.needs_id, goque_need.wants
    LIMIT :limit"""

    places: str = """
    SELECT position, task_id
    FROM goque_flow_task
    WHERE flow_id = :id AND position > :after
    ORDER BY position
    LIMIT :limit"""

    places_in: tuple[str, str] = (
        """
    SELECT goque_flow_task.position, goque_flow_task.task_id
    FROM goque_flow_task
    JOIN goque_task ON goque_task.id = goque_flow_task.task_id
    WHERE goque_flow_task.flow_id = :id AND goque_flow_task.position > :after
      AND """,
        """
    ORDER BY goque_flow_task.position
    LIMIT :limit""",
    )

    flow_of_task: str = """
    SELECT goque_flow.id, goque_flow.name
    FROM goque_flow_task
    JOIN goque_flow ON goque_flow.id = goque_flow_task.flow_id
    WHERE goque_flow_task.task_id = :id"""

    needs: str = """
    SELECT need.needs_id, goque_task.type, goque_task.status, need.wants, need.state
    FROM (
        SELECT needs_id, wants, state, position
        FROM goque_need
        WHERE task_id = :id
        ORDER BY CASE state WHEN 2 THEN 0 WHEN 0 THEN 1 ELSE 2 END, position
        LIMIT :limit) AS need
    LEFT JOIN goque_task ON goque_task.id = need.needs_id
    ORDER BY CASE need.state WHEN 2 THEN 0 WHEN 0 THEN 1 ELSE 2 END, need.position"""

    need_counts: str = """
    SELECT state, count(*)
    FROM goque_need
    WHERE task_id = :id
    GROUP BY state"""

    dependents: str = """
    SELECT need.task_id, goque_task.type, goque_task.status, need.wants, need.state
    FROM (
        SELECT task_id, wants, state
        FROM goque_need
        WHERE needs_id = :id
        ORDER BY task_id
        LIMIT :limit) AS need
    LEFT JOIN goque_task ON goque_task.id = need.task_id
    ORDER BY need.task_id"""

    dependent_count: str = """
    SELECT count(*)
    FROM goque_need
    WHERE needs_id = :id"""


FLOW_READS: Final = FlowReadStatements()
