"""What applications ask of a storage."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

from goque.flows.plan import FlowPlan
from goque.steps.question import Answer, Question
from goque.storage.contract.flows import FlowRecord
from goque.storage.contract.records import AttemptRow, QueueDepth, TypeCount
from goque.task import Task
from goque.task_filter import TaskFilter
from goque.task_row import TaskRow, Token
from goque.task_rules.uniqueness import OnConflict


class AsyncTasks(ABC):
    """What applications ask for, awaited; each call does what the one of the same name in `TaskStorage` does."""

    @abstractmethod
    async def insert_task(self, task: Task, *, on_conflict: OnConflict = "raise", conn: Any = None) -> Task:
        """Insert a task and return it, or the one in its place where `on_conflict` or its debounce says so."""

    @abstractmethod
    async def insert_tasks(
        self, tasks: Sequence[Task], *, on_conflict: OnConflict = "raise", conn: Any = None
    ) -> list[Task]:
        """Insert all tasks or none; with "skip", those whose places are free."""

    @abstractmethod
    async def get_task(self, task_id: str, *, conn: Any = None) -> TaskRow | None:
        """Read one task, or None."""

    @abstractmethod
    async def find_tasks(self, task_filter: TaskFilter, *, limit: int, conn: Any = None) -> list[TaskRow]:
        """Read up to `limit` tasks that the filter admits, newest first."""

    @abstractmethod
    async def cancel_unless_finished(self, task_id: str, *, conn: Any = None) -> bool:
        """Cancel a task that is not terminal; a running one keeps `claimed_by` until it has stopped."""

    @abstractmethod
    async def reset_unless_claimed(self, task_id: str, *, keep_steps: bool = False, conn: Any = None) -> bool:
        """Make an error or terminal task new again: attempts 0, due now, a line in errors."""

    @abstractmethod
    async def record_step(self, token: Token, question: Question, *, conn: Any) -> Answer:
        """Record a step in the transaction of the caller."""

    @abstractmethod
    async def signal_task(self, task_id: str, name: str, value: bytes, *, conn: Any = None) -> bool:
        """Keep a signal with a task, and let it run now if it waits for that; False if there is one of that name."""

    @abstractmethod
    async def insert_flow(self, plan: FlowPlan, *, conn: Any = None) -> list[Task]:
        """Insert a flow, all of it or nothing, and return its tasks."""

    @abstractmethod
    async def get_flow(self, flow_id: str, *, conn: Any = None) -> FlowRecord:
        """Read a flow with its tasks."""

    @abstractmethod
    async def cancel_flow(self, flow_id: str, *, conn: Any = None) -> int:
        """Cancel all tasks of a flow that have not ended, and return how many."""


class Tasks(Protocol):
    """Insert, read, cancel and reset tasks."""

    @abstractmethod
    def insert_task(self, task: Task, *, on_conflict: OnConflict = "raise", conn: Any = None) -> Task:
        """Insert a task and return it with its times set, or the one in its place.

        In a caller's transaction (`conn`) it neither commits nor rolls back, and a duplicate leaves that
        transaction usable. A key that another open transaction holds is waited for.

        Args:
            task: the task. If its rule debounces, a waiting task with its key takes its content and its delay.
            on_conflict: what to do if its external id or its unique key is taken. "raise"; "skip" returns the task
                that has it; "replace" gives a task that waits, and that nobody has claimed, the payload, metadata,
                priority and due time of this one and returns it.
            conn: the caller's own connection.

        Raises:
            DuplicateTaskError: the place is taken, and `on_conflict` does not say what else to do, or the task that
                was to be replaced is claimed or has ended.
        """

    @abstractmethod
    def insert_tasks(
        self, tasks: Sequence[Task], *, on_conflict: OnConflict = "raise", conn: Any = None
    ) -> list[Task]:
        """Insert all tasks or none; with "skip", those whose places are free.

        Returns: the inserted tasks and, in the place of tasks that replaced another, that other, in the given order.

        The arguments and errors are those of `insert_task`. A place may also be taken twice in `tasks`.
        """

    @abstractmethod
    def get_task(self, task_id: str, *, conn: Any = None) -> TaskRow | None:
        """Read one task, or None."""

    @abstractmethod
    def find_tasks(self, task_filter: TaskFilter, *, limit: int, conn: Any = None) -> list[TaskRow]:
        """Read up to `limit` tasks that the filter admits, newest first."""

    @abstractmethod
    def cancel_unless_finished(self, task_id: str, *, conn: Any = None) -> bool:
        """Cancel a task that is not terminal; a running one keeps `claimed_by` until it has stopped.

        Returns whether this call canceled it. Raises TaskNotFoundError.
        """

    @abstractmethod
    def reset_unless_claimed(self, task_id: str, *, keep_steps: bool = False, conn: Any = None) -> bool:
        """Make an error or terminal task new again: attempts 0, due now, a line in errors.

        Its steps, signals and progress are deleted with it, unless `keep_steps`. Returns False for a task that was new
        already, which keeps them. Raises TaskNotFoundError, or TaskStateError while somebody holds it.
        """

    @abstractmethod
    def delete_if_finished(self, task_ids: Sequence[str]) -> set[str]:
        """Delete those of some tasks that are terminal and that nobody holds, with their attempts and steps.

        A task is left that unfinished tasks need: they still read its result.

        All of it is one transaction, so give few hundred ids at a time. Returns the ids of the deleted tasks.
        """

    def on_finished(
        self, task_id: str, task_type: str, call: Callable[[], None]
    ) -> AbstractContextManager[Callable[[], bool]]:
        """Have `call` called, in any thread, soon after a task has ended, for the length of the block.

        The block gets a function that says whether that can be relied on at present. It is a hint all the same:
        look at the row, too. A database that tells nobody leaves this as it is.
        """
        del task_id, task_type, call
        return nullcontext(lambda: False)

    @abstractmethod
    def keep_for_waiter(self, task_id: str, task_type: str) -> None:
        """Let a task stay after its success, because somebody waits for its end, if its type deletes such at once."""

    @abstractmethod
    def count_tasks(self) -> list[TypeCount]:
        """Count all tasks by type and status, in that order.

        Of more than 1,000 groups it returns those of published types, then the largest.
        """

    @abstractmethod
    def queue_depths(self) -> list[QueueDepth]:
        """Count the tasks that are not terminal, by type and status, in that order; finished ones cost nothing.

        Of more than 1,000 groups it returns those of published types, then the largest.
        """

    @abstractmethod
    def failed_attempts(self, task_id: str) -> list[AttemptRow]:
        """Read the recorded failed attempts of a task, oldest first."""

    @abstractmethod
    def attempts(self, task_id: str) -> list[AttemptRow]:
        """Read the recorded attempts of a task, oldest first: failed ones, and long ones that went well."""
