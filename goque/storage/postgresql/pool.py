"""Spare connections for an application's threads: a psycopg_pool that exists from when it is first needed."""

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
"""With the connection that a process has anyway it holds five at most."""

PATIENCE: Final = 2.0
IDLE: Final = 60.0


class PostgresqlPool:
    """A pool that begins and ends with no connection.

    Args:
        kind: the class of its connections.
        options: what `kind.connect` takes.
        wrap: makes a session of a connection.
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
        """Return a connection, or None when none came free or could be made within two seconds."""
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
        """Let go of the connections that are not in use: the server has just cut or refused another one.

        Before psycopg_pool 3.3, which has `drain`, those that still answer stay until they refuse a write.
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
        """Leave the pool to the parent, where its threads are."""
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
