"""The caller's own connection, unwrapped from SQLAlchemy or Django without importing either."""

from __future__ import annotations

import inspect
import select
from functools import lru_cache
from typing import Any, Final

from goque.errors import ConfigurationError

_INSTEAD: Final = {
    "asyncpg": "postgresql+psycopg",
    "psycopg2": "postgresql+psycopg",
    "pg8000": "postgresql+psycopg",
    "MySQLdb": "mysql+pymysql",
    "asyncmy": "mysql+aiomysql",
}
"""Drivers that SQLAlchemy knows and goque does not, each with the dialect and driver to use in its place."""

HUNG_UP: Final = getattr(select, "POLLRDHUP", 0)
"""The event of a peer that has closed, where the system has it; an error is an event everywhere."""


def unwrap_connection(conn: Any) -> Any:
    """Return the driver's connection inside of what the caller has.

    A SQLAlchemy connection that has not begun yet is made to, as it would by its next statement: else its
    `commit()` would not know that there is something to commit.

    Raises:
        ConfigurationError: it is one of asyncio's, or an engine, which has no transaction.
    """
    if is_asyncio(conn):
        raise ConfigurationError(
            f"conn is a {kind_of(conn)}, an asyncio connection; "
            "enqueue with goque.AsyncTaskQueueManager, or give a synchronous connection"
        )
    if callable(getattr(conn, "connect", None)) and callable(getattr(conn, "dispose", None)):
        raise ConfigurationError(
            f"conn is a {kind_of(conn)}; give the Connection or Session that has the transaction, "
            "such as one from engine.connect()"
        )
    if callable(getattr(conn, "connection", None)) and callable(getattr(conn, "get_bind", None)):
        conn = conn.connection()  # a SQLAlchemy Session lends its Connection
    if callable(getattr(conn, "exec_driver_sql", None)) and callable(getattr(conn, "in_transaction", None)):
        if not conn.in_transaction():
            conn.begin()
        conn = conn.connection  # a SQLAlchemy Connection holds a pooled one
    if belongs_to_its_thread(conn):
        conn = _open_as_django_does(conn)
    return getattr(conn, "driver_connection", None) or getattr(conn, "dbapi_connection", None) or conn


def _open_as_django_does(wrapper: Any) -> Any:
    """Check Django's connection as its own cursors do, open it if need be, and return the driver's.

    Raises:
        TransactionManagementError: Django's; an error has broken the transaction, which will be rolled back.
    """
    wrapper.validate_no_broken_transaction()
    if not wrapper.in_atomic_block:
        close_if_hung_up(wrapper)
    wrapper.close_if_health_check_failed()
    wrapper.ensure_connection()
    return wrapper.connection


def close_if_hung_up(wrapper: Any) -> None:
    """Close Django's connection if the server has closed it. That takes one system call, and no round trip."""
    if wrapper.connection is not None and _has_hung_up(wrapper.connection) and not wrapper.is_usable():
        wrapper.close()


def _has_hung_up(connection: Any) -> bool:
    """Return whether the server, or an error, has closed the connection of a driver."""
    try:
        socket = connection if hasattr(connection, "fileno") else connection._sock  # noqa: SLF001 - PyMySQL shows it not
        descriptor = socket.fileno()
    except AttributeError:
        return getattr(connection, "open", True) is False  # a file of SQLite's has no socket
    except Exception:  # noqa: BLE001 - each driver has its own error for a closed connection
        return True
    poll = select.poll()
    poll.register(descriptor, HUNG_UP)
    return bool(poll.poll(0))


def note_error(conn: Any) -> None:
    """Have Django check its connection before the next request, as it does after an error in its own statements."""
    if belongs_to_its_thread(conn):
        conn.errors_occurred = True


async def unwrap_asyncio_connection(conn: Any) -> Any:
    """Do the same for a connection of asyncio's."""
    if callable(getattr(conn, "get_bind", None)):
        conn = await conn.connection()  # a SQLAlchemy AsyncSession lends its AsyncConnection
    if callable(getattr(conn, "get_raw_connection", None)):
        if not conn.in_transaction():
            await conn.begin()
        conn = (await conn.get_raw_connection()).driver_connection
    return conn


def is_asyncio(conn: Any) -> bool:
    """Return whether a connection is awaited."""
    kind: Any = type(conn)
    return _is_awaited(kind)


@lru_cache(maxsize=128)
def _is_awaited(kind: Any) -> bool:
    """Tell by what every kind of asyncio connection has: a coroutine for one of these."""
    return any(inspect.iscoroutinefunction(getattr(kind, name, None)) for name in ("commit", "execute"))


def is_of(connection: Any, package: str) -> bool:
    """Return whether a connection is of a driver that need not be installed."""
    return any(kind.__module__.partition(".")[0] == package for kind in type(connection).__mro__)


def not_of_driver(connection: Any, driver: str, why: str) -> ConfigurationError:
    """Say that a connection is of another driver than the one that goque uses there."""
    instead = _INSTEAD.get(type(connection).__module__.partition(".")[0])
    return ConfigurationError(
        f"conn must be a {driver} connection, for {why}; it is a {kind_of(connection)}"
        + (f"; with SQLAlchemy, write {instead}:// in the engine's URL" if instead else "")
    )


def kind_of(conn: Any) -> str:
    """Return the name of a connection's class as an import would say it."""
    kind = type(conn)
    return f"{kind.__module__}.{kind.__qualname__}"


def belongs_to_its_thread(conn: Any) -> bool:
    """Return whether a connection is Django's, which in another thread is another connection."""
    return callable(getattr(conn, "ensure_connection", None))
