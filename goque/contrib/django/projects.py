"""The registry of a Django project. Its queue uses Django's connections, and it renews them around each handler."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from goque.contrib.django.connections import LookedAfter, look_after_connections
from goque.handlers.processor import Processor
from goque.registry import Registry

if TYPE_CHECKING:
    from goque.storage import TaskStorage


class DjangoRegistry(Registry):
    """A registry whose `queue` uses Django's connection, in the transaction of `atomic`.

    Before and after each handler it does what Django does around a request: it closes connections that are too old or
    broken, and clears the query log of DEBUG.
    """

    def _completed(self, made: Processor) -> Processor:
        """Return a processor that looks after Django's connections around each task."""
        if isinstance(made.call, LookedAfter) or look_after_connections in made.callbacks.hooks_before:
            return made
        if made.spec.is_async:
            return msgspec.structs.replace(made, call=LookedAfter(made.call))
        callbacks = msgspec.structs.replace(
            made.callbacks,
            hooks_before=(look_after_connections, *made.callbacks.hooks_before),
            hooks_after=(*made.callbacks.hooks_after, look_after_connections),
        )
        return msgspec.structs.replace(made, callbacks=callbacks)

    def _find_database(self) -> TaskStorage:
        """Return the storage on Django's connection of the calling thread, in its transaction."""
        from goque.contrib.django.databases import storage  # noqa: PLC0415 - it needs the settings

        return storage()

    def _find_async_database(self) -> str:
        """Return the URL of the same database, for separate connections, outside of Django's transactions."""
        if self.database_url is None:
            from goque.contrib.django.databases import database_url  # noqa: PLC0415 - it needs the settings

            self.database_url = database_url()
        return super()._find_async_database()
