"""What applications ask of a SQL storage, as steps on one session: read, cancel, reset.

The caller of these steps opens the transaction, or joins the application's.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

from goque.errors import TaskNotFoundError, TaskStateError, length
from goque.storage.instants import later
from goque.storage.sql import steps
from goque.storage.sql.dialect import Dialect
from goque.storage.sql.flows.advance import AdvanceSteps
from goque.storage.sql.recorded_steps.deleting import StepDeletes
from goque.storage.sql.statements.flows import FAILED
from goque.storage.sql.steps import Steps
from goque.task_filter import TaskFilter
from goque.task_row import (
    CANCELED_BY_NEED,
    HAS_NEEDS,
    HAS_STEPS,
    TaskRow,
    TaskStatus,
    is_needed,
)
from goque.task_rules.error_lines import append_error


class TaskSteps:
    """The statements of each call in their order, for one dialect."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._sql = dialect.sql
        self._advance = AdvanceSteps(dialect)
        self._step_deletes = StepDeletes(dialect)

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
        if task_filter.limit_key is not None:
            params["limit_key"] = task_filter.limit_key
        if task_filter.failure is not None:
            params["failure"] = task_filter.failure
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
                yield from self._advance.canceled(task_id)
                return True
            if rows := (yield steps.rows(self._sql.get_task, {"id": task_id})):
                row = self._dialect.read_task(rows[0])
                return row.status == TaskStatus.CANCELED and row.updated_at in tried_at
        raise TaskNotFoundError(task_id)

    def reset_unless_claimed(
        self,
        task_id: str,
        tried_at: list[datetime],
        *,
        keep_steps: bool,
        delay: float = 0.0,
        only: Collection[str] | None = None,
    ) -> Steps[bool]:
        """Make an error or terminal task new again: attempts 0, due now, a line in errors.

        Args:
            task_id: the task.
            tried_at: as in `cancel_unless_finished`.
            keep_steps: whether its recorded steps, signals and progress stay.
            delay: seconds until it is due.
            only: the statuses in which it is reset; in another one it is left as it is. None for all that allow it.
        """
        if not self._dialect.is_task_id(task_id):
            raise TaskNotFoundError(task_id)
        yield steps.rows(self._sql.flows.lock_needs_of, {"id": task_id})  # before it, as their ends lock them
        rows = yield steps.rows(self._sql.lock_task, {"id": task_id})
        if not rows:
            raise TaskNotFoundError(task_id)
        row = self._dialect.read_task(rows[0])
        now = yield steps.NOW
        if only is not None and row.status not in only:
            return False  # it has gone on since somebody chose it
        errors = append_error(row.errors, f"reset attempts: {now:%Y-%m-%dT%H:%M:%S.%fZ}")
        if (yield from self._reset_or_block(row, errors, later(now, delay))):
            tried_at.append(now)
            if (row.flags or 0) & HAS_STEPS and not keep_steps:
                yield from self._step_deletes.all_of(row.id)
            if is_needed(row):
                yield from self._advance.reopen([task_id])
            return True
        if row.status == TaskStatus.NEW and row.claimed_by is None:
            return row.updated_at in tried_at
        held = f"held by {row.claimed_by}" if row.claimed_by else "claimed"
        raise TaskStateError(f"task {task_id} is {row.status} and {held}; reset it when it has ended")

    def _reset_or_block(self, row: TaskRow, errors: str, due: datetime) -> Steps[int]:
        """Reset a task; one that needs others waits for those that are open."""
        params: dict[str, Any] = {"id": row.id, "errors": errors, "due": self._dialect.time(due)}
        flags = row.flags or 0
        if not flags & HAS_NEEDS or row.status == TaskStatus.NEW:
            return (yield from self._reset(row, self._sql.reset, params))
        yield steps.run(
            self._sql.flows.look_at_needs, {"id": row.id}
        )  # it may have ended before they were reset
        state, needs_id = yield from self._advance.state_of_needs(row.id)
        if row.status == TaskStatus.BLOCKED:
            raise TaskStateError(f"task {row.id} is blocked: it waits for the end of task {needs_id}")
        if state == FAILED:
            root = yield from self._advance.first_failed(needs_id)
            if not (yield steps.rows(self._sql.get_task, {"id": root})):
                raise TaskStateError(f"task {row.id} needs task {root}, which was deleted: it can never run")
            raise TaskStateError(
                f"task {row.id} needs task {root}, which failed or was canceled; "
                f"reset task {root} instead, and both run"
            )
        params |= {"flags": flags & ~CANCELED_BY_NEED}
        changed: int = yield from self._reset(row, self._sql.flows.block_again, params)
        if changed:
            yield from self._advance.unblock([row.id])
        return changed

    def _reset(self, row: TaskRow, sql: str, params: dict[str, Any]) -> Steps[int]:
        """Reset a task; one whose unique key another has taken meanwhile goes on without it."""
        if row.unique_key is None:
            changed: int = yield steps.run(sql, params)
            return changed
        inner = steps.one(steps.run(sql, params))
        try:
            changed = yield from steps.in_savepoint(self._sql, inner, undo_if=self._dialect.is_duplicate)
        except Exception as error:
            if not self._dialect.is_duplicate(error):
                raise
            yield steps.run(self._sql.forget_unique_key, {"id": row.id})
            changed = yield steps.run(sql, params)
        return changed
