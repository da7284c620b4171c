"""What applications ask of a SQL storage in the transaction of an asyncio connection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from goque.storage.contract import AsyncTasks
from goque.storage.sql.dialect import Dialect
from goque.storage.sql.task_steps import TaskSteps, check_texts, without_repeats
from goque.task import Task, TaskFilter, TaskRow


class SqlAsyncTasks(AsyncTasks):
    """The steps of `SqlTasks` on the caller's asyncio connection, which `conn` always is here."""

    def __init__(self, dialect: Dialect, steps: TaskSteps) -> None:
        self._dialect = dialect
        self._steps = steps

    async def insert_tasks(
        self, tasks: Sequence[Task], *, on_conflict: Literal["raise", "skip"] = "raise", conn: Any = None
    ) -> list[Task]:
        """Insert all tasks or none; with "skip", those whose type and external id are free."""
        if not tasks:
            return []
        check_texts(tasks)
        skip = on_conflict == "skip"
        wanted = without_repeats(tasks, skip=skip)
        if len(wanted) == 1:
            steps = self._steps.insert_one(wanted[0], skip=skip)
        else:
            steps = self._steps.insert_many(wanted, skip=skip, undo=True)
        inserted = await self._dialect.join(conn, steps, writes=True)
        self._dialect.nudge(inserted)
        return inserted

    async def get_task(self, task_id: str, *, conn: Any = None) -> TaskRow | None:
        """Read one task, or None."""
        return await self._dialect.join(conn, self._steps.get_task(task_id), writes=False)

    async def find_tasks(self, task_filter: TaskFilter, *, limit: int, conn: Any = None) -> list[TaskRow]:
        """Read up to `limit` tasks that the filter admits, newest first."""
        return await self._dialect.join(conn, self._steps.find_tasks(task_filter, limit=limit), writes=False)

    async def cancel_unless_finished(self, task_id: str, *, conn: Any = None) -> bool:
        """Cancel a task that is not terminal; a running one keeps `claimed_by` until it has stopped."""
        return await self._dialect.join(conn, self._steps.cancel_unless_finished(task_id, []), writes=True)

    async def reset_unless_claimed(self, task_id: str, *, conn: Any = None) -> bool:
        """Make an error or terminal task new again: attempts 0, due now, a line in errors."""
        return await self._dialect.join(conn, self._steps.reset_unless_claimed(task_id, []), writes=True)
