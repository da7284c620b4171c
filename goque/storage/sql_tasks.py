"""What applications ask of a SQL storage: insert, read, cancel, reset."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import count
from typing import Any, Literal

from goque.errors import DuplicateTaskError, TaskNotFoundError, TaskStateError, seconds
from goque.outcome import FailedAttempt, append_error
from goque.storage.dialect import Session
from goque.storage.instants import due_at
from goque.storage.sql_base import SqlBase
from goque.storage.storage import AttemptRow, TypeCount
from goque.task import Task, TaskFilter, TaskRow, TaskStatus


class SqlTasks(SqlBase):
    """The part of the contract that applications use."""

    def insert_tasks(
        self, tasks: Sequence[Task], *, on_conflict: Literal["raise", "skip"] = "raise", conn: Any = None
    ) -> list[Task]:
        """Insert all tasks or none; with "skip", those whose type and external id are free."""
        if not tasks:
            return []
        skip = on_conflict == "skip"
        if len(tasks) == 1:
            inserted = self._insert_one(tasks[0], skip=skip, conn=conn)
        else:
            inserted = self._insert_several(tasks, skip=skip, conn=conn)
        self._dialect.nudge({task.type for task in inserted})
        return inserted

    def _insert_several(self, tasks: Sequence[Task], *, skip: bool, conn: Any) -> list[Task]:
        wanted = _without_repeats(tasks, skip=skip)
        tries = count()

        def insert(session: Session) -> list[Task]:
            again = next(tries) > 0
            return self._insert_many(session, wanted, skip=skip, undo=conn is not None, again=again)

        return self._write(insert, conn, patient=True)

    def _insert_one(self, task: Task, *, skip: bool, conn: Any) -> list[Task]:
        tries = count()

        def insert(session: Session) -> list[Task]:
            again = next(tries) > 0
            times = self._dialect.insert_one(session, task)
            if times is None and again:
                times = self._times_of(session, task)  # the first try was not answered, and yet took effect
            if times is not None:
                task.created_at, task.next_attempt_at = times
                return [task]
            if skip:
                return []
            raise DuplicateTaskError(task.type, task.external_id)

        return self._write_alone(insert, conn)

    def _times_of(self, session: Session, task: Task) -> tuple[datetime, datetime] | None:
        rows = session.rows(self._sql.get_task, {"id": task.id})
        return (self._dialect.read_time(rows[0][8]), self._dialect.read_time(rows[0][10])) if rows else None

    def _insert_batches(self, session: Session, tasks: Sequence[Task], *, again: bool) -> set[str]:
        ids: set[str] = set()
        for start in range(0, len(tasks), self._dialect.inserts_at_once):
            part = tasks[start : start + self._dialect.inserts_at_once]
            ids |= self._dialect.insert_batch(session, part)
            if again:  # an earlier try was not answered, and may have taken effect
                batch = self._dialect.encode_list([task.id for task in part])
                rows = session.rows(self._sql.tasks_by_id, {"batch": batch})
                ids |= {self._dialect.read_task(row).id for row in rows}
        return ids

    def _insert_many(
        self, session: Session, tasks: Sequence[Task], *, skip: bool, undo: bool, again: bool
    ) -> list[Task]:
        if undo:
            session.run(self._sql.savepoint)
        ids = self._insert_batches(session, tasks, again=again)
        if len(ids) < len(tasks) and not skip:
            if undo:
                session.run(self._sql.rollback_savepoint)
                session.run(self._sql.release_savepoint)
            taken = next(task for task in tasks if task.id not in ids)
            raise DuplicateTaskError(taken.type, taken.external_id)
        if undo:
            session.run(self._sql.release_savepoint)
        self._dialect.announce(session, {task.type for task in tasks if task.id in ids})
        return [_stamped(task, session.now) for task in tasks if task.id in ids]

    def get_task(self, task_id: str, *, conn: Any = None) -> TaskRow | None:
        """Read one task, or None."""
        if not self._dialect.is_task_id(task_id):
            return None
        rows = self._read(lambda session: session.rows(self._sql.get_task, {"id": task_id}), conn)
        return self._dialect.read_task(rows[0]) if rows else None

    def find_tasks(self, task_filter: TaskFilter, *, limit: int, conn: Any = None) -> list[TaskRow]:
        """Read up to `limit` tasks that the filter admits, newest first."""
        params = self._filter_params(task_filter)
        conditions = [sql for name, sql in self._sql.conditions.items() if name in params]
        head, tail = self._sql.find_tasks
        sql = head + (" WHERE " + " AND ".join(conditions) if conditions else "") + tail
        rows = self._read(lambda session: session.rows(sql, {**params, "limit": limit}), conn, slow=True)
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
            params["age"] = seconds(task_filter.updated_at_time_ago)
        return params

    def cancel_unless_finished(self, task_id: str, *, conn: Any = None) -> bool:
        """Cancel a task that is not terminal; a running one keeps `claimed_by` until it has stopped."""

        def cancel(session: Session) -> bool:
            if session.run(self._sql.cancel, {"id": task_id}):
                return True
            if session.rows(self._sql.get_task, {"id": task_id}):
                return False
            raise TaskNotFoundError(task_id)

        if not self._dialect.is_task_id(task_id):
            raise TaskNotFoundError(task_id)
        return self._write(cancel, conn, patient=True)

    def reset_unless_claimed(self, task_id: str, *, conn: Any = None) -> bool:
        """Make an error or terminal task new again: attempts 0, due now, a line in errors."""

        def reset(session: Session) -> bool:
            rows = session.rows(self._sql.lock_task, {"id": task_id})
            if not rows:
                raise TaskNotFoundError(task_id)
            row = self._dialect.read_task(rows[0])
            errors = append_error(row.errors, f"reset attempts: {session.now:%Y-%m-%dT%H:%M:%S.%fZ}")
            if session.run(self._sql.reset, {"id": task_id, "errors": errors}):
                return True
            if row.status == TaskStatus.NEW and row.claimed_by is None:
                return False
            held = f"held by {row.claimed_by}" if row.claimed_by else "claimed"
            raise TaskStateError(f"task {task_id} is {row.status} and {held}; reset it when it has ended")

        if not self._dialect.is_task_id(task_id):
            raise TaskNotFoundError(task_id)
        return self._write(reset, conn, patient=True)

    def count_tasks(self) -> list[TypeCount]:
        """Count all tasks by type and status, in that order."""
        text = self._dialect.read_text
        rows = self._read(lambda session: session.rows(self._sql.count_tasks), slow=True)
        return [TypeCount(text(task_type), text(status), count) for task_type, status, count in rows]

    def failed_attempts(self, task_id: str) -> list[AttemptRow]:
        """Read the recorded failed attempts of a task, oldest first."""
        if not self._dialect.is_task_id(task_id):
            return []
        rows = self._read(lambda session: session.rows(self._sql.failed_attempts, {"task_id": task_id}))
        return [self._read_attempt(row) for row in rows]

    def _read_attempt(self, row: Sequence[Any]) -> AttemptRow:
        text, instant = self._dialect.read_text, self._dialect.read_time
        told: list[Any] = [text(value) if isinstance(value, bytes) else value for value in row]
        return AttemptRow(
            task_id=text(row[0]),
            node=told[1],
            started_at=None if row[2] is None else instant(row[2]),
            ended_at=instant(row[3]),
            failed=FailedAttempt(*told[4:]),
        )


def _without_repeats(tasks: Sequence[Task], *, skip: bool) -> list[Task]:
    """Leave out tasks whose type and external id came before, or refuse them."""
    firsts: dict[tuple[str, str], Task] = {}
    for task in tasks:
        key = (task.type, task.external_id)
        if key not in firsts:
            firsts[key] = task
        elif not skip:
            raise DuplicateTaskError(task.type, task.external_id)
    return list(firsts.values())


def _stamped(task: Task, now: datetime) -> Task:
    task.next_attempt_at = due_at(task, now)
    task.created_at = now
    return task
