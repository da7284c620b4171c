"""The caller's aiomysql connection, in the caller's transaction. aiomysql is PyMySQL for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from typing import Any, Self

import pymysql
from aiomysql import Cursor
from pymysql.constants import SERVER_STATUS

from goque.storage.instants import EPOCH, later
from goque.storage.mysql import rows as mysql_rows
from goque.storage.mysql.session import NOW, UTC_NAMES, Clock, Translated
from goque.storage.sql.placeholders import percent_placeholders, positional
from goque.storage.sql.session import Row


class _QuietCursor(Cursor):  # type: ignore[misc]  # aiomysql ships no types
    """A cursor that does not issue a Python warning for each task that INSERT IGNORE skips."""

    async def _show_warnings(self, conn: Any) -> None: ...


class AsyncCallerSession:
    """The asyncio counterpart of `CallerSession`, made by `begin`."""

    def __init__(self, connection: Any, cursor: Any, where: str) -> None:
        self._connection = connection
        self._cursor = cursor
        self._where = where
        self._now = EPOCH
        self._zone = "UTC"

    @classmethod
    async def begin(cls, connection: Any, where: str, clock: Clock | None) -> Self:
        """Read the server's clock, and the time zone to restore after each statement."""
        session = cls(connection, await connection.cursor(_QuietCursor), where)
        [(now, zone)] = await session.rows(NOW)
        session._now = clock() if clock else mysql_rows.read_time(now)
        session._zone = mysql_rows.read_text(zone)
        return session

    @property
    def now(self) -> Awaitable[datetime]:
        """The server's clock, read at the beginning."""
        return self._read_now()

    async def _read_now(self) -> datetime:
        return self._now

    async def rows(self, sql: str, params: Mapping[str, Any] | None = None) -> list[Row]:
        """Run a statement and return all its rows."""
        async with self._in_utc():
            await self._cursor.execute(*self._bound(sql, params))
            return list(await self._cursor.fetchall())

    async def run(self, sql: str, params: Mapping[str, Any] | None = None) -> int:
        """Run a statement and return how many rows it changed."""
        async with self._in_utc():
            changed: int = await self._cursor.execute(*self._bound(sql, params))
            return changed

    async def run_many(self, sql: str, params: Iterable[Mapping[str, Any]]) -> int:
        """Run a statement once for each set of parameters. An INSERT becomes one statement with many rows."""
        text, values = positional(sql, params)
        async with self._in_utc():
            return await self._cursor.executemany(text, values) or 0

    async def outside(self, call: Callable[[], Any]) -> Any:
        """Return what a blocking call returns that uses another connection."""
        return await asyncio.to_thread(call)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """Join the caller's transaction; in autocommit mode, open one."""
        in_transaction = self._connection.server_status & SERVER_STATUS.SERVER_STATUS_IN_TRANS
        if in_transaction or not self._connection.get_autocommit():
            yield
            return
        with Translated(self._where):
            await self._connection.begin()
            try:
                yield
                await self._connection.commit()
            except BaseException:
                with suppress(pymysql.Error):  # the caller needs the first error
                    await self._connection.rollback()
                raise

    @asynccontextmanager
    async def _in_utc(self) -> AsyncIterator[None]:
        with Translated(self._where):
            if self._zone in UTC_NAMES:
                yield
                return
            await self._cursor.execute("SET time_zone = '+00:00'")
            try:
                yield
            finally:
                with suppress(pymysql.Error):
                    await self._cursor.execute("SET time_zone = %s", (self._zone,))

    def _bound(self, sql: str, params: Mapping[str, Any] | None) -> tuple[str, dict[str, Any]]:
        """Return the statement and its parameters in the driver's form. aiomysql accepts no lists."""
        text, bound = percent_placeholders(sql), dict(params or {})
        if ":now" in sql:
            bound["now"] = mysql_rows.time_text(self._now)
        if "age" in bound:
            bound["before"] = mysql_rows.time_text(later(self._now, -bound["age"]))
        for name, values in list(bound.items()):
            if isinstance(values, list):
                numbered = {f"{name}_{number}": value for number, value in enumerate(values)}
                text = text.replace(f"%({name})s", f"({', '.join(f'%({key})s' for key in numbered)})")
                bound |= numbered
                del bound[name]
        return text, bound
