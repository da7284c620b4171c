"""What both managers do, written once: `TaskQueueManager` runs it at once, `AsyncTaskQueueManager` awaits it."""

from __future__ import annotations

import logging
import math
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any, Final, Literal, Protocol

from goque import context
from goque.config import resolve_database_url
from goque.errors import ConfigurationError, TaskNotFoundError, WaitTimeoutError, length
from goque.queue.background import BackgroundAdds
from goque.storage import TaskStorage, open_storage
from goque.task import TERMINAL_STATUSES, Task, TaskFilter, TaskRow
from goque.telemetry import tracing

log: Final = logging.getLogger("goque.background")

MAX_TASKS: Final = 1_000_000_000
MAX_INLINE_RUNS: Final = 10_000
FIRST_PAUSE: Final = 0.01
PAUSE_GROWTH: Final = 1.5
MAX_PAUSE: Final = 0.5
"""Seconds between two looks at a task that is waited for; ten looks come before the pause is half a second."""

MAX_TOLD_PAUSE: Final = 1.0
"""The same where the database tells of the end; what others end, such as the healer, it does not tell of."""

OnConflict = Literal["raise", "skip"]

_TASK_ID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


class Alarm(Protocol):
    """Ends a pause early."""

    def ring(self) -> None:
        """End the pause that is under way, or else the next; may be called from any thread."""


class ManagerBase(ABC):
    """A storage, and what is asked of it; how, a subclass says."""

    def __init__(
        self, url_or_storage: str | TaskStorage | None, default_priorities: Callable[[str], int] | None
    ) -> None:
        if not isinstance(url_or_storage, str | TaskStorage | None):
            raise ConfigurationError(
                f"url_or_storage must be a URL, a storage or None, not {url_or_storage!r:.80}"
            )
        if default_priorities is not None and not callable(default_priorities):
            raise ConfigurationError(
                f"default_priorities must be a function of a type, not {default_priorities!r:.80}"
            )
        if isinstance(url_or_storage, TaskStorage):
            self._storage = url_or_storage
        else:
            self._storage = open_storage(resolve_database_url(url_or_storage))
        self._default_priorities = default_priorities
        self._has_schema = False
        self._background = BackgroundAdds(self._insert_free)

    @abstractmethod
    async def _ask(self, call: Callable[[Any], Any], conn: Any) -> Any:
        """Return what `call` returns, given the storage or, where `conn` is awaited, `storage.awaited()`."""

    @abstractmethod
    def _new_alarm(self) -> Alarm:
        """Make an alarm that `_pause` hears."""

    @abstractmethod
    async def _pause(self, seconds: float, alarm: Any) -> None:
        """Do nothing for so long, or until the alarm rings."""

    def _ready_storage(self) -> TaskStorage:
        """Return the storage, with its schema made sure of once."""
        if not self._has_schema:
            self._storage.require_schema()
            self._has_schema = True
        return self._storage

    def _storage_for(self, conn: Any) -> TaskStorage:
        """Return the storage; in a caller's transaction the statement itself tells whether the tables are there."""
        return self._ready_storage() if conn is None else self._storage

    def _with_default_priorities(self, tasks: list[Task]) -> list[Task]:
        if self._default_priorities:
            for task in tasks:
                task.apply_default_priority(self._default_priorities(task.type))
        return tasks

    async def _add(self, tasks: Iterable[Task], on_conflict: OnConflict, conn: Any) -> list[Task]:
        if on_conflict not in ("raise", "skip"):
            raise ConfigurationError(f"on_conflict must be 'raise' or 'skip', not {on_conflict!r}")
        wanted = self._with_default_priorities(with_values_of_context(tasks))
        tx = _tx(conn)
        with tracing.enqueueing(wanted):
            added: list[Task] = await self._ask(
                lambda storage: storage.insert_tasks(wanted, on_conflict=on_conflict, conn=tx), tx
            )
        return added

    async def _get_row(self, task_id: str, conn: Any) -> TaskRow:
        return await self._read_row(task_id, _tx(conn))

    async def _read_row(self, task_id: str, tx: Any) -> TaskRow:
        check_id(task_id)
        row: TaskRow | None = await self._ask(lambda storage: storage.get_task(task_id, conn=tx), tx)
        if row is None:
            raise TaskNotFoundError(task_id)
        return row

    async def _get_task(self, task_id: str, conn: Any) -> Task:
        return Task.from_row(await self._get_row(task_id, conn))

    async def _get_tasks(self, task_filter: TaskFilter | None, limit: int, conn: Any) -> list[Task]:
        if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= MAX_TASKS:
            raise ConfigurationError(f"limit must be a whole number from 1 to {MAX_TASKS}, not {limit!r:.80}")
        if task_filter is not None and not isinstance(task_filter, TaskFilter):
            raise ConfigurationError(f"give get_tasks a goque.TaskFilter(…), not {task_filter!r:.80}")
        tx = _tx(conn)
        wanted = task_filter or TaskFilter()
        rows: list[TaskRow] = await self._ask(
            lambda storage: storage.find_tasks(wanted, limit=limit, conn=tx), tx
        )
        return [Task.from_row(row) for row in rows]

    async def _cancel(self, task_id: str, conn: Any) -> bool:
        check_id(task_id)
        tx = _tx(conn)
        canceled: bool = await self._ask(lambda storage: storage.cancel_unless_finished(task_id, conn=tx), tx)
        return canceled

    async def _reset(self, task_id: str, conn: Any) -> bool:
        check_id(task_id)
        tx = _tx(conn)
        reset: bool = await self._ask(lambda storage: storage.reset_unless_claimed(task_id, conn=tx), tx)
        return reset

    async def _switch_type(self, task_type: str, *, pause: bool) -> bool:
        switched: bool = await self._ask(
            lambda storage: storage.pause_type(task_type) if pause else storage.resume_type(task_type), None
        )
        return switched

    async def _wait(self, task_id: str, timeout: object) -> Task:  # noqa: ASYNC109 - it serves the synchronous one too
        longest = check_timeout(timeout)
        end = math.inf if longest is None else time.monotonic() + longest
        pause = FIRST_PAUSE
        row = await self._read_row(task_id, None)
        if row.status in TERMINAL_STATUSES:
            return Task.from_row(row)
        alarm = self._new_alarm()
        with self._storage.told_of_end(row.id, row.type, alarm.ring) as is_told:
            while row.status not in TERMINAL_STATUSES:
                left = end - time.monotonic()
                if left <= 0:
                    raise WaitTimeoutError(f"task {task_id} is still {row.status} after {longest:g}s")
                await self._pause(min(pause, left), alarm)
                pause = min(pause * PAUSE_GROWTH, MAX_TOLD_PAUSE if is_told() else MAX_PAUSE)
                row = await self._read_row(task_id, None)
        return Task.from_row(row)

    def _for_background(self, task: Task) -> Task:
        """Complete a task where it is given away; a transaction around it is left, with a warning."""
        [wanted] = self._with_default_priorities(with_values_of_context([task]))
        if context.tx_from_context() is not None:
            log.warning(
                "task of type %r with external id %r is added in the background, so outside of the transaction "
                "of with_tx: it stays when that is rolled back; use add_task for the transaction",
                task.type,
                task.external_id,
                extra={"task_type": task.type, "task_id": task.id},
            )
        with tracing.enqueueing([wanted]):
            return wanted

    def _insert_free(self, tasks: list[Task]) -> list[Task]:
        return self._ready_storage().insert_tasks(tasks, on_conflict="skip")

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._storage.url}>"

    def __getstate__(self) -> dict[str, Any]:
        """Leave the connection and the background behind when a spawned process gets a copy."""
        return {**self.__dict__, "_has_schema": False, "_background": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._background = BackgroundAdds(self._insert_free)


def with_values_of_context(tasks: Iterable[Task]) -> list[Task]:
    """Return the tasks with the values of the surrounding blocks in their metadata; their own win."""
    if not isinstance(tasks, Iterable):
        raise ConfigurationError(f"tasks must be an iterable of goque.Task, not {tasks!r:.80}")
    wanted = list(tasks)
    carried = context.values()
    for task in wanted:
        if not isinstance(task, Task):
            raise ConfigurationError(f"only a Task can be added to the queue, not {task!r:.80}")
        if carried:
            task.metadata = {**carried, **task.metadata}
    return wanted


def check_timeout(timeout: object) -> float | None:
    """Return a timeout in seconds, or None for none."""
    return None if timeout is None else length(timeout, "timeout")


def check_id(task_id: str) -> None:
    """Refuse what cannot be the id of a task: no task has it."""
    if not isinstance(task_id, str) or not _TASK_ID.fullmatch(task_id):
        raise TaskNotFoundError(task_id)


def _tx(conn: Any) -> Any:
    return context.tx_from_context() if conn is None else conn
