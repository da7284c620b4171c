"""What applications ask of a SQL storage, each call in a transaction of its own or in the caller's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from itertools import count
from typing import Any, TypeVar

from goque.flows.withheld_writes import are_withheld, is_withheld
from goque.storage.contract import MAX_GROUPS, AttemptRow, QueueDepth, TypeCount
from goque.storage.sql.call_policy import (
    LONG_READ,
    PATIENT_STATEMENT,
    PATIENT_WRITE,
    PINNED_READ,
    READ,
    CallPolicy,
)
from goque.storage.sql.dialect import Dialect
from goque.storage.sql.insert_rules import check_texts, was_done, without_repeats
from goque.storage.sql.insert_steps import InsertSteps
from goque.storage.sql.read_values import read_count, read_number, read_optional_int
from goque.storage.sql.recorded_steps.caller_steps import CallerStepRecords
from goque.storage.sql.runner import PATIENCE, SqlRunner
from goque.storage.sql.session import PlaceTakenError, Row, Session
from goque.storage.sql.steps import Steps, run_steps
from goque.storage.sql.task_steps import TaskSteps
from goque.task import Task
from goque.task_filter import TaskFilter
from goque.task_row import IS_NEEDED, TaskRow
from goque.task_rules.failed_attempt import FailedAttempt
from goque.task_rules.uniqueness import OnConflict

ResultT = TypeVar("ResultT")


class SqlTasks(SqlRunner):
    """The part of the contract that applications use."""

    def __init__(self, dialect: Dialect, *, patience: float = PATIENCE) -> None:
        super().__init__(dialect, patience=patience)
        self._steps = TaskSteps(dialect)
        self._inserts = InsertSteps(dialect, lambda make: self._run_steps(make, READ, None))
        self._step_records = CallerStepRecords(dialect, lambda make: self._run_steps(make, READ, None))

    def insert_task(self, task: Task, *, on_conflict: OnConflict = "raise", conn: Any = None) -> Task:
        """Insert a task and return it, or the one in its place where `on_conflict` or its debounce says so."""
        check_texts((task,))
        if are_withheld((task,)):
            return task
        done = self._insert_one(task, on_conflict, conn)
        self._dialect.nudge({done.type})
        return done

    def _insert_one(self, task: Task, on_conflict: OnConflict, conn: Any) -> Task:
        tries = count()
        undo = conn is not None

        def insert(session: Session) -> Task:
            steps = self._inserts.insert_one(task, on_conflict=on_conflict, undo=undo, again=next(tries) > 0)
            return run_steps(session, steps)

        return self._run(insert, PATIENT_STATEMENT, conn)

    def insert_tasks(
        self, tasks: Sequence[Task], *, on_conflict: OnConflict = "raise", conn: Any = None
    ) -> list[Task]:
        """Insert all tasks or none; with "skip", those whose places are free."""
        if not tasks:
            return []
        check_texts(tasks)
        wanted = without_repeats(tasks, on_conflict=on_conflict)
        if are_withheld(wanted):
            return list(wanted)
        if len(wanted) == 1:
            there = self._insert_one(wanted[0], on_conflict, conn)
            done = [there] if was_done(wanted[0], there, on_conflict) else []
        else:
            done = self._insert_several(wanted, on_conflict, conn)
        self._dialect.nudge({task.type for task in done})
        return done

    def _insert_several(self, tasks: Sequence[Task], on_conflict: OnConflict, conn: Any) -> list[Task]:
        undo = conn is not None
        tries = count()
        if (
            self._dialect.copies
            and conn is None
            and on_conflict == "raise"
            and all(task.unique_rule is None and task.stored_limit_key is None for task in tasks)
        ):
            try:
                return self._run(lambda session: self._copy(session, tasks), PATIENT_WRITE)
            except PlaceTakenError:
                # The insert below finds out which task is taken. It may be ours, after an answer that was lost.
                next(tries)
        return self._run_steps(
            lambda: self._inserts.insert_many(
                tasks, on_conflict=on_conflict, undo=undo, again=next(tries) > 0
            ),
            PATIENT_WRITE,
            conn,
        )

    def _copy(self, session: Session, tasks: Sequence[Task]) -> list[Task]:
        self._dialect.copy_tasks(session, tasks)
        return run_steps(session, self._inserts.announce_inserted(tasks))

    def get_task(self, task_id: str, *, conn: Any = None) -> TaskRow | None:
        """Read one task, or None."""
        return self._run_steps(lambda: self._steps.get_task(task_id), READ, conn)

    def find_tasks(self, task_filter: TaskFilter, *, limit: int, conn: Any = None) -> list[TaskRow]:
        """Read up to `limit` tasks that the filter admits, newest first."""
        return self._run_steps(lambda: self._steps.find_tasks(task_filter, limit=limit), LONG_READ, conn)

    def cancel_unless_finished(self, task_id: str, *, conn: Any = None) -> bool:
        """Cancel a task that is not terminal; a running one keeps `claimed_by` until it has stopped."""
        if is_withheld("cancel", task_id):
            return True
        tried_at: list[datetime] = []
        return self._run_steps(
            lambda: self._steps.cancel_unless_finished(task_id, tried_at), PATIENT_WRITE, conn
        )

    def reset_unless_claimed(self, task_id: str, *, keep_steps: bool = False, conn: Any = None) -> bool:
        """Make an error or terminal task new again: attempts 0, due now, a line in errors."""
        if is_withheld("reset", task_id):
            return True
        tried_at: list[datetime] = []
        return self._run_steps(
            lambda: self._steps.reset_unless_claimed(task_id, tried_at, keep_steps=keep_steps),
            PATIENT_WRITE,
            conn,
        )

    def delete_if_finished(self, task_ids: Sequence[str]) -> set[str]:
        """Delete those of some tasks that are terminal and that nobody holds, with their attempts and steps.

        A task is left that unfinished tasks need: they still read its result.
        """
        wanted = sorted({task_id for task_id in task_ids if self._dialect.is_task_id(task_id)})
        tried: set[str] = set()
        return self._delete_with_steps(
            lambda: self._run(lambda session: self._delete_each(session, wanted, tried), PATIENT_WRITE)
        )

    def _delete_each(self, session: Session, wanted: Sequence[str], tried: set[str]) -> set[str]:
        """Delete tasks in the order of their ids, as every such call does, so that two of them cannot deadlock.

        Args:
            session: where to delete them.
            wanted: their ids.
            tried: what earlier tries of this call deleted, whose answer was lost; this try adds its own.
        """
        sql = self._sql
        deleted = {task_id for task_id in wanted if self._delete_one(session, {"id": task_id})}
        if deleted:
            session.run(sql.delete_attempts, {"batch": self._dialect.encode_list(sorted(deleted))})
            self._step_deletes.with_ids(session, deleted)
        earlier = {one for one in tried - deleted if not session.rows(sql.get_task, {"id": one})}
        tried |= deleted
        return deleted | earlier

    def _delete_one(self, session: Session, params: dict[str, Any]) -> int:
        """Delete a task; one that others need is held meanwhile, so that no flow comes that needs it."""
        sql = self._sql
        if deleted := session.run(sql.delete_if_unneeded, params):
            return deleted
        flags = [row[0] or 0 for row in session.rows(sql.flows.flags, params)]
        if not flags or not flags[0] & IS_NEEDED:
            return 0
        session.rows(sql.lock_task, params)
        if session.rows(sql.flows.open_dependent, params):
            return 0
        return session.run(sql.delete_if_finished, params)

    def _run_steps(self, make: Callable[[], Steps[ResultT]], policy: CallPolicy, conn: Any) -> ResultT:
        """Run steps, which are made anew for each try."""
        return self._run(lambda session: run_steps(session, make()), policy, conn)

    def on_finished(
        self, task_id: str, task_type: str, call: Callable[[], None]
    ) -> AbstractContextManager[Callable[[], bool]]:
        """Have `call` called, in any thread, when a task has ended, for the length of the block."""
        return self._dialect.on_finished(task_id, task_type, call)

    def keep_for_waiter(self, task_id: str, task_type: str) -> None:
        """Let a task stay after its success, because somebody waits for its end, if its type deletes such at once."""
        if self._run(lambda session: session.rows(self._sql.deletes_done, {"task_type": task_type}), READ):
            self._run(lambda session: session.run(self._sql.wait_for, {"id": task_id}), PATIENT_WRITE)

    def count_tasks(self) -> list[TypeCount]:
        """Count all tasks by type and status, in that order; of many types the largest groups only."""
        text = self._dialect.read_text
        counts: Counter[tuple[str, str]] = Counter()
        for task_type, status, tasks, _ in self._run(self._read_counts, LONG_READ):
            counts[text(task_type), text(status)] += tasks
        return [TypeCount(task_type, status, count) for (task_type, status), count in sorted(counts.items())]

    def _read_counts(self, session: Session) -> Sequence[Row]:
        """Count by the indexes if these know all tasks, and few groups of them; else read the whole table."""
        if self._sql.count_by_indexes:
            rows = session.rows(self._sql.count_by_indexes)
            if 0 < len(rows) <= MAX_GROUPS and sum(row[2] for row in rows) == rows[0][3]:
                return rows
        return session.rows(self._sql.count_tasks)

    def queue_depths(self) -> list[QueueDepth]:
        """Count the tasks that are not terminal, by type and status; of many types the largest groups."""
        rows, now = self._run(self._read_depths, PINNED_READ)
        counts: Counter[tuple[str, str]] = Counter()
        waited: dict[str, float] = {}
        for raw_type, status, tasks, earliest in rows:
            task_type = self._dialect.read_text(raw_type)
            counts[task_type, self._dialect.read_text(status)] += tasks
            if earliest is not None:
                since = (now - self._dialect.read_time(earliest)).total_seconds()
                waited[task_type] = max(since, waited.get(task_type, 0.0))
        return [
            QueueDepth(task_type, status, count, waited.get(task_type, 0.0))
            for (task_type, status), count in sorted(counts.items())
            if count
        ]

    def _read_depths(self, session: Session) -> tuple[list[Row], datetime]:
        rows = list(session.rows(self._sql.queue_depths))
        types = sorted({self._dialect.read_text(row[0]) for row in rows})
        for waits in self._sql.queue_waits if types else ():
            rows += session.rows(waits, {"types": self._dialect.encode_list(types)})
        return rows, session.now

    def failed_attempts(self, task_id: str) -> list[AttemptRow]:
        """Read the recorded failed attempts of a task, oldest first."""
        return [one for one in self.attempts(task_id) if not one.failed.went_well]

    def attempts(self, task_id: str) -> list[AttemptRow]:
        """Read the recorded attempts of a task, oldest first: failed ones, and long ones that went well."""
        if not self._dialect.is_task_id(task_id):
            return []
        rows = self._run(lambda session: session.rows(self._sql.attempts, {"task_id": task_id}), READ)
        return [self._read_attempt(row) for row in rows]

    def _read_attempt(self, row: Sequence[Any]) -> AttemptRow:
        text, optional, instant = (
            self._dialect.read_text,
            self._dialect.read_optional_text,
            self._dialect.read_time,
        )
        attempt, cause, error, traceback, pid, duration, code, signal, max_rss, oom, stack, stderr, *rest = (
            row[4:]
        )
        failure_group, app_version = rest

        return AttemptRow(
            task_id=text(row[0]),
            node=optional(row[1]),
            started_at=None if row[2] is None else instant(row[2]),
            ended_at=instant(row[3]),
            failed=FailedAttempt(
                attempt=read_count(attempt),
                cause=text(cause),
                error=text(error),
                traceback=optional(traceback),
                worker_pid=read_optional_int(pid),
                duration=read_number(duration, None),
                exit_code=read_optional_int(code),
                signal=read_optional_int(signal),
                max_rss=read_optional_int(max_rss),
                oom=optional(oom),
                stack=optional(stack),
                stderr=optional(stderr),
                failure_group=optional(failure_group),
                app_version=optional(app_version),
            ),
        )
