"""The queue as applications see it: enqueue, look, cancel, reset."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, Unpack

import msgspec

from goque.queue.manager_base import (
    MAX_INLINE_RUNS,
    PrepareTasks,
    WaitPauses,
    check_id,
    check_search,
    check_timeout,
    found,
    transaction_of,
)
from goque.queue.stack_calls import StackCalls
from goque.storage import TaskStorage
from goque.task import NO_TASK_PAYLOAD, Task, TaskOptions
from goque.task_filter import TaskFilter
from goque.task_row import TERMINAL_STATUSES, TaskRow
from goque.task_rules.limits import Limits, Rate, check_changes
from goque.task_rules.uniqueness import OnConflict, check_on_conflict
from goque.telemetry import tracing

if TYPE_CHECKING:
    from goque.execution.inline import TaskRun
    from goque.handlers.processor_table import HasProcessors


class TaskQueueManager(StackCalls):
    """Enqueues tasks and looks after them; thread-safe, and usable after a fork.

    It connects when it is first used. In a `with_tx` block, or with `conn`, it works in the caller's
    transaction, and neither commits nor rolls it back.

    Args:
        url_or_storage: a storage URL, a storage that the manager may close, or None for
            `GOQUE_DATABASE_URL` or the embedded default.
        default_priorities: says the priority of a type's tasks that are enqueued without one.
        prepare_tasks: called with the tasks of each call before one is inserted, to complete them; what it raises
            refuses them all.
    """

    def __init__(
        self,
        url_or_storage: str | TaskStorage | None = None,
        *,
        default_priorities: Callable[[str], int] | None = None,
        prepare_tasks: PrepareTasks | None = None,
    ) -> None:
        super().__init__(url_or_storage, default_priorities=default_priorities, prepare_tasks=prepare_tasks)

    @property
    def storage(self) -> TaskStorage:
        """The storage, with its schema made sure of once.

        Raises:
            DatabaseUnavailableError: the database cannot be reached.
            SchemaError: goque's tables are missing or out of date.
        """
        return self._ready_storage()

    def enqueue(
        self,
        type: str,  # noqa: A002 - the column's name, fixed by the contract
        payload: Any = NO_TASK_PAYLOAD,
        *,
        on_conflict: OnConflict = "raise",
        conn: Any = None,
        **options: Unpack[TaskOptions],
    ) -> Task:
        """Insert one task and return it.

        Args:
            type: the type.
            payload: the payload.
            on_conflict: what to do if a task has the external id, or holds the unique key; see `add_task`.
            conn: the caller's own connection.
            options: the other keywords of `Task`.

        Raises:
            DuplicateTaskError: the external id or the unique key is taken.
            ConfigurationError, PayloadEncodeError, InvalidPayloadFormatError: see `Task`.
        """
        return self._insert_one(Task(type, payload, **options), on_conflict, conn)

    def add_task(self, task: Task, *, on_conflict: OnConflict = "raise", conn: Any = None) -> Task:
        """Insert a task that was built before, and return it with its times set.

        Args:
            task: the task. If it has `debounce`, a waiting task with its key takes its content and is returned.
            on_conflict: what to do if another task has its external id, or holds its unique key. "raise" raises
                DuplicateTaskError. "skip" returns the other task, with `inserted` False. "replace" gives the other
                task, if it waits and is not claimed, the new payload, metadata, priority and due time, and returns it,
                with `inserted` False.
            conn: the caller's own connection.

        Raises:
            DuplicateTaskError: the place is taken, and `on_conflict` does not say what else to do, or the task that
                was to be replaced is claimed or has ended.
        """
        return self._insert_one(task, on_conflict, conn)

    def add_tasks(
        self, tasks: Iterable[Task], *, on_conflict: OnConflict = "raise", conn: Any = None
    ) -> list[Task]:
        """Insert all tasks or none, in one transaction.

        Args:
            tasks: tasks of any types.
            on_conflict: what to do about tasks whose external id or unique key is taken. "raise"; "skip" leaves them
                out; "replace" as in `add_task`.
            conn: the caller's own connection.

        Returns: the inserted tasks and, in the place of tasks that replaced a waiting one, that one.

        Raises:
            DuplicateTaskError: a place is taken, by a row or twice in `tasks`.
        """
        check_on_conflict(on_conflict)
        return self._insert(tasks, on_conflict, conn)

    def add_task_in_background(self, task: Task) -> None:
        """Insert a task soon, in a thread; what goes wrong is logged, with the task's type and external id.

        Up to 1000 tasks wait; past that this call waits for room. The interpreter does not exit before they are
        inserted, but a process that is killed loses them. The transaction of a `with_tx` is left, with a warning.
        """
        self._background.add(self._for_background(task))

    def wait_background_adds(self, timeout: float | timedelta | None = None) -> bool:
        """Wait until every task that was added in the background is inserted, or was logged as lost.

        Args:
            timeout: seconds, or None to wait as long as it takes.

        Returns: False if that took longer than `timeout`.
        """
        return self._background.wait(check_timeout(timeout))

    def get_task(self, task_id: str, *, conn: Any = None) -> Task:
        """Read one task.

        Raises:
            TaskNotFoundError: no task has this id.
        """
        return Task.from_row(self._read_row(task_id, transaction_of(conn)))

    def get_tasks(
        self, task_filter: TaskFilter | None = None, limit: int = 100, *, conn: Any = None
    ) -> list[Task]:
        """Read up to `limit` tasks that the filter admits, newest first."""
        wanted = check_search(task_filter, limit)
        tx = transaction_of(conn)
        rows = self._storage_for(tx).find_tasks(wanted, limit=limit, conn=tx)
        return [Task.from_any_row(row) for row in rows]

    def cancel_task(self, task_id: str, *, conn: Any = None) -> bool:
        """Cancel a task and return whether this call did it; a terminal task stays as it is.

        A running handler is stopped within `fetch_tick`, as by a timeout. If another library runs the task, such as
        goque for Go, only the row changes: that library does not notice, and may still end the task as done.

        Raises:
            TaskNotFoundError: no task has this id.
        """
        check_id(task_id)
        tx = transaction_of(conn)
        return self._storage_for(tx).cancel_unless_finished(task_id, conn=tx)

    def pause_type(self, task_type: str) -> bool:
        """Let no node claim tasks of a type, until `resume_type`; returns False if it is paused already.

        Every node obeys within its `fetch_tick`; what is claimed already runs to its end. Tasks may be added.
        It is a transaction of its own, inside of `with_tx` too.

        Raises:
            ConfigurationError: no supervisor has run this type yet.
        """
        return self._ready_storage().pause_type(task_type)

    def set_limits(
        self,
        task_type: str,
        *,
        limit: int | msgspec.UnsetType | None = msgspec.UNSET,
        limit_per_key: int | msgspec.UnsetType | None = msgspec.UNSET,
        rate: Rate | msgspec.UnsetType | None = msgspec.UNSET,
    ) -> Limits:
        """Change limits of a type at run time, for all nodes within their `fetch_tick`; return those that it has then.

        If a limit is lowered, running tasks continue. The change has its own transaction, inside of `with_tx` too.

        Args:
            task_type: the type.
            limit: how many of its tasks run at once; None for no limit. Limits that you leave out do not change.
            limit_per_key: the same for each `limit_key`.
            rate: how many start in a time; None for no rate. A Rate replaces the whole one of before.

        Raises:
            ConfigurationError: a limit is wrong, nothing is given, or no supervisor has run this type yet.
        """
        changes = check_changes(limit, limit_per_key, rate)
        return self._ready_storage().set_limits(task_type, changes)

    def clear_limits(self, task_type: str) -> Limits:
        """Forget the limits that were set at run time; return those that the type's processor declares.

        Tasks that `goque.RateLimited` has delayed may start again, too.

        Raises:
            ConfigurationError: no supervisor has run this type yet.
        """
        return self._ready_storage().set_limits(task_type, None)

    def resume_type(self, task_type: str) -> bool:
        """Let every node claim tasks of a type again; returns False if it is not paused.

        Raises:
            ConfigurationError: no supervisor has run this type yet.
        """
        return self._ready_storage().resume_type(task_type)

    def wait(self, task_id: str, timeout: float | timedelta | None = None) -> Task:
        """Wait until a task is done, canceled or out of attempts, and return it, with its result.

        On PostgreSQL the database notifies it of the end. On all databases it also reads the row, first after 10 ms and
        then less and less often: once a second on PostgreSQL, twice on the others. It reads outside of the caller's
        transaction, which would not see the commits of others.

        A type with `cleaner_updated_at_time_ago=0` deletes a task with its success. One that is waited for is kept for
        a minute; a call that begins after the end may find no task.

        Args:
            task_id: the task, committed.
            timeout: seconds, or None to wait as long as it takes.

        Raises:
            TaskNotFoundError: no task has this id, or has it any more.
            WaitTimeoutError: the task has not ended in time; it is a TimeoutError too.
        """
        pauses = WaitPauses(f"task {task_id}", timeout)
        row = self._read_row(task_id, None)
        if row.status in TERMINAL_STATUSES:
            return Task.from_row(row)
        self._storage.keep_for_waiter(row.id, row.type)
        alarm = ThreadAlarm()
        with self._storage.on_finished(row.id, row.type, alarm.ring) as is_told:
            while row.status not in TERMINAL_STATUSES:
                self._pause(pauses.next_pause(row.status, is_notified=is_told()), alarm)
                row = self._read_row(task_id, None)
        return Task.from_row(row)

    def ping(self) -> None:
        """Make sure that the database answers and has goque's tables.

        Raises:
            DatabaseUnavailableError: it cannot be reached.
            SchemaError: goque's tables are missing or out of date.
        """
        self.storage.ping()

    def drain_inline(
        self, registry: HasProcessors, *, types: Sequence[str] | None = None, limit: int = MAX_INLINE_RUNS
    ) -> list[TaskRun]:
        """Run in this process all that is due, and what that enqueues, and return each run in its order; for tests.

        Tasks are claimed, run and settled one by one, with the moves and the outcomes of a tree. A task that is put
        off, by a delay or a retry, stays. No process protects this one: a handler that crashes takes it along.

        Args:
            registry: the processors; tasks of other types stay.
            types: only these of its types.
            limit: how many runs there may be.

        Raises:
            GoqueError: more runs than `limit`; or a handler is async, and this thread runs a loop already.
            BaseException: a handler raised what ends a test: KeyboardInterrupt, `pytest.fail`; its task is given back.
        """
        from goque.execution.drain import drain  # noqa: PLC0415 - applications do not need it

        self.wait_background_adds()
        return drain(self.storage, registry, types=types, limit=limit)

    def close(self) -> None:
        """Wait for background adds, then close this process's connections; a later call opens new ones."""
        self._background.wait(None)
        self._storage.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _insert_one(self, task: Task, on_conflict: OnConflict, conn: Any) -> Task:
        check_on_conflict(on_conflict)
        [wanted] = self._prepare_alone([task])
        tx = transaction_of(conn)
        with tracing.enqueueing([wanted]):
            return self._storage_for(tx).insert_task(wanted, on_conflict=on_conflict, conn=tx)

    def _insert(self, tasks: Iterable[Task], on_conflict: OnConflict, conn: Any) -> list[Task]:
        wanted = self._prepare_alone(tasks)
        tx = transaction_of(conn)
        with tracing.enqueueing(wanted):
            return self._storage_for(tx).insert_tasks(wanted, on_conflict=on_conflict, conn=tx)

    def _read_row(self, task_id: str, tx: Any) -> TaskRow:
        check_id(task_id)
        return found(self._storage_for(tx).get_task(task_id, conn=tx), task_id)

    def _pause(self, seconds: float, alarm: ThreadAlarm) -> None:
        alarm.wait(seconds)

    def _storage_for(self, tx: Any) -> TaskStorage:
        """Return the storage. In a caller's transaction, its statement finds out whether the tables are there."""
        return self._ready_storage() if tx is None else self._storage


class ThreadAlarm:
    """Ends a thread's pause early."""

    def __init__(self) -> None:
        self._rung = threading.Event()

    def ring(self) -> None:
        """End the pause that is under way, or else the next."""
        self._rung.set()

    def wait(self, seconds: float) -> None:
        """Wait for so long, or until it rings."""
        if self._rung.wait(seconds):
            self._rung.clear()
