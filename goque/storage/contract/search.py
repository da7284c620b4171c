"""What people ask of a storage when they look at its tasks."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from goque.storage.contract.records import NodeRow
from goque.storage.search_types import (
    FailureLine,
    FinishedCount,
    FunctionCount,
    ScheduleRow,
    StatusCount,
    TaskLine,
    TaskPage,
    TaskSearch,
    TypeCounts,
)


class Search(Protocol):
    """Find tasks, failures, nodes and schedules, each answer from a bounded part of the table."""

    @abstractmethod
    def search_tasks(
        self,
        search: TaskSearch,
        *,
        before: str | None = None,
        limit: int = 50,
        oldest_first: bool = False,
        goes_on: bool = False,
    ) -> TaskPage:
        """Read up to `limit` tasks, newest first, that are older than the id `before`.

        It looks at a bounded number of tasks, and says where it stopped before the page was full. With `oldest_first`
        it goes the other way: then the tasks are newer than `before`. With `goes_on` it does not try indexes again:
        an earlier call has done so, and has stopped at `before`.
        """

    @abstractmethod
    def tasks_named(self, text: str, *, limit: int = 20) -> list[TaskLine]:
        """Read tasks whose id or external id is a text or begins with it, up to `limit` by either.

        Those with exactly this external id come first. Ids are looked for from four digits on.
        """

    @abstractmethod
    def payload_previews(self, task_ids: Sequence[str], *, length: int) -> dict[str, str | None]:
        """Read the first characters of the payloads of some tasks; None for a payload that is large."""

    @abstractmethod
    def status_counts(self, task_types: Sequence[str] = (), *, most: int) -> list[StatusCount]:
        """Count the tasks of some types, or of all, by status, in the order of the statuses.

        A count of ended tasks ends at `most`, any other at 2,000: it reads no more rows than that. Waiting tasks are
        counted together, and so are claimed ones: if there are more, the counts of both statuses are lower bounds.
        """

    @abstractmethod
    def bounded_counts(self) -> TypeCounts:
        """Count tasks by type and status, in that order, of up to 500 types.

        Each count ends at a number of tasks, which is smaller the more types there are: between 500 and 100,000, for
        waiting tasks between 100 and 20,000. So it reads a bounded part of the table. Tasks in a status that goque
        does not know are not counted; `count_tasks` counts all.
        """

    @abstractmethod
    def task_types(self) -> list[str]:
        """Return the types that have tasks, in their order, the first 501 at most."""

    @abstractmethod
    def function_counts(self, task_type: str) -> list[FunctionCount]:
        """Count all tasks of a type by the function that their external id names, and by status, in that order.

        It reads all tasks of the type. Of more than 1,000 groups it returns the largest.
        """

    @abstractmethod
    def unfinished_functions(self, task_type: str) -> list[FunctionCount] | None:
        """Count the tasks of a type that wait or run, by function and status, in that order.

        None if more than 5,000 of them wait or more than 5,000 run: it reads no more rows than that.
        """

    @abstractmethod
    def finished_counts(
        self, task_types: Sequence[str], since: datetime, until: datetime, *, step: int
    ) -> list[FinishedCount]:
        """Count the tasks of some types that ended in a span of time, by type, status and slot.

        It costs as much as ended in that span, so ask for short ones.

        Args:
            task_types: the types.
            since: the first instant of the span.
            until: the first instant after it.
            step: seconds that a slot is long.
        """

    @abstractmethod
    def tasks_of_external_ids(
        self, task_types: Sequence[str], external_ids: Sequence[str]
    ) -> dict[str, TaskLine]:
        """Read the tasks of some types that have these external ids, by external id; one of each.

        It costs one look into an index for each type and external id.
        """

    @abstractmethod
    def failures(self, *, after: int = 0, until: int = 2**62, limit: int = 100) -> list[FailureLine]:
        """Read the newest failed attempts whose ids lie between two, newest first.

        An attempt that is written later may have a smaller id than one that was read, if only by a little.
        """

    @abstractmethod
    def recent_nodes(self) -> list[NodeRow]:
        """Read the nodes that beat last, those that have ended too, newest beat first."""

    @abstractmethod
    def schedules(self) -> list[ScheduleRow]:
        """Read what is known of periodic jobs, by name."""
