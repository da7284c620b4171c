"""What goque's own modules may do with a manager of either kind, and applications need not."""

from __future__ import annotations

from goque.queue.manager_base import ManagerBase
from goque.storage import TaskStorage


def storage_of(manager: ManagerBase) -> TaskStorage:
    """Return the storage of a manager, whether or not the database has goque's tables."""
    return manager._storage  # noqa: SLF001 - private to goque, not to the class


def close_blocking(manager: ManagerBase) -> None:
    """Wait for background adds, then close this process's connections; an asyncio manager too, without its loop."""
    manager._background.wait(None)  # noqa: SLF001 - the same
    manager._storage.close()  # noqa: SLF001 - the same
