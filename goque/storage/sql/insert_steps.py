"""Insert tasks, as steps on one session: the database's unique indexes decide which task is one too many.

The caller of these steps opens the transaction, or joins the application's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from goque.errors import DatabaseUnavailableError, DuplicateTaskError
from goque.storage.instants import due_at, later
from goque.storage.sql import steps
from goque.storage.sql.batches import metadata_text
from goque.storage.sql.dialect import Dialect
from goque.storage.sql.insert_rules import (
    by_unique_key,
    duplicate_of,
    may_meet,
    replaces,
    was_done,
    without_repeats,
)
from goque.storage.sql.recorded_steps.deleting import StepDeletes
from goque.storage.sql.steps import Steps
from goque.task import Task
from goque.task_row import HAS_STEPS, TaskRow, TaskStatus
from goque.task_rules.uniqueness import OnConflict, UniqueRule, stored_key

MAX_TRIES: Final = 10
"""How often a task is inserted anew because the task in its way has just begun or gone."""

_WAITING: Final = (TaskStatus.NEW, TaskStatus.ERROR, TaskStatus.BLOCKED)
"""A blocked task is replaced too: it keeps its needs, and starts when these have ended and it is due."""


class InsertSteps:
    """The statements of each insert in their order, for one dialect.

    Args:
        dialect: the dialect.
        read_outside: runs steps on a connection of goque's own, for a caller whose snapshot is too old to see what
            others have committed.
    """

    def __init__(self, dialect: Dialect, read_outside: Callable[[Callable[[], Steps[Any]]], Any]) -> None:
        self._dialect = dialect
        self._sql = dialect.sql
        self._read_outside = read_outside
        self._step_deletes = StepDeletes(dialect)

    def insert_one(
        self, task: Task, *, on_conflict: OnConflict = "raise", undo: bool = False, again: bool = False
    ) -> Steps[Task]:
        """Insert one task and return it, or the one in its way where `on_conflict` or its debounce says so.

        Args:
            task: the task.
            on_conflict: what to do about a task with its external id or its unique key.
            undo: whether the transaction is the caller's, and goes on after an error.
            again: whether an earlier try was not answered, and may have taken effect.

        Raises:
            DuplicateTaskError: its external id or its unique key is taken.
        """
        if task.unique_rule is not None:
            yield from self._set_unique_key(task, task.unique_rule)
        holder = None
        for _ in range(MAX_TRIES):
            times, holder = yield from self._try_to_insert(task, undo=undo and may_meet(task, on_conflict))
            if times is None and again:
                times = yield from self._times_of(task)
            if times is not None:
                task.created_at, task.next_attempt_at = times
                task.inserted = True
                return task
            holder = holder or (yield from self.holder_of(task))
            if holder is None:
                continue  # it has begun or ended meanwhile
            if not replaces(task, on_conflict):
                break
            if holder.claimed_by is not None or holder.status not in _WAITING:
                break
            if replaced := (yield from self._replace(holder, task, undo=undo)):
                return replaced
        if holder is not None and on_conflict == "skip":
            return Task.from_any_row(holder)
        raise duplicate_of(task, holder)

    def insert_many(
        self, tasks: Sequence[Task], *, on_conflict: OnConflict = "raise", undo: bool, again: bool = False
    ) -> Steps[list[Task]]:
        """Insert all or none, and return those that were inserted or replaced another.

        The arguments and errors are those of `insert_one`.
        """
        if not undo:
            return (yield from self._insert_all(tasks, on_conflict, undo=undo, again=again))
        inner = self._insert_all(tasks, on_conflict, undo=undo, again=again)
        # the caller may go on after an error, and nothing of these tasks is to be there then
        return (yield from steps.in_savepoint(self._sql, inner, undo_if=self.may_go_on))

    def insert_new(self, tasks: Sequence[Task]) -> Steps[None]:
        """Insert tasks whose places must be free, and tell nobody.

        Raises:
            DuplicateTaskError: a place is taken, by a row or twice in `tasks`.
        """
        without_repeats(tasks, on_conflict="raise")
        for task in tasks:
            if task.unique_rule is not None:
                yield from self._set_unique_key(task, task.unique_rule)
        ordered = [task for _, task in by_unique_key(tasks)]
        ids = yield from self._insert_batches(ordered, again=False)
        for task in ordered:
            if task.id not in ids:
                raise duplicate_of(task, (yield from self.holder_of(task)))

    def announce_inserted(self, tasks: Sequence[Task]) -> Steps[list[Task]]:
        """Tell who waits for tasks, and date them."""
        yield from self._dialect.announce({task.type for task in tasks})
        return (yield from self.stamp(tasks))

    def stamp(self, tasks: Sequence[Task]) -> Steps[list[Task]]:
        """Date tasks that are inserted."""
        now: datetime = yield steps.NOW
        return [_stamped(task, now) for task in tasks]

    @staticmethod
    def may_go_on(error: Exception) -> bool:
        """Return whether the connection can still be used after an error."""
        return not isinstance(error, DatabaseUnavailableError)

    def holder_of(self, task: Task) -> Steps[TaskRow | None]:
        """Read the task that has a task's external id, or else holds its unique key."""
        by_external_id, by_key = self._sql.task_by_external_id, self._sql.task_by_unique_key
        params = _key_params(task)
        for end in dict.fromkeys(("", self._sql.see_newest)):
            rows = yield steps.rows(by_external_id + end, params)
            if not rows and task.unique_key is not None:
                rows = yield steps.rows(by_key + end, params)
            if rows:
                return self._dialect.read_task(rows[0])
        return None

    def _set_unique_key(self, task: Task, rule: UniqueRule) -> Steps[None]:
        rule.refuse_incomplete()
        now = None if isinstance(rule.scope, str) else (yield steps.NOW)
        task.unique_key = stored_key(rule, task.payload_bytes, now)
        if rule.debounce is not None:
            task.delay = rule.debounce

    def _try_to_insert(
        self, task: Task, *, undo: bool
    ) -> Steps[tuple[tuple[datetime, datetime] | None, TaskRow | None]]:
        """Insert a task unless its place is taken. Returns its times, and who was found in its place if that was seen.

        In a snapshot that is older than that task, PostgreSQL ends the statement instead of skipping the row.
        """
        if not (undo and self._dialect.conflicts_abort):
            return (yield from self._dialect.insert_one(task)), None
        is_unseen = self._dialect.is_unseen_conflict
        inner = self._dialect.insert_one(task)
        try:
            return (yield from steps.in_savepoint(self._sql, inner, undo_if=is_unseen)), None
        except Exception as error:
            if not is_unseen(error):
                raise
            holder = yield steps.outside(lambda: self._read_outside(lambda: self.holder_of(task)))
            if holder is None:
                raise
            return None, holder

    def _times_of(self, task: Task) -> Steps[tuple[datetime, datetime] | None]:
        rows = yield steps.rows(self._sql.get_task, {"id": task.id})
        return (self._dialect.read_time(rows[0][8]), self._dialect.read_time(rows[0][10])) if rows else None

    def _replace(self, holder: TaskRow, task: Task, *, undo: bool) -> Steps[Task | None]:
        """Give a waiting task the content of another; None if it has been claimed or has ended meanwhile.

        A task that was found by its external id also gets the unique key of the new content.
        """
        key = holder.unique_key
        if task.unique_key is not None and holder.external_id == task.external_id:
            key = task.unique_key
        now: datetime = yield steps.NOW
        due = due_at(task, now)
        rule = task.unique_rule
        if rule is not None and rule.max_wait is not None:
            due = min(due, later(holder.created_at, rule.max_wait))
        params = {
            "id": holder.id,
            "payload": task.raw_payload,
            "metadata": metadata_text(task),
            "priority": task.priority,
            "next_attempt_at": self._dialect.time(due),
            "unique_key": key,
            "limit_key": task.stored_limit_key,
        }
        if key == holder.unique_key:
            changed = yield steps.run(self._sql.replace_if_waiting, params)
        else:
            changed = yield from self._replace_with_key(task, params, undo=undo)
        if not changed:
            return None
        if (holder.flags or 0) & HAS_STEPS:  # they are those of the former payload
            yield from self._step_deletes.all_of(holder.id)
        yield from self._dialect.announce({task.type})
        row = msgspec.structs.replace(
            holder,
            payload=task.payload_bytes,
            metadata=metadata_text(task).encode(),
            priority=task.priority,
            next_attempt_at=due,
            updated_at=now,
            unique_key=key,
            limit_key=task.stored_limit_key,
        )
        return Task.from_any_row(row)

    def _replace_with_key(self, task: Task, params: dict[str, Any], *, undo: bool) -> Steps[int]:
        """Replace the content and the unique key of a waiting task, unless a third task holds that key.

        The key is looked up first to name that task: after a violation, PostgreSQL reads nothing more without a
        savepoint. It is not read with a lock, which on MySQL would lock the gap that a free key goes to.
        """
        for row in (yield steps.rows(self._sql.task_by_unique_key, _key_params(task))):
            third = self._dialect.read_task(row)
            if third.id != params["id"]:
                raise duplicate_of(task, third)
        is_duplicate = self._dialect.is_duplicate
        inner = steps.one(steps.run(self._sql.replace_if_waiting, params))
        if undo and self._dialect.conflicts_abort:  # elsewhere a violation takes back its statement alone
            inner = steps.in_savepoint(self._sql, inner, undo_if=is_duplicate)
        try:
            changed: int = yield from inner
        except Exception as error:
            if not is_duplicate(error):
                raise
            raise DuplicateTaskError(task.type, task.external_id, unique_key=task.unique_key) from error
        return changed

    def _insert_all(
        self, tasks: Sequence[Task], on_conflict: OnConflict, *, undo: bool, again: bool
    ) -> Steps[list[Task]]:
        for task in tasks:
            if task.unique_rule is not None:
                yield from self._set_unique_key(task, task.unique_rule)
        ordered = by_unique_key(tasks)
        ids = yield from self._insert_free(
            [task for _, task in ordered],
            undo=undo and any(may_meet(task, on_conflict) for task in tasks),
            again=again,
        )
        if ids is not None and len(ids) == len(tasks):
            yield from self.announce_inserted(tasks)
            return list(tasks)
        done: dict[int, Task] = {}
        for number, task in ordered:
            if ids and task.id in ids:
                done[number] = task
            elif ids is None or on_conflict != "skip" or replaces(task, on_conflict):
                there = yield from self.insert_one(task, on_conflict=on_conflict, undo=undo)
                if was_done(task, there, on_conflict):
                    done[number] = there
        yield from self.announce_inserted([task for task in tasks if ids and task.id in ids])
        return [done[number] for number in sorted(done)]

    def _insert_free(self, tasks: Sequence[Task], *, undo: bool, again: bool) -> Steps[set[str] | None]:
        """Insert the tasks whose places are free and return their ids; None if that must be tried one by one."""
        if not (undo and self._dialect.conflicts_abort):
            return (yield from self._insert_batches(tasks, again=again))
        is_unseen = self._dialect.is_unseen_conflict
        inner = self._insert_batches(tasks, again=again)
        try:
            return (yield from steps.in_savepoint(self._sql, inner, undo_if=is_unseen))
        except Exception as error:
            if not is_unseen(error):
                raise
            return None

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


def _key_params(task: Task) -> dict[str, Any]:
    return {"type": task.type, "external_id": task.external_id, "unique_key": task.unique_key}


def _stamped(task: Task, now: datetime) -> Task:
    task.next_attempt_at = due_at(task, now)
    task.created_at = now
    task.inserted = True
    return task
