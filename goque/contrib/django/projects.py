"""The registry of a Django project. Its queue uses Django's connections, and it renews them around each handler."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from goque.contrib.django.connections import LookedAfter, look_after_connections
from goque.processor import Processor
from goque.registry import Registry

if TYPE_CHECKING:
    from goque.queue.async_manager import AsyncTaskQueueManager
    from goque.queue.manager import TaskQueueManager


class DjangoRegistry(Registry):
    """A registry whose `queue` uses Django's connection, in the transaction of `atomic`.

    Before and after each handler it does what Django does around a request: it closes connections that are too old or
    broken, and clears the query log of DEBUG.
    """

    def _completed(self, made: Processor) -> Processor:
        """Return a processor that looks after Django's connections around each task."""
        if made.spec.is_async:
            return msgspec.structs.replace(made, call=LookedAfter(made.call))
        callbacks = msgspec.structs.replace(
            made.callbacks,
            hooks_before=(look_after_connections, *made.callbacks.hooks_before),
            hooks_after=(*made.callbacks.hooks_after, look_after_connections),
        )
        return msgspec.structs.replace(made, callbacks=callbacks)

    @property
    def queue(self) -> TaskQueueManager:
        """A manager on Django's connection of the calling thread, in its transaction."""
        if self._own_url is not None:
            return super().queue
        if self._queue is None:
            from goque.contrib.django.databases import storage  # noqa: PLC0415 - it needs the settings
            from goque.queue.manager import TaskQueueManager  # noqa: PLC0415 - registering needs no database

            self._queue = TaskQueueManager(storage(), default_priorities=self.default_priority)
        return self._queue

    @property
    def async_queue(self) -> AsyncTaskQueueManager:
        """The same database for asyncio, on separate connections, outside of Django's transactions."""
        if self.database_url is None:
            from goque.contrib.django.databases import database_url  # noqa: PLC0415 - it needs the settings

            self.database_url = database_url()
        return super().async_queue
