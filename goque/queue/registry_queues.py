"""The two managers of a registry. Each process opens its own at the first use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from goque.queue.async_manager import AsyncTaskQueueManager
    from goque.queue.manager import TaskQueueManager
    from goque.storage import TaskStorage
    from goque.task import Task


class HasRules(Protocol):
    """A registry, as far as its managers need it."""

    def prepare_tasks(self, tasks: list[Task]) -> None:
        """Complete tasks by the options of their types, and refuse those that are known to be wrong."""

    def _find_database(self) -> str | TaskStorage:
        """Return the URL or the storage of `queue`."""

    def _find_async_database(self) -> str | TaskStorage:
        """Return the URL or the storage of `async_queue`."""


class RegistryQueues:
    """Opens and closes the managers of a registry, and of those that it includes.

    Attributes:
        own_url: the database that a test gives the registry; None for the one of the settings.
    """

    def __init__(self, registry: HasRules) -> None:
        self._registry = registry
        self._plain: TaskQueueManager | None = None
        self._async: AsyncTaskQueueManager | None = None
        self.own_url: str | None = None

    @property
    def plain(self) -> TaskQueueManager:
        """The manager."""
        if self._plain is None:
            from goque.queue.manager import TaskQueueManager  # noqa: PLC0415 - registering needs no database

            where = self.own_url or self._registry._find_database()  # noqa: SLF001 - frameworks override it
            self._plain = TaskQueueManager(where, prepare_tasks=self._registry.prepare_tasks)
        return self._plain

    @property
    def awaited(self) -> AsyncTaskQueueManager:
        """The manager for asyncio."""
        if self._async is None:
            from goque.queue.async_manager import AsyncTaskQueueManager  # noqa: PLC0415 - the same

            where = self.own_url or self._registry._find_async_database()  # noqa: SLF001 - the same
            self._async = AsyncTaskQueueManager(where, prepare_tasks=self._registry.prepare_tasks)
        return self._async

    async def aclose(self) -> None:
        """Close the managers of this process, after their background adds; a later use opens new ones."""
        plain, awaited = self._plain, self._async
        self._plain = self._async = None
        if plain is not None:
            import asyncio  # noqa: PLC0415 - apps without asyncio need none of its 2 MiB

            await asyncio.to_thread(plain.close)
        if awaited is not None:
            await awaited.close()

    def use_database(self, url: str | None) -> str | None:
        """Use another database from now on, or None for the one of the settings; return the one before."""
        if self._plain is not None:
            self._plain.close()
        if self._async is not None:
            from goque.queue.manager_storage import close_blocking  # noqa: PLC0415 - only tests need it

            close_blocking(self._async)
        before, self.own_url = self.own_url, url
        self._plain = self._async = None
        return before

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "own_url": None, "_plain": None, "_async": None}
