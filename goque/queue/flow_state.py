"""A flow, as `get_flow` shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from goque.storage.contract import FlowRecord
from goque.task import Task
from goque.task_row import TERMINAL_STATUSES, TaskStatus

FlowStatus = Literal["open", "done", "failed"]


@dataclass(frozen=True)
class FlowState:
    """A flow as it is now.

    Attributes:
        id: its id.
        name: its name.
        created_at: when it was inserted.
        status: "open" while a task has not ended, or still runs although it is canceled; "failed" if one was canceled
            or has no attempts left; else "done".
        tasks: its tasks, in the order in which they were added.
        needs: the ids of what each task needs, by its id; a task without needs is left out.
    """

    id: str
    name: str
    created_at: datetime
    status: FlowStatus
    tasks: list[Task]
    needs: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(cls, record: FlowRecord) -> FlowState:
        """Return the state of a flow that was read."""
        counts: dict[str, int] = {}
        for row in record.tasks:
            status = TaskStatus.PROCESSING.value if row.claimed_by else row.status
            counts[status] = counts.get(status, 0) + 1
        needs: dict[str, list[str]] = {}
        for edge in record.edges:
            needs.setdefault(edge.task_id, []).append(edge.needs_id)
        tasks = [Task.from_any_row(row) for row in record.tasks]
        wanted = {task_id: tuple(ids) for task_id, ids in needs.items()}
        return cls(record.id, record.name, record.created_at, status_of(counts), tasks, wanted)


def status_of(counts: Mapping[str, int]) -> FlowStatus:
    """Return the status of a flow from the numbers of its tasks in each status."""
    if any(status not in TERMINAL_STATUSES for status in counts):
        return "open"
    return "done" if counts.keys() <= {TaskStatus.DONE} else "failed"
