"""The caller's psycopg.AsyncConnection, in the caller's transaction."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import psycopg
from psycopg.pq import Format, TransactionStatus
from psycopg.rows import tuple_row

from goque.storage.instants import later, time_text
from goque.storage.postgresql import rows as postgresql_rows
from goque.storage.postgresql.session import NOW, Clock, Translated
from goque.storage.sql.placeholders import percent_placeholders
from goque.storage.sql.session import Row


class AsyncCallerSession:
    """The asyncio counterpart of `CallerSession`."""

    def __init__(self, connection: psycopg.AsyncConnection[Any], where: str, clock: Clock | None) -> None:
        self._connection = connection
        self._where = where
        self._clock = clock
        self._now: datetime | None = None
        self._cursor = psycopg.AsyncCursor(connection, row_factory=tuple_row)
        self._cursor.format = Format.BINARY
        postgresql_rows.register(self._cursor)

    @property
    def now(self) -> Awaitable[datetime]:
        """The server's clock, read at the first use."""
        return self._read_now()

    async def _read_now(self) -> datetime:
        if self._now is None:
            self._now = (
                self._clock() if self._clock else postgresql_rows.instant((await self.rows(NOW))[0][0])
            )
        return self._now

    async def rows(self, sql: str, params: Mapping[str, Any] | None = None) -> list[Row]:
        """Run a statement and return all its rows."""
        bound = await self._bind(sql, params)
        with Translated(self._where):
            cursor = await self._cursor.execute(percent_placeholders(sql), bound)
            return list(await cursor.fetchall()) if cursor.description else []

    async def run(self, sql: str, params: Mapping[str, Any] | None = None) -> int:
        """Run a statement and return how many rows it changed."""
        bound = await self._bind(sql, params)
        with Translated(self._where):
            return (await self._cursor.execute(percent_placeholders(sql), bound)).rowcount

    async def run_many(self, sql: str, params: Iterable[Mapping[str, Any]]) -> int:
        """Run a statement once for each set of parameters, in one round trip for all."""
        bound = [await self._bind(sql, each) for each in params]
        if not bound:
            return 0
        with Translated(self._where):
            await self._cursor.executemany(percent_placeholders(sql), bound)
            return self._cursor.rowcount

    async def outside(self, call: Callable[[], Any]) -> Any:
        """Return what a blocking call returns that uses another connection."""
        return await asyncio.to_thread(call)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """Join the caller's transaction, which psycopg begins at the first statement; in autocommit mode, open one."""
        status = self._connection.pgconn.transaction_status
        if self._connection.autocommit and status == TransactionStatus.IDLE:
            with Translated(self._where):
                async with self._connection.transaction():
                    yield
        else:
            yield

    async def _bind(self, sql: str, params: Mapping[str, Any] | None) -> Mapping[str, Any]:
        bound = dict(params) if params else {}
        if ":now" in sql:
            bound["now"] = time_text(await self._read_now())
        if "age" in bound:
            bound["before"] = time_text(later(await self._read_now(), -bound["age"]))
        return bound
