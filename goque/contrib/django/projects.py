"""The registry of a Django project: its queue is on Django's connections, and its handlers find them fresh."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Unpack

import msgspec

from goque.registry import Registry

if TYPE_CHECKING:
    from goque.options import ProcessorKeywords
    from goque.queue.async_manager import AsyncTaskQueueManager
    from goque.queue.manager import TaskQueueManager


class DjangoRegistry(Registry):
    """A registry whose `queue` works on Django's connection, in the transaction that `atomic` has open there.

    Around each `def` handler Django's connections are looked after as around a request: those that are too old or
    broken are closed, and the log of queries that DEBUG keeps is emptied.
    """

    def add_processor(self, task_type: str, processor: Any, /, **options: Unpack[ProcessorKeywords]) -> None:
        """Register a processor, as `Registry.add_processor` does."""
        super().add_processor(task_type, processor, **options)
        made = self._processors.get(task_type)
        if made.spec.is_async:
            return  # Django's connections are in the threads of sync_to_async, not in the loop's
        callbacks = msgspec.structs.replace(
            made.callbacks,
            hooks_before=(look_after_connections, *made.callbacks.hooks_before),
            hooks_after=(*made.callbacks.hooks_after, look_after_connections),
        )
        self._processors.put(msgspec.structs.replace(made, callbacks=callbacks))

    @property
    def queue(self) -> TaskQueueManager:
        """A manager on Django's connection of the calling thread, in the transaction that it has open."""
        if self._own_url is not None:
            return super().queue
        if self._queue is None:
            from goque.contrib.django.databases import storage  # noqa: PLC0415 - it needs the settings
            from goque.queue.manager import TaskQueueManager  # noqa: PLC0415 - registering needs no database

            self._queue = TaskQueueManager(storage(), default_priorities=self.default_priority)
        return self._queue

    @property
    def async_queue(self) -> AsyncTaskQueueManager:
        """The same database for asyncio, on connections of its own, outside of Django's transactions."""
        if self.database_url is None:
            from goque.contrib.django.databases import database_url  # noqa: PLC0415 - it needs the settings

            self.database_url = database_url()
        return super().async_queue


def look_after_connections(task: object, error: object = None) -> None:
    """Close what Django would close at either end of a request, but nothing amid a transaction, such as a test's."""
    del task, error
    from django.db import connections, reset_queries  # noqa: PLC0415 - it needs the settings

    reset_queries()
    for connection in connections.all(initialized_only=True):
        if not connection.in_atomic_block:
            connection.close_if_unusable_or_obsolete()
