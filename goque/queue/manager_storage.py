"""What goque's own modules may do with a manager of either kind, and applications need not."""

from __future__ import annotations

from typing import TypeVar

from goque.queue.manager_base import ManagerBase
from goque.storage import TaskStorage

ManagerT = TypeVar("ManagerT", bound=ManagerBase)


def storage_of(manager: ManagerBase) -> TaskStorage:
    """Return the storage of a manager, whether or not the database has goque's tables."""
    return manager._storage  # noqa: SLF001 - private to goque, not to the class


def same_queue(manager: ManagerBase, kind: type[ManagerT]) -> ManagerT:
    """Return the manager, or one of the other kind on its storage, with its priorities and its checks."""
    if isinstance(manager, kind):
        return manager
    return kind(
        storage_of(manager),
        default_priorities=manager._default_priorities,  # noqa: SLF001 - the same
        prepare_tasks=manager._prepare_tasks,  # noqa: SLF001 - the same
    )


def close_blocking(manager: ManagerBase) -> None:
    """Wait for background adds, then close this process's connections; an asyncio manager too, without its loop."""
    manager._background.wait(None)  # noqa: SLF001 - the same
    manager._storage.close()  # noqa: SLF001 - the same
