"""What applications ask of a SQL storage, each call in a transaction of its own or in the caller's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from itertools import count
from typing import Any, Literal, TypeVar

from goque.outcome import FailedAttempt
from goque.storage.contract import AttemptRow, QueueDepth, TypeCount
from goque.storage.sql.asyncio_tasks import SqlAsyncTasks
from goque.storage.sql.call_policy import (
    LONG_READ,
    PATIENT_STATEMENT,
    PATIENT_WRITE,
    PINNED_READ,
    READ,
    CallPolicy,
)
from goque.storage.sql.dialect import Dialect
from goque.storage.sql.read_values import read_count, read_number, read_optional_int
from goque.storage.sql.runner import PATIENCE, SqlRunner
from goque.storage.sql.session import PlaceTakenError, Row, Session
from goque.storage.sql.steps import Steps, run_steps
from goque.storage.sql.task_steps import TaskSteps, check_texts, without_repeats
from goque.task import Task, TaskFilter, TaskRow

ResultT = TypeVar("ResultT")


class SqlTasks(SqlRunner):
    """The part of the contract that applications use."""

    def __init__(self, dialect: Dialect, *, patience: float = PATIENCE) -> None:
        super().__init__(dialect, patience=patience)
        self._steps = TaskSteps(dialect)

    def insert_tasks(
        self, tasks: Sequence[Task], *, on_conflict: Literal["raise", "skip"] = "raise", conn: Any = None
    ) -> list[Task]:
        """Insert all tasks or none; with "skip", those whose type and external id are free."""
        if not tasks:
            return []
        check_texts(tasks)
        skip = on_conflict == "skip"
        if len(tasks) == 1:
            inserted = self._insert_one(tasks[0], skip=skip, conn=conn)
        else:
            inserted = self._insert_several(tasks, skip=skip, conn=conn)
        self._dialect.nudge(inserted)
        return inserted

    def _insert_one(self, task: Task, *, skip: bool, conn: Any) -> list[Task]:
        tries = count()

        def insert(session: Session) -> list[Task]:
            return run_steps(session, self._steps.insert_one(task, skip=skip, again=next(tries) > 0))

        return self._run(insert, PATIENT_STATEMENT, conn)

    def _insert_several(self, tasks: Sequence[Task], *, skip: bool, conn: Any) -> list[Task]:
        wanted = without_repeats(tasks, skip=skip)
        undo = conn is not None
        tries = count()
        if self._dialect.copies and conn is None and not skip:
            try:
                return self._run(lambda session: self._copy(session, wanted), PATIENT_WRITE)
            except PlaceTakenError:
                # The insert below finds out which task is taken. It may be ours, after an answer that was lost.
                next(tries)
        return self._run_steps(
            lambda: self._steps.insert_many(wanted, skip=skip, undo=undo, again=next(tries) > 0),
            PATIENT_WRITE,
            conn,
        )

    def _copy(self, session: Session, tasks: list[Task]) -> list[Task]:
        self._dialect.copy_tasks(session, tasks)
        return run_steps(session, self._steps.announce_inserted(tasks))

    def get_task(self, task_id: str, *, conn: Any = None) -> TaskRow | None:
        """Read one task, or None."""
        return self._run_steps(lambda: self._steps.get_task(task_id), READ, conn)

    def find_tasks(self, task_filter: TaskFilter, *, limit: int, conn: Any = None) -> list[TaskRow]:
        """Read up to `limit` tasks that the filter admits, newest first."""
        return self._run_steps(lambda: self._steps.find_tasks(task_filter, limit=limit), LONG_READ, conn)

    def cancel_unless_finished(self, task_id: str, *, conn: Any = None) -> bool:
        """Cancel a task that is not terminal; a running one keeps `claimed_by` until it has stopped."""
        tried_at: list[datetime] = []
        return self._run_steps(
            lambda: self._steps.cancel_unless_finished(task_id, tried_at), PATIENT_WRITE, conn
        )

    def reset_unless_claimed(self, task_id: str, *, conn: Any = None) -> bool:
        """Make an error or terminal task new again: attempts 0, due now, a line in errors."""
        tried_at: list[datetime] = []
        return self._run_steps(
            lambda: self._steps.reset_unless_claimed(task_id, tried_at), PATIENT_WRITE, conn
        )

    def _run_steps(self, make: Callable[[], Steps[ResultT]], policy: CallPolicy, conn: Any) -> ResultT:
        """Run steps, which are made anew for each try."""
        return self._run(lambda session: run_steps(session, make()), policy, conn)

    def on_finished(
        self, task_id: str, task_type: str, call: Callable[[], None]
    ) -> AbstractContextManager[Callable[[], bool]]:
        """Have `call` called, in any thread, when a task has ended, for the length of the block."""
        return self._dialect.on_finished(task_id, task_type, call)

    def asyncio_tasks(self) -> SqlAsyncTasks:
        """Return the same calls for asyncio connections."""
        return SqlAsyncTasks(self._dialect, self._steps)

    def count_tasks(self) -> list[TypeCount]:
        """Count all tasks by type and status, in that order; of many types the largest groups only."""
        text = self._dialect.read_text
        counts: Counter[tuple[str, str]] = Counter()
        for task_type, status, tasks, _ in self._run(self._read_counts, LONG_READ):
            counts[text(task_type), text(status)] += tasks
        return [TypeCount(task_type, status, count) for (task_type, status), count in sorted(counts.items())]

    def _read_counts(self, session: Session) -> Sequence[Row]:
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
        if not self._dialect.is_task_id(task_id):
            return []
        rows = self._run(lambda session: session.rows(self._sql.failed_attempts, {"task_id": task_id}), READ)
        return [self._read_attempt(row) for row in rows]

    def _read_attempt(self, row: Sequence[Any]) -> AttemptRow:
        text, instant = self._dialect.read_text, self._dialect.read_time
        attempt, cause, error, traceback, pid, duration, code, signal, max_rss, oom, stack, stderr = row[4:]

        def optional(value: Any) -> str | None:
            return None if value is None else text(value)

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
            ),
        )
