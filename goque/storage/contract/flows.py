"""What applications and the healer ask of flows."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from goque.flows.plan import Edge, FlowPlan
from goque.task import Task
from goque.task_row import TaskRow
from goque.task_rules.need import Need


class FlowRecord(NamedTuple):
    """A flow as it is in the table.

    Attributes:
        id: its id.
        name: its name.
        created_at: when it was inserted.
        tasks: its tasks, in the order in which they were added.
        edges: what they need.
    """

    id: str
    name: str
    created_at: datetime
    tasks: list[TaskRow]
    edges: list[Edge]


class Flows(Protocol):
    """Insert flows, read them, and go on with them."""

    @abstractmethod
    def insert_flow(self, plan: FlowPlan, *, conn: Any = None) -> list[Task]:
        """Insert a flow, all of it or nothing, and return its tasks.

        Raises:
            DuplicateTaskError: the external id or the unique key of a task is taken.
            TaskNotFoundError: a need outside of the flow does not exist.
        """

    @abstractmethod
    def get_flow(self, flow_id: str, *, conn: Any = None) -> FlowRecord:
        """Read a flow with its tasks.

        Raises:
            TaskNotFoundError: there is none.
        """

    @abstractmethod
    def cancel_flow(self, flow_id: str, *, conn: Any = None) -> int:
        """Cancel all tasks of a flow that have not ended, and return how many; those that run are stopped.

        Raises:
            TaskNotFoundError: there is none.
        """

    @abstractmethod
    def flow_of(self, task_id: str) -> str | None:
        """Return the id of the flow that a task is in, or None."""

    @abstractmethod
    def count_flow(self, flow_id: str) -> dict[str, int]:
        """Return how many tasks of a flow are in each status; one that is still held counts as processing.

        Raises:
            TaskNotFoundError: there is none.
        """

    @abstractmethod
    def needs_of(self, ids: Sequence[str]) -> dict[str, tuple[Need, ...]]:
        """Return what tasks need, in their order, and how that ended."""

    @abstractmethod
    def delete_old_flows(self, kept_for: Callable[[str, str], float], *, limit: int = 1000) -> int:
        """Delete tasks of flows that have ended, and flows of which none is left.

        Args:
            kept_for: returns the seconds for which an ended task of a type and a status is kept. A flow goes when each
                of its tasks has been kept so long, and when no other flow needs one.
            limit: how many tasks at most.

        Returns: how many tasks were deleted; call again while it is `limit`.
        """

    @abstractmethod
    def go_on_with_flows(self, *, limit: int = 500) -> int:
        """Go on with flows whose tasks ended unseen: another program ended them, or deleted them.

        Returns: how many ends were found; call again while it is `limit`.
        """
