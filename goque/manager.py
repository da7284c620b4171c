"""The queue as applications see it: enqueue, look, cancel, reset."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Final, Literal, Self

from goque import context
from goque.config import resolve_database_url
from goque.errors import ConfigurationError, TaskNotFoundError
from goque.storage import TaskStorage, open_storage
from goque.task import NO_TASK_PAYLOAD, Task, TaskFilter, TaskRow

_TASK_ID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


class TaskQueueManager:
    """Enqueues tasks and looks after them; thread-safe, and usable after a fork.

    It connects when it is first used. In a `with_tx` block, or with `conn`, it works in the caller's
    transaction, and neither commits nor rolls it back.

    Args:
        url_or_storage: a storage URL, a storage that the manager may close, or None for
            `GOQUE_DATABASE_URL` or the embedded default.
        default_priorities: says the priority of a type's tasks that are enqueued without one.
    """

    def __init__(
        self,
        url_or_storage: str | TaskStorage | None = None,
        *,
        default_priorities: Callable[[str], int] | None = None,
    ) -> None:
        if isinstance(url_or_storage, TaskStorage):
            self._storage = url_or_storage
        else:
            self._storage = open_storage(resolve_database_url(url_or_storage))
        self._default_priorities = default_priorities or (lambda _: 0)
        self._has_schema = False

    @property
    def storage(self) -> TaskStorage:
        """The storage, with its schema made sure of once.

        Raises:
            DatabaseUnavailableError: the database cannot be reached.
            SchemaError: goque's tables are missing or out of date.
        """
        if not self._has_schema:
            self._storage.require_schema()
            self._has_schema = True
        return self._storage

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
        return self.add_task(task, conn=conn)

    def add_task(self, task: Task, *, conn: Any = None) -> Task:
        """Insert a task that was built before, and return it with its times set.

        Raises:
            DuplicateTaskError: its type and external id are taken.
        """
        return self._insert([task], "raise", conn)[0]

    def add_tasks(
        self, tasks: Iterable[Task], *, on_conflict: Literal["raise", "skip"] = "raise", conn: Any = None
    ) -> list[Task]:
        """Insert all tasks or none, in one transaction, and return what was inserted.

        Args:
            tasks: tasks of any types.
            on_conflict: "raise", or "skip" to insert those whose type and external id are free.
            conn: the caller's own connection.

        Raises:
            DuplicateTaskError: a type and external id are taken, by a row or twice in `tasks`.
        """
        if on_conflict not in ("raise", "skip"):
            raise ConfigurationError(f"on_conflict must be 'raise' or 'skip', not {on_conflict!r}")
        return self._insert(list(tasks), on_conflict, conn)

    def _insert(self, tasks: list[Task], on_conflict: Literal["raise", "skip"], conn: Any) -> list[Task]:
        carried = context.values()
        for task in tasks:
            if not isinstance(task, Task):
                raise ConfigurationError(f"only a Task can be added to the queue, not {task!r:.80}")
            task.apply_default_priority(self._default_priorities(task.type))
            if carried:
                task.metadata = {**carried, **task.metadata}
        return self.storage.insert_tasks(tasks, on_conflict=on_conflict, conn=self._tx(conn))

    def get_task(self, task_id: str, *, conn: Any = None) -> Task:
        """Read one task.

        Raises:
            TaskNotFoundError: no task has this id.
        """
        return Task.from_row(self.get_row(task_id, conn=conn))

    def get_row(self, task_id: str, *, conn: Any = None) -> TaskRow:
        """Read one task as its row, whose metadata and result may be anything.

        Raises:
            TaskNotFoundError: no task has this id.
        """
        row = self.storage.get_task(_checked_id(task_id), conn=self._tx(conn))
        if row is None:
            raise TaskNotFoundError(task_id)
        return row

    def get_tasks(
        self, task_filter: TaskFilter | None = None, limit: int = 100, *, conn: Any = None
    ) -> list[Task]:
        """Read up to `limit` tasks that the filter admits, newest first."""
        if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
            raise ConfigurationError(f"limit must be a whole number from 1 up, not {limit!r}")
        rows = self.storage.find_tasks(task_filter or TaskFilter(), limit=limit, conn=self._tx(conn))
        return [Task.from_row(row) for row in rows]

    def cancel_task(self, task_id: str, *, conn: Any = None) -> bool:
        """Cancel a task and return whether this call did it; a terminal task stays as it is.

        A running handler is stopped within `fetch_tick`, as by a timeout.

        Raises:
            TaskNotFoundError: no task has this id.
        """
        return self.storage.cancel_unless_finished(_checked_id(task_id), conn=self._tx(conn))

    def reset_attempts(self, task_id: str, *, conn: Any = None) -> bool:
        """Make an error or terminal task new and due at once; returns False for a task that is new already.

        Raises:
            TaskNotFoundError: no task has this id.
            TaskStateError: the task is claimed, or its node has not let go of it yet.
        """
        return self.storage.reset_unless_claimed(_checked_id(task_id), conn=self._tx(conn))

    def close(self) -> None:
        """Close this process's connection; a later call opens a new one."""
        self._storage.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<TaskQueueManager {self._storage.url}>"

    def __getstate__(self) -> dict[str, Any]:
        """Leave the connection behind when a spawned process gets a copy."""
        return {**self.__dict__, "_has_schema": False}

    @staticmethod
    def _tx(conn: Any) -> Any:
        return context.tx_from_context() if conn is None else conn


def _checked_id(task_id: str) -> str:
    if not isinstance(task_id, str) or not _TASK_ID.fullmatch(task_id):
        raise TaskNotFoundError(task_id)
    return task_id
