"""Django's connections in workers: old, broken and inherited ones are closed, so that Django opens new ones."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from goque.storage.sql.caller_connection import close_if_hung_up


def look_after_connections(task: object = None, error: object = None) -> None:
    """Close the connections that Django would close around a request, but none in a transaction, such as a test's.

    A connection that the server has closed is closed at any age: an idle worker finds out before it runs its task.
    """
    del task, error
    from django.db import reset_queries  # noqa: PLC0415 - it needs the settings

    reset_queries()
    for connection in _outside_transactions():
        close_if_hung_up(connection)
        connection.close_if_unusable_or_obsolete()


def _replace_broken_connections() -> None:
    """Close connections that do not work, and no other: a handler may be reading rows from them."""
    for connection in _outside_transactions():
        close_if_hung_up(connection)
        if connection.errors_occurred and connection.connection is not None:
            if connection.is_usable():
                connection.errors_occurred = False
            else:
                connection.close()


def close_connections() -> None:
    """Close all connections of this thread that are not in a transaction."""
    for connection in _outside_transactions():
        connection.close()


def _outside_transactions() -> list[Any]:
    """Return this thread's connections that are not in a transaction."""
    from django.db import connections  # noqa: PLC0415 - it needs the settings

    return [one for one in connections.all(initialized_only=True) if not one.in_atomic_block]


class Opened:
    """Whether this process has opened a connection of Django's. Until then, no thread is asked to look after any."""

    def __init__(self) -> None:
        self.any = False

    def note(self, **signal: Any) -> None:
        """Receive Django's signal `connection_created`."""
        del signal
        self.any = True


opened: Final = Opened()


class LookedAfter:
    """An `async def` handler, before and after which the connections of `sync_to_async`'s thread are looked after.

    All handlers of a process share that thread. While others are running, only broken connections are closed.
    """

    def __init__(self, handler: Callable[[Any], Awaitable[Any]]) -> None:
        self._handler = handler

    async def __call__(self, argument: Any) -> Any:
        """Run the handler."""
        await self._look_after()
        mark = object()
        _in_flight.add(mark)
        try:
            returned = await self._handler(argument)
        except Exception:
            _in_flight.discard(mark)
            await self._look_after()
            raise
        finally:
            _in_flight.discard(
                mark
            )  # after a cancel, the next task looks: the thread may still be in a query
        await self._look_after()
        return returned

    async def _look_after(self) -> None:
        if not opened.any:
            return
        from asgiref.sync import sync_to_async  # noqa: PLC0415 - Django has loaded it where a connection is open

        await sync_to_async(_replace_broken_connections if _in_flight else look_after_connections)()


_in_flight: Final[set[object]] = set()
