"""What applications ask of a SQL storage, as steps on one session: insert, read, cancel, reset.

The caller of these steps opens the transaction, or joins the application's.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from goque.errors import (
    DatabaseUnavailableError,
    DuplicateTaskError,
    TaskNotFoundError,
    TaskStateError,
    length,
)
from goque.outcome import append_error
from goque.storage.instants import due_at
from goque.storage.sql import steps
from goque.storage.sql.batches import metadata_text
from goque.storage.sql.dialect import Dialect
from goque.storage.sql.steps import Steps
from goque.task import Task, TaskFilter, TaskRow, TaskStatus


class TaskSteps:
    """The statements of each call in their order, for one dialect."""

    def __init__(self, dialect: Dialect) -> None:

        self._dialect = dialect
        self._sql = dialect.sql

    def insert_one(self, task: Task, *, skip: bool, again: bool = False) -> Steps[list[Task]]:
        """Insert one task; `again` says that an earlier try was not answered, and may have taken effect."""
        times = yield from self._dialect.insert_one(task)
        if times is None and again:
            times = yield from self._times_of(task)
        if times is not None:
            task.created_at, task.next_attempt_at = times
            return [task]
        if skip:
            return []
        raise DuplicateTaskError(task.type, task.external_id)

    def _times_of(self, task: Task) -> Steps[tuple[datetime, datetime] | None]:
        rows = yield steps.rows(self._sql.get_task, {"id": task.id})
        return (self._dialect.read_time(rows[0][8]), self._dialect.read_time(rows[0][10])) if rows else None

    def insert_many(
        self, tasks: Sequence[Task], *, skip: bool, undo: bool, again: bool = False
    ) -> Steps[list[Task]]:
        """Insert all or none; `undo` says that the transaction goes on after a duplicate."""
        if undo:
            yield steps.run(self._sql.savepoint)
        try:
            ids = yield from self._insert_batches(tasks, again=again)
        except DatabaseUnavailableError:
            raise
        except Exception:
            if undo:  # the caller may go on, and nothing of these tasks is to be there then
                yield steps.run(self._sql.rollback_savepoint)
            raise
        if len(ids) < len(tasks) and not skip:
            if undo:
                yield steps.run(self._sql.rollback_savepoint)
                yield steps.run(self._sql.release_savepoint)
            taken = next(task for task in tasks if task.id not in ids)
            raise DuplicateTaskError(taken.type, taken.external_id, can_skip=True)
        if undo:
            yield steps.run(self._sql.release_savepoint)
        return (yield from self.announce_inserted([task for task in tasks if task.id in ids]))

    def announce_inserted(self, tasks: list[Task]) -> Steps[list[Task]]:
        """Tell who waits for tasks, and date them."""
        yield from self._dialect.announce({task.type for task in tasks})
        now: datetime = yield steps.NOW
        return [_stamped(task, now) for task in tasks]

    def _insert_batches(self, tasks: Sequence[Task], *, again: bool) -> Steps[set[str]]:
        ids: set[str] = set()
        for start in range(0, len(tasks), self._dialect.inserts_at_once):
            part = tasks[start : start + self._dialect.inserts_at_once]
            ids |= yield from self._dialect.insert_batch(part)
            if again:
                batch = self._dialect.encode_list([task.id for task in part])
                rows = yield steps.rows(self._sql.tasks_by_id, {"batch": batch})
                ids |= {self._dialect.read_task(row).id for row in rows}
        return ids

    def get_task(self, task_id: str) -> Steps[TaskRow | None]:
        """Read one task, or None."""
        if not self._dialect.is_task_id(task_id):
            return None
        rows = yield steps.rows(self._sql.get_task, {"id": task_id})
        return self._dialect.read_task(rows[0]) if rows else None

    def find_tasks(self, task_filter: TaskFilter, *, limit: int) -> Steps[list[TaskRow]]:
        """Read up to `limit` tasks that the filter admits, newest first."""
        params = self._filter_params(task_filter)
        conditions = [sql for name, sql in self._sql.conditions.items() if name in params]
        head, tail = self._sql.find_tasks
        sql = head + (" WHERE " + " AND ".join(conditions) if conditions else "") + tail
        rows = yield steps.rows(sql, {**params, "limit": limit})
        return [self._dialect.read_task(row) for row in rows]

    def _filter_params(self, task_filter: TaskFilter) -> dict[str, Any]:

        params: dict[str, Any] = {}
        statuses = [*(task_filter.statuses or ()), *([task_filter.status] if task_filter.status else [])]
        if task_filter.ids is not None:
            params["ids"] = self._dialect.encode_list(
                [task_id for task_id in task_filter.ids if self._dialect.is_task_id(task_id)]
            )
        if task_filter.task_type is not None:
            params["task_type"] = task_filter.task_type
        if statuses or task_filter.statuses is not None:
            params["statuses"] = self._dialect.encode_list([TaskStatus(status).value for status in statuses])
        if task_filter.updated_before is not None:
            params["updated_before"] = self._dialect.time(task_filter.updated_before)
        if task_filter.updated_at_time_ago is not None:
            params["age"] = length(task_filter.updated_at_time_ago, "updated_at_time_ago")
        return params

    def cancel_unless_finished(self, task_id: str, tried_at: list[datetime]) -> Steps[bool]:
        """Cancel a task that is not terminal; a running one keeps `claimed_by` until it has stopped.

        Args:
            task_id: the task.
            tried_at: when earlier tries of this call canceled it, whose answer was lost; this try adds its own.
        """
        if self._dialect.is_task_id(task_id):
            if (yield steps.run(self._sql.cancel, {"id": task_id})):
                tried_at.append((yield steps.NOW))
                return True
            if rows := (yield steps.rows(self._sql.get_task, {"id": task_id})):
                row = self._dialect.read_task(rows[0])
                return row.status == TaskStatus.CANCELED and row.updated_at in tried_at
        raise TaskNotFoundError(task_id)

    def reset_unless_claimed(self, task_id: str, tried_at: list[datetime]) -> Steps[bool]:
        """Make an error or terminal task new again: attempts 0, due now, a line in errors.

        Args:
            task_id: the task.
            tried_at: as in `cancel_unless_finished`.
        """
        if not self._dialect.is_task_id(task_id):
            raise TaskNotFoundError(task_id)
        rows = yield steps.rows(self._sql.lock_task, {"id": task_id})
        if not rows:
            raise TaskNotFoundError(task_id)
        row = self._dialect.read_task(rows[0])
        now = yield steps.NOW
        errors = append_error(row.errors, f"reset attempts: {now:%Y-%m-%dT%H:%M:%S.%fZ}")
        if (yield steps.run(self._sql.reset, {"id": task_id, "errors": errors})):
            tried_at.append(now)
            return True
        if row.status == TaskStatus.NEW and row.claimed_by is None:
            return row.updated_at in tried_at
        held = f"held by {row.claimed_by}" if row.claimed_by else "claimed"
        raise TaskStateError(f"task {task_id} is {row.status} and {held}; reset it when it has ended")


def check_texts(tasks: Sequence[Task]) -> None:
    """Refuse metadata that cannot be stored, before the first statement: what it holds may have changed since.

    Raises:
        InvalidPayloadFormatError, PayloadEncodeError: metadata of a task is not JSON, too large or too deep.
    """
    for task in tasks:
        if task.metadata:
            metadata_text(task)


def without_repeats(tasks: Sequence[Task], *, skip: bool) -> list[Task]:
    """Leave out tasks whose type and external id came before, or refuse them."""
    firsts: dict[tuple[str, str], Task] = {}
    for task in tasks:
        key = (task.type, task.external_id)
        if key not in firsts:
            firsts[key] = task
        elif not skip:
            raise DuplicateTaskError(task.type, task.external_id, can_skip=True)
    return list(firsts.values())


def _stamped(task: Task, now: datetime) -> Task:
    task.next_attempt_at = due_at(task, now)
    task.created_at = now
    return task
