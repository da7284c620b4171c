"""Reads and draws flows, for everybody who looks at one, for a bounded part of the time."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from goque.dashboard.bounded_readings import BoundedReadings
from goque.dashboard.flow_drawing import MAX_NODES, FlowDrawing, FlowNode, draw_flow
from goque.storage.contract import FlowOverview, FlowTask, Neighbor, TaskStorage
from goque.task_row import TaskStatus
from goque.task_rules.error_lines import last_error

MAX_TASKS: Final = 10_000
"""The largest flow that is drawn: reading and drawing it takes a third of a second, in which no other page is made."""

MAX_NEEDS: Final = 50_000
MAX_NOTES: Final = 100
"""How many failed tasks have their last error in the drawing."""

MAX_OUTSIDE: Final = 10
"""How many tasks outside of a flow are named that it waits for."""

MAX_KEPT: Final = 20


@dataclass(frozen=True)
class FlowView:
    """What the page of a flow shows of all its tasks; a flow that is too large has no drawing.

    Attributes:
        overview: the flow, with its counts.
        drawing: the flow, drawn.
        outside: tasks that are not in the flow, and that it waits for.
    """

    overview: FlowOverview
    drawing: FlowDrawing | None
    outside: Sequence[Neighbor] = ()


class FlowReader:
    """Keeps the last view of each flow while another one would cost too much, and while one is under way.

    Args:
        storage: what to read.
        clock: seconds.
    """

    def __init__(self, storage: TaskStorage, clock: Callable[[], float] = time.monotonic) -> None:
        self._storage = storage
        self._views: BoundedReadings[tuple[str, str], FlowView] = BoundedReadings(clock, MAX_KEPT)

    def view(self, flow_id: str, prefix: str) -> FlowView:
        """Return the view of a flow, whose links begin with a prefix.

        Raises:
            TaskNotFoundError: there is none.
        """
        return self._views.get((prefix, flow_id), lambda: _read(self._storage, flow_id, prefix))

    def forget(self) -> None:
        """Read again at the next look, because somebody has changed a flow; what is being read may be old."""
        self._views.forget()


def _read(storage: TaskStorage, flow_id: str, prefix: str) -> FlowView:
    overview = storage.flow_overview(flow_id)
    is_blocked = TaskStatus.BLOCKED.value in overview.by_status
    outside = storage.open_outside(flow_id, most=MAX_OUTSIDE) if is_blocked else []
    tasks = None
    if overview.total <= MAX_TASKS:
        tasks = storage.flow_tasks(flow_id, most_tasks=MAX_TASKS, most_needs=MAX_NEEDS)
    if tasks is None:
        return FlowView(overview, None, outside)
    notes = _notes(storage, flow_id, tasks)
    nodes = [
        FlowNode(
            task.id, task.type, task.status, task.needs, f"{prefix}/tasks/{task.id}", notes.get(task.id, "")
        )
        for task in tasks
    ]
    return FlowView(overview, draw_flow(nodes), outside)


def _notes(storage: TaskStorage, flow_id: str, tasks: Sequence[FlowTask]) -> dict[str, str]:
    """Return the last errors of tasks that have failed, where tasks are drawn one by one."""
    statuses = (TaskStatus.ATTEMPTS_LEFT, TaskStatus.ERROR)
    if len(tasks) > MAX_NODES or not any(task.status in statuses for task in tasks):
        return {}
    found = storage.flow_lines(flow_id, statuses=statuses, limit=MAX_NOTES)
    return {line.id: last_error(line.last_errors) for line in found.lines}
