"""Spare connections for an application's threads, in a psycopg_pool that is created when it is first needed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, cast

from goque.storage.sql.session import Session

if TYPE_CHECKING:
    from psycopg_pool import ConnectionPool

    from goque.storage.postgresql.connection import DeadlineConnection
    from goque.storage.postgresql.session import PostgresqlSession

MAX_CONNECTIONS: Final = 4
"""Connections in the pool. The process has one more, outside of it."""

PATIENCE: Final = 2.0
"""Seconds that a thread waits for a free connection."""

IDLE: Final = 60.0
"""Seconds after which the pool closes an unused connection."""


class PostgresqlPool:
    """A pool that opens connections on demand and closes them when they are idle.

    Args:
        kind: the class of its connections.
        options: the keyword arguments of `kind.connect`.
        wrap: makes a session from a connection.
    """

    def __init__(
        self,
        kind: type[DeadlineConnection],
        options: dict[str, Any],
        wrap: Callable[[DeadlineConnection], PostgresqlSession],
    ) -> None:
        self._kind = kind
        self._options = options
        self._wrap = wrap
        self._lock = threading.Lock()
        self._pool: ConnectionPool[DeadlineConnection] | None = None

    def take(self) -> PostgresqlSession | None:
        """Return a connection, or None if the pool could not provide one within two seconds."""
        from psycopg_pool import PoolTimeout  # noqa: PLC0415 - most processes never need a pool

        try:
            return self._wrap(self._opened().getconn(timeout=PATIENCE))
        except PoolTimeout:
            return None

    def give_back(self, session: Session, *, broken: bool) -> None:
        """Take a connection back; the pool replaces one that is closed."""
        connection = cast("PostgresqlSession", session).connection
        if broken:
            connection.close()
        if self._pool is not None:
            self._pool.putconn(cast("DeadlineConnection", connection))
        else:
            connection.close()

    def forget_idle(self) -> None:
        """Close the connections that are not in use, because the server has just cut or refused another one.

        This needs `drain`, which psycopg_pool has since 3.3. Before, idle connections that still answer stay
        until the server rejects a write on them.
        """
        drain = getattr(self._pool, "drain", None)
        if drain is not None:
            drain()

    def close(self) -> None:
        """Close the pool; the next use opens another."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.close()

    def after_fork(self) -> None:
        """Leave the pool to the parent process, because its threads run there."""
        self._lock = threading.Lock()
        pool, self._pool = self._pool, None
        if pool is not None:
            _abandoned.append(pool)

    def _opened(self) -> ConnectionPool[DeadlineConnection]:
        from psycopg_pool import ConnectionPool  # noqa: PLC0415 - the same

        with self._lock:
            if self._pool is None:
                self._pool = ConnectionPool(
                    connection_class=self._kind,
                    kwargs=self._options,
                    min_size=0,
                    max_size=MAX_CONNECTIONS,
                    max_idle=IDLE,
                    num_workers=1,
                    open=True,
                )
            return self._pool


_abandoned: Final[list[Any]] = []
