"""The queue as asyncio applications see it: the same calls, awaited, and the loop is never blocked."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, Unpack

import msgspec

from goque.errors import ConfigurationError
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
from goque.queue.stack_calls import AsyncStackCalls
from goque.storage import TaskStorage
from goque.storage.sql.caller_connection import belongs_to_its_thread, is_asyncio
from goque.task import NO_TASK_PAYLOAD, Task, TaskOptions
from goque.task_filter import TaskFilter
from goque.task_row import TERMINAL_STATUSES, TaskRow
from goque.task_rules.limits import Limits, Rate, check_changes
from goque.task_rules.uniqueness import OnConflict, check_on_conflict
from goque.telemetry import tracing

if TYPE_CHECKING:
    from goque.execution.inline import TaskRun
    from goque.handlers.processor_table import HasProcessors

THREADS: Final = 5
"""As many as a storage has connections for one process's threads."""

THREAD_NAME: Final = "goque-queue"


class AsyncTaskQueueManager(AsyncStackCalls):
    """Does what `TaskQueueManager` does, awaited; usable from any loop and thread, and after a fork.

    An asyncio connection that is given with `conn` or `with_tx` (psycopg's, aiosqlite's, SQLAlchemy's around one)
    is awaited. Everything else, synchronous connections and goque's own, is used in up to five threads of the
    manager's, which see the caller's context variables.

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
        self._threads: tuple[int, ThreadPoolExecutor] | None = None

    async def enqueue(
        self,
        type: str,  # noqa: A002 - the column's name, fixed by the contract
        payload: Any = NO_TASK_PAYLOAD,
        *,
        on_conflict: OnConflict = "raise",
        conn: Any = None,
        **options: Unpack[TaskOptions],
    ) -> Task:
        """Insert one task and return it; see `TaskQueueManager.enqueue`."""
        return await self.add_task(Task(type, payload, **options), on_conflict=on_conflict, conn=conn)

    async def add_task(self, task: Task, *, on_conflict: OnConflict = "raise", conn: Any = None) -> Task:
        """Insert a task that was built before; see `TaskQueueManager.add_task`."""
        check_on_conflict(on_conflict)
        [wanted] = self._prepare_alone([task])
        tx = transaction_of(conn)
        with tracing.enqueueing([wanted]):
            done: Task = await self._ask(
                lambda storage: storage.insert_task(wanted, on_conflict=on_conflict, conn=tx), tx
            )
        return done

    async def add_tasks(
        self, tasks: Iterable[Task], *, on_conflict: OnConflict = "raise", conn: Any = None
    ) -> list[Task]:
        """Insert all tasks or none; see `TaskQueueManager.add_tasks`."""
        check_on_conflict(on_conflict)
        return await self._insert(tasks, on_conflict, conn)

    async def add_task_in_background(self, task: Task) -> None:
        """Insert a task soon, in a thread; see `TaskQueueManager.add_task_in_background`."""
        wanted = self._for_background(task)
        if not self._background.offer(wanted):
            await self._in_thread(lambda: self._background.add(wanted))

    async def wait_background_adds(
        self,
        timeout: float | timedelta | None = None,  # noqa: ASYNC109 - the same call as the synchronous one's
    ) -> bool:
        """Wait until nothing is being added in the background; see `TaskQueueManager.wait_background_adds`."""
        seconds = check_timeout(timeout)
        done: bool = await self._in_thread(lambda: self._background.wait(seconds))
        return done

    async def get_task(self, task_id: str, *, conn: Any = None) -> Task:
        """Read one task; see `TaskQueueManager.get_task`."""
        return Task.from_row(await self._read_row(task_id, transaction_of(conn)))

    async def get_tasks(
        self, task_filter: TaskFilter | None = None, limit: int = 100, *, conn: Any = None
    ) -> list[Task]:
        """Read up to `limit` tasks that the filter admits; see `TaskQueueManager.get_tasks`."""
        wanted = check_search(task_filter, limit)
        tx = transaction_of(conn)
        rows: list[TaskRow] = await self._ask(
            lambda storage: storage.find_tasks(wanted, limit=limit, conn=tx), tx
        )
        return [Task.from_any_row(row) for row in rows]

    async def cancel_task(self, task_id: str, *, conn: Any = None) -> bool:
        """Cancel a task and return whether this call did it; see `TaskQueueManager.cancel_task`."""
        check_id(task_id)
        tx = transaction_of(conn)
        canceled: bool = await self._ask(lambda storage: storage.cancel_unless_finished(task_id, conn=tx), tx)
        return canceled

    async def pause_type(self, task_type: str) -> bool:
        """Let no node claim tasks of a type; see `TaskQueueManager.pause_type`."""
        paused: bool = await self._ask(lambda storage: storage.pause_type(task_type), None)
        return paused

    async def resume_type(self, task_type: str) -> bool:
        """Let every node claim tasks of a type again; see `TaskQueueManager.resume_type`."""
        resumed: bool = await self._ask(lambda storage: storage.resume_type(task_type), None)
        return resumed

    async def set_limits(
        self,
        task_type: str,
        *,
        limit: int | msgspec.UnsetType | None = msgspec.UNSET,
        limit_per_key: int | msgspec.UnsetType | None = msgspec.UNSET,
        rate: Rate | msgspec.UnsetType | None = msgspec.UNSET,
    ) -> Limits:
        """Change limits of a type at run time; see `TaskQueueManager.set_limits`."""
        changes = check_changes(limit, limit_per_key, rate)
        limits: Limits = await self._ask(lambda storage: storage.set_limits(task_type, changes), None)
        return limits

    async def clear_limits(self, task_type: str) -> Limits:
        """Forget the limits that were set at run time; see `TaskQueueManager.clear_limits`."""
        limits: Limits = await self._ask(lambda storage: storage.set_limits(task_type, None), None)
        return limits

    async def wait(
        self,
        task_id: str,
        timeout: float | timedelta | None = None,  # noqa: ASYNC109 - the same
    ) -> Task:
        """Wait until a task has ended, and return it; see `TaskQueueManager.wait`."""
        pauses = WaitPauses(f"task {task_id}", timeout)
        row = await self._read_row(task_id, None)
        if row.status in TERMINAL_STATUSES:
            return Task.from_row(row)
        await self._in_thread(lambda: self._storage.keep_for_waiter(row.id, row.type))
        alarm = LoopAlarm()
        with self._storage.on_finished(row.id, row.type, alarm.ring) as is_told:
            while row.status not in TERMINAL_STATUSES:
                await self._pause(pauses.next_pause(row.status, is_notified=is_told()), alarm)
                row = await self._read_row(task_id, None)
        return Task.from_row(row)

    async def ping(self) -> None:
        """Make sure that the database answers and has goque's tables; see `TaskQueueManager.ping`."""
        await self._in_thread(lambda: self._ready_storage().ping())

    async def drain_inline(
        self, registry: HasProcessors, *, types: Sequence[str] | None = None, limit: int = MAX_INLINE_RUNS
    ) -> list[TaskRun]:
        """Run in a thread of this process all that is due; see `TaskQueueManager.drain_inline`.

        Handlers have a loop of their own there, not the caller's. A `def` handler past its timeout is not interrupted,
        as it would be in a main thread: its attempt is charged when it returns.
        """
        from goque.execution.drain import drain  # noqa: PLC0415 - applications do not need it

        await self.wait_background_adds()
        runs: list[TaskRun] = await self._in_thread(
            lambda: drain(self._ready_storage(), registry, types=types, limit=limit)
        )
        return runs

    async def close(self) -> None:
        """Wait for background adds, then close this process's connections; a later call opens new ones."""
        await self.wait_background_adds()
        await self._in_thread(self._storage.close)
        if self._threads is not None:
            self._threads[1].shutdown(wait=False)
            self._threads = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _insert(self, tasks: Iterable[Task], on_conflict: OnConflict, conn: Any) -> list[Task]:
        wanted = self._prepare_alone(tasks)
        tx = transaction_of(conn)
        with tracing.enqueueing(wanted):
            inserted: list[Task] = await self._ask(
                lambda storage: storage.insert_tasks(wanted, on_conflict=on_conflict, conn=tx), tx
            )
        return inserted

    async def _read_row(self, task_id: str, tx: Any) -> TaskRow:
        check_id(task_id)
        return found(await self._ask(lambda storage: storage.get_task(task_id, conn=tx), tx), task_id)

    async def _ask(self, call: Callable[[Any], Any], conn: Any) -> Any:
        """Return what `call` returns of the storage, or of its asyncio calls where `conn` is awaited."""
        if conn is None:
            return await self._in_thread(lambda: call(self._ready_storage()))
        if is_asyncio(conn):
            return await call(self._storage.asyncio_tasks())
        if belongs_to_its_thread(conn):
            raise ConfigurationError(
                "Django's connection belongs to the thread of its transaction: "
                "enqueue there, in sync code, with goque.TaskQueueManager"
            )
        return await _until_it_ends(self._in_thread(lambda: call(self._storage)))

    async def _pause(self, seconds: float, alarm: LoopAlarm) -> None:
        await alarm.wait(seconds)

    def _in_thread(self, call: Callable[[], Any]) -> asyncio.Future[Any]:
        if self._threads is None or self._threads[0] != os.getpid():  # threads do not survive a fork
            self._threads = os.getpid(), ThreadPoolExecutor(THREADS, thread_name_prefix=THREAD_NAME)
        run = contextvars.copy_context().run
        return asyncio.get_running_loop().run_in_executor(self._threads[1], run, call)

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_threads": None}


async def _until_it_ends(working: asyncio.Future[Any]) -> Any:
    """Await a thread that uses the caller's connection, to its end even when canceled: two must not use it at once."""
    try:
        return await asyncio.shield(working)
    except asyncio.CancelledError:
        while not working.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([working])
        raise


class LoopAlarm:
    """Ends the pause of a coroutine early, whatever thread it is rung from."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._rung = asyncio.Event()

    def ring(self) -> None:
        """End the pause that is under way, or else the next."""
        self._loop.call_soon_threadsafe(self._rung.set)

    async def wait(self, seconds: float) -> None:
        """Wait for so long, or until it rings."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._rung.wait(), seconds)
        self._rung.clear()
