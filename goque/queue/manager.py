"""The queue as applications see it: enqueue, look, cancel, reset."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from goque.queue.manager_base import (
    MAX_INLINE_RUNS,
    CheckTasks,
    ManagerBase,
    OnConflict,
    WaitPauses,
    check_id,
    check_on_conflict,
    check_search,
    check_timeout,
    found,
    transaction_of,
)
from goque.storage import TaskStorage
from goque.task import NO_TASK_PAYLOAD, TERMINAL_STATUSES, Task, TaskFilter, TaskRow
from goque.telemetry import tracing

if TYPE_CHECKING:
    from goque.execution.inline import TaskRun
    from goque.processor_table import HasProcessors


class TaskQueueManager(ManagerBase):
    """Enqueues tasks and looks after them; thread-safe, and usable after a fork.

    It connects when it is first used. In a `with_tx` block, or with `conn`, it works in the caller's
    transaction, and neither commits nor rolls it back.

    Args:
        url_or_storage: a storage URL, a storage that the manager may close, or None for
            `GOQUE_DATABASE_URL` or the embedded default.
        default_priorities: says the priority of a type's tasks that are enqueued without one.
        check_tasks: called with the tasks of each call before one is inserted; what it raises refuses them all.
    """

    def __init__(
        self,
        url_or_storage: str | TaskStorage | None = None,
        *,
        default_priorities: Callable[[str], int] | None = None,
        check_tasks: CheckTasks | None = None,
    ) -> None:
        super().__init__(url_or_storage, default_priorities=default_priorities, check_tasks=check_tasks)

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
        external_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        delay: float | timedelta | None = None,
        run_at: datetime | None = None,
        priority: int | None = None,
        conn: Any = None,
    ) -> Task:
        """Insert one task and return it; the arguments are those of `Task`.

        Raises:
            DuplicateTaskError: the type and external id are taken.
            ConfigurationError, PayloadEncodeError, InvalidPayloadFormatError: see `Task`.
        """
        task = Task(
            type,
            payload,
            external_id=external_id,
            metadata=metadata,
            delay=delay,
            run_at=run_at,
            priority=priority,
        )
        return self._insert([task], "raise", conn)[0]

    def add_task(self, task: Task, *, conn: Any = None) -> Task:
        """Insert a task that was built before, and return it with its times set.

        Raises:
            DuplicateTaskError: its type and external id are taken.
        """
        return self._insert([task], "raise", conn)[0]

    def add_tasks(
        self, tasks: Iterable[Task], *, on_conflict: OnConflict = "raise", conn: Any = None
    ) -> list[Task]:
        """Insert all tasks or none, in one transaction, and return what was inserted.

        Args:
            tasks: tasks of any types.
            on_conflict: "raise", or "skip" to insert those whose type and external id are free.
            conn: the caller's own connection.

        Raises:
            DuplicateTaskError: a type and external id are taken, by a row or twice in `tasks`.
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

    def reset_attempts(self, task_id: str, *, conn: Any = None) -> bool:
        """Make an error or terminal task new and due at once; returns False for a task that is new already.

        Raises:
            TaskNotFoundError: no task has this id.
            TaskStateError: the task is claimed, or its node has not let go of it yet.
        """
        check_id(task_id)
        tx = transaction_of(conn)
        return self._storage_for(tx).reset_unless_claimed(task_id, conn=tx)

    def pause_type(self, task_type: str) -> bool:
        """Let no node claim tasks of a type, until `resume_type`; returns False if it is paused already.

        Every node obeys within its `fetch_tick`; what is claimed already runs to its end. Tasks may be added.
        It is a transaction of its own, inside of `with_tx` too.

        Raises:
            ConfigurationError: no supervisor has run this type yet.
        """
        return self._ready_storage().pause_type(task_type)

    def resume_type(self, task_type: str) -> bool:
        """Let every node claim tasks of a type again; returns False if it is not paused.

        Raises:
            ConfigurationError: no supervisor has run this type yet.
        """
        return self._ready_storage().resume_type(task_type)

    def wait(self, task_id: str, timeout: float | timedelta | None = None) -> Task:
        """Wait until a task is done, canceled or out of attempts, and return it, with its result.

        On PostgreSQL it is told of the end. Besides, and elsewhere only, it looks at the row after 10 ms, then less
        and less often, down to twice a second (once where it is told); always outside of the caller's transaction,
        which would not see what others commit.

        Args:
            task_id: the task, committed.
            timeout: seconds, or None to wait as long as it takes.

        Raises:
            TaskNotFoundError: no task has this id, or has it any more.
            WaitTimeoutError: the task has not ended in time; it is a TimeoutError too.
        """
        pauses = WaitPauses(task_id, timeout)
        row = self._read_row(task_id, None)
        if row.status in TERMINAL_STATUSES:
            return Task.from_row(row)
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
        from goque.execution.inline import drain  # noqa: PLC0415 - applications do not need it

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

    def _insert(self, tasks: Iterable[Task], on_conflict: OnConflict, conn: Any) -> list[Task]:
        wanted = self._prepare(tasks)
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
