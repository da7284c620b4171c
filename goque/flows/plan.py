"""A flow that has been checked, ready to be inserted. No I/O happens here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import msgspec

from goque.flows.task_to_insert import TaskToInsert
from goque.task import Task
from goque.task_row import HAS_NEEDS, IN_FLOW, IS_NEEDED, TaskStatus

Wants = Literal["done", "ended"]


class Edge(NamedTuple):
    """One need of a task.

    Attributes:
        task_id: the task that has the need.
        position: its number among the needs of this task.
        needs_id: the task that it needs.
        wants: which end of that will do: "done", or "ended" however it ends.
    """

    task_id: str
    position: int
    needs_id: str
    wants: Wants


@dataclass(frozen=True)
class FlowPlan:
    """The tasks of a flow, with their flags and their first status, and what they need.

    Attributes:
        id: the id of the flow.
        name: its name.
        tasks: its tasks, in the order in which they were added.
        edges: what they need.
    """

    id: str
    name: str
    tasks: list[Task]
    edges: list[Edge]

    @property
    def outside(self) -> list[str]:
        """The ids of tasks that are needed and not in the flow, in their order."""
        own = {task.id for task in self.tasks}
        return sorted({edge.needs_id for edge in self.edges} - own)

    def set_flags(self) -> None:
        """Let each task know what a claim and an end of it must look for, and block those that have needs."""
        needed = {edge.needs_id for edge in self.edges}
        needing = {edge.task_id for edge in self.edges}
        for task in self.tasks:
            task.flags = (
                IN_FLOW | (HAS_NEEDS if task.id in needing else 0) | (IS_NEEDED if task.id in needed else 0)
            )
            task.status = TaskStatus.BLOCKED if task.id in needing else TaskStatus.NEW


class FlowToInsert(msgspec.Struct, frozen=True, array_like=True):
    """A flow on its way to the table, as data: what a worker sends to its fetcher."""

    id: str
    name: str
    tasks: tuple[TaskToInsert, ...]
    edges: tuple[Edge, ...]

    @classmethod
    def of(cls, plan: FlowPlan) -> FlowToInsert:
        """Return a plan as data."""
        return cls(plan.id, plan.name, tuple(map(TaskToInsert.of, plan.tasks)), tuple(plan.edges))

    @property
    def size(self) -> int:
        """The bytes of the payloads and metadata of its tasks."""
        return sum(task.size for task in self.tasks)

    def plan(self) -> FlowPlan:
        """Return the plan."""
        return FlowPlan(self.id, self.name, [task.task() for task in self.tasks], list(self.edges))
