"""Reset many tasks: those first that others need, so that these follow."""

from __future__ import annotations

from collections.abc import Iterable

from goque.errors import TaskStateError
from goque.storage.contract import TaskStorage
from goque.task_row import TaskStatus


def oldest_first(newest_first: Iterable[str]) -> list[str]:
    """Return the ids of tasks in the order in which they are to be reset: a need is mostly older than what needs it."""
    return list(newest_first)[::-1]


def reset_or_blocked(storage: TaskStorage, task_id: str, *, keep_steps: bool = False) -> bool:
    """Reset a task that was not blocked; one that is blocked by now has been reset together with its need.

    Raises:
        TaskNotFoundError: there is none.
        TaskStateError: it cannot be reset.
    """
    try:
        return storage.reset_unless_claimed(task_id, keep_steps=keep_steps)
    except TaskStateError:
        row = storage.get_task(task_id)
        if row is None or row.status != TaskStatus.BLOCKED:
            raise
        return True
