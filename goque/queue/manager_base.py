"""What `TaskQueueManager` and `AsyncTaskQueueManager` share: their parts, their checks, and how `wait` pauses."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterable
from typing import Any, Final

from goque import context
from goque.config import resolve_database_url
from goque.errors import ConfigurationError, TaskNotFoundError, WaitTimeoutError, length
from goque.handlers.flow import refuse_tasks_of_flows
from goque.identifiers import is_task_id
from goque.queue.background import BackgroundAdds
from goque.storage import TaskStorage, open_storage
from goque.task import Task
from goque.task_filter import TaskFilter
from goque.task_row import TaskRow
from goque.telemetry import tracing

log: Final = logging.getLogger("goque.background")

MAX_TASKS: Final = 1_000_000_000
MAX_INLINE_RUNS: Final = 10_000
FIRST_PAUSE: Final = 0.01
PAUSE_GROWTH: Final = 1.5
MAX_PAUSE: Final = 0.5
"""Seconds between two reads of a task that a caller waits for. The pause reaches half a second after ten reads."""

MAX_NOTIFIED_PAUSE: Final = 1.0
"""The longest pause where the database notifies of finished tasks. It does not for tasks that the healer finishes."""

PrepareTasks = Callable[[list[Task]], object]


class ManagerBase:
    """What a manager has: a storage, the default priorities, and the background adds."""

    def __init__(
        self,
        url_or_storage: str | TaskStorage | None,
        *,
        default_priorities: Callable[[str], int] | None,
        prepare_tasks: PrepareTasks | None,
    ) -> None:
        if not isinstance(url_or_storage, str | TaskStorage | None):
            raise ConfigurationError(
                f"url_or_storage must be a URL, a storage or None, not {url_or_storage!r:.80}"
            )
        if default_priorities is not None and not callable(default_priorities):
            raise ConfigurationError(
                f"default_priorities must be a function of a type, not {default_priorities!r:.80}"
            )
        if prepare_tasks is not None and not callable(prepare_tasks):
            raise ConfigurationError(f"prepare_tasks must be a function of tasks, not {prepare_tasks!r:.80}")
        if isinstance(url_or_storage, TaskStorage):
            self._storage = url_or_storage
        else:
            self._storage = open_storage(resolve_database_url(url_or_storage))
        self._default_priorities = default_priorities
        self._prepare_tasks = prepare_tasks
        self._has_schema = False
        self._background = BackgroundAdds(self._insert_free)

    def _ready_storage(self) -> TaskStorage:
        """Return the storage, with its schema made sure of once."""
        if not self._has_schema:
            self._storage.require_schema()
            self._has_schema = True
        return self._storage

    def _with_default_priorities(self, tasks: list[Task]) -> list[Task]:
        if self._default_priorities:
            for task in tasks:
                task.apply_default_priority(self._default_priorities(task.type))
        return tasks

    def _prepare_alone(self, tasks: Iterable[Task]) -> list[Task]:
        """Prepare tasks that no flow inserts, and refuse others."""
        wanted = self._prepare(tasks)
        refuse_tasks_of_flows(wanted)
        return wanted

    def _prepare(self, tasks: Iterable[Task]) -> list[Task]:
        """Return tasks with the values of the context and what their types give them, if none is refused."""
        wanted = with_values_of_context(tasks)
        if self._prepare_tasks:
            self._prepare_tasks(wanted)
        return self._with_default_priorities(wanted)

    def _for_background(self, task: Task) -> Task:
        """Complete a task where it is given away; a transaction around it is left, with a warning."""
        [wanted] = self._prepare_alone([task])
        if wanted.unique_rule is not None:
            wanted.unique_rule.refuse_incomplete()  # here, where the caller learns of it
        if context.tx_from_context() is not None:
            log.warning(
                "the task of type %r with external id %r is added in the background, outside of the transaction of "
                "with_tx: a rollback does not remove it; call add_task to add it in the transaction",
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
    if not isinstance(tasks, (list, Iterable)):  # most are lists, and an abstract class is slow to ask
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
    if not isinstance(task_id, str) or not is_task_id(task_id):
        raise TaskNotFoundError(task_id)


def transaction_of(conn: Any) -> Any:
    """Return the caller's connection: `conn`, or that of the surrounding `with_tx`, or None."""
    return context.tx_from_context() if conn is None else conn


def check_search(task_filter: TaskFilter | None, limit: int) -> TaskFilter:
    """Return the filter of a search, and refuse a wrong filter or limit."""
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= MAX_TASKS:
        raise ConfigurationError(f"limit must be a whole number from 1 to {MAX_TASKS}, not {limit!r:.80}")
    if task_filter is not None and not isinstance(task_filter, TaskFilter):
        raise ConfigurationError(f"give get_tasks a goque.TaskFilter(…), not {task_filter!r:.80}")
    return task_filter or TaskFilter()


def found(row: TaskRow | None, task_id: str) -> TaskRow:
    """Return the row of a task, or raise TaskNotFoundError if there is none."""
    if row is None:
        raise TaskNotFoundError(task_id)
    return row


class WaitPauses:
    """How long `wait` pauses between two reads of a task or a flow, and when it gives up.

    Args:
        what: what is waited for, for the error.
        timeout: seconds or a timedelta; None to wait as long as it takes.
    """

    def __init__(self, what: str, timeout: object) -> None:
        self._what = what
        self._timeout = check_timeout(timeout)
        self._end = math.inf if self._timeout is None else time.monotonic() + self._timeout
        self._pause = FIRST_PAUSE / PAUSE_GROWTH

    def next_pause(self, status: str, *, is_notified: bool) -> float:
        """Return the seconds until the next read.

        Args:
            status: the status of the task now.
            is_notified: whether the database notifies this process when the task finishes.

        Raises:
            WaitTimeoutError: the timeout is over.
        """
        left = self._end - time.monotonic()
        if left <= 0:
            raise WaitTimeoutError(f"{self._what} is still {status} after {self._timeout:g}s")
        longest = MAX_NOTIFIED_PAUSE if is_notified else MAX_PAUSE
        self._pause = min(self._pause * PAUSE_GROWTH, longest)
        return min(self._pause, left)
