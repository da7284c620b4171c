"""What people ask of a flow when they look at it, each answer no larger than what they look at."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from datetime import datetime
from typing import Literal, Protocol

import msgspec

from goque.flows.plan import Wants
from goque.storage.search_types import TaskLine
from goque.task_row import TaskStatus

NeedState = Literal["open", "met", "failed"]

NEVER_SO_MANY = 2**31 - 1
"""More tasks and more needs than a flow can have."""


class FlowCount(msgspec.Struct, frozen=True):
    """How many tasks of a flow have a type and a status; those that somebody holds are counted apart."""

    type: str
    status: str
    is_held: bool
    count: int


class FlowOverview(msgspec.Struct, frozen=True):
    """A flow without its tasks.

    Attributes:
        id: its id.
        name: its name.
        created_at: when it was inserted.
        counts: its tasks, counted by type and status.
    """

    id: str
    name: str
    created_at: datetime
    counts: Sequence[FlowCount]

    @property
    def by_status(self) -> dict[str, int]:
        """The numbers of its tasks by status, as the status is in the table."""
        counts: dict[str, int] = {}
        for one in self.counts:
            counts[one.status] = counts.get(one.status, 0) + one.count
        return counts

    @property
    def by_progress(self) -> dict[str, int]:
        """The same numbers as of `count_flow`: a task that somebody holds counts as processing."""
        counts: dict[str, int] = {}
        for one in self.counts:
            status = TaskStatus.PROCESSING.value if one.is_held else one.status
            counts[status] = counts.get(status, 0) + one.count
        return counts

    @property
    def total(self) -> int:
        """The number of its tasks."""
        return sum(one.count for one in self.counts)


class FlowTask(msgspec.Struct, frozen=True, gc=False):
    """A task of a flow, with the ids of what it needs, in their order."""

    id: str
    type: str
    status: str
    needs: tuple[str, ...]


class FlowLines(msgspec.Struct, frozen=True):
    """Some tasks of a flow, in the order in which they were added.

    Attributes:
        lines: the tasks.
        after: the place from which to go on, None where nothing is left.
    """

    lines: Sequence[TaskLine]
    after: int | None


class Neighbor(msgspec.Struct, frozen=True):
    """A task that another one needs, or that needs it.

    Attributes:
        id: its id.
        type: its type, empty if it has been deleted.
        status: its status, empty if it has been deleted.
        wants: which end of the need will do.
        state: what became of the need.
    """

    id: str
    type: str
    status: str
    wants: Wants
    state: NeedState


class TaskLinks(msgspec.Struct, frozen=True):
    """The flow of a task, and some of the tasks around it.

    Attributes:
        flow_id: the id of its flow, None if it is in none.
        flow_name: the name of that flow.
        needs: what it needs: first what failed, then what is open, then what is met.
        need_counts: how many needs it has in each state; a state without needs is left out.
        dependents: what needs it, the oldest first.
        dependent_count: how many tasks need it.
    """

    flow_id: str | None = None
    flow_name: str = ""
    needs: Sequence[Neighbor] = ()
    need_counts: dict[NeedState, int] = {}
    dependents: Sequence[Neighbor] = ()
    dependent_count: int = 0


class FlowReads(Protocol):
    """Read flows for people: counts, a page of tasks, who needs whom."""

    @abstractmethod
    def has_flow(self, flow_id: str) -> bool:
        """Return whether a flow has this id."""

    @abstractmethod
    def flow_overview(self, flow_id: str) -> FlowOverview:
        """Count the tasks of a flow by type and status.

        Raises:
            TaskNotFoundError: there is none.
        """

    @abstractmethod
    def flow_tasks(
        self, flow_id: str, *, most_tasks: int = NEVER_SO_MANY, most_needs: int = NEVER_SO_MANY
    ) -> list[FlowTask] | None:
        """Read which tasks a flow has and what they need, in their order; None if it has more of either."""

    @abstractmethod
    def open_outside(self, flow_id: str, *, most: int = 20) -> list[Neighbor]:
        """Read at most so many tasks outside of a flow that it waits for, the oldest first.

        A task is there twice if one task wants it done, and another one ended.
        """

    @abstractmethod
    def flow_lines(
        self, flow_id: str, *, statuses: Sequence[TaskStatus] = (), after: int = -1, limit: int = 50
    ) -> FlowLines:
        """Read up to `limit` tasks of a flow behind a place, of some statuses or of all."""

    @abstractmethod
    def links_of(self, task_id: str, *, most: int = 20) -> TaskLinks:
        """Read the flow of a task, and at most so many of what it needs and of what needs it."""

    @abstractmethod
    def flows_of(self, task_ids: Sequence[str]) -> dict[str, str]:
        """Return the flow of each task that is in one, by task."""
