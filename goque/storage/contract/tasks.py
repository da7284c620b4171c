"""What applications ask of a storage."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal, Protocol

from goque.storage.contract.records import AttemptRow, QueueDepth, TypeCount
from goque.task import Task, TaskFilter, TaskRow


class AsyncTasks(ABC):
    """What applications ask for, awaited; each call does what the one of the same name in `TaskStorage` does."""

    @abstractmethod
    async def insert_tasks(
        self, tasks: Sequence[Task], *, on_conflict: Literal["raise", "skip"] = "raise", conn: Any = None
    ) -> list[Task]:
        """Insert all tasks or none; with "skip", those whose type and external id are free."""

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
    async def reset_unless_claimed(self, task_id: str, *, conn: Any = None) -> bool:
        """Make an error or terminal task new again: attempts 0, due now, a line in errors."""


class Tasks(Protocol):
    """Insert, read, cancel and reset tasks."""

    @abstractmethod
    def insert_tasks(
        self, tasks: Sequence[Task], *, on_conflict: Literal["raise", "skip"] = "raise", conn: Any = None
    ) -> list[Task]:
        """Insert all tasks or none; with "skip", those whose type and external id are free.

        Sets `created_at` and `next_attempt_at` of the tasks that it returns: the inserted ones, in order.
        In a caller's transaction (`conn`) it neither commits nor rolls back, and a duplicate leaves that
        transaction usable.

        Raises:
            DuplicateTaskError: a type and external id are taken, by a row or twice in `tasks`.
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
    def reset_unless_claimed(self, task_id: str, *, conn: Any = None) -> bool:
        """Make an error or terminal task new again: attempts 0, due now, a line in errors.

        Returns False for a task that was new already. Raises TaskNotFoundError, or TaskStateError while
        somebody holds it.
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
