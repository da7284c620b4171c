"""Sessions as steps see them: whatever they ask is awaited, so that one text serves every kind of connection."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Mapping
from datetime import datetime
from typing import Any, Protocol, TypeVar

from goque.storage.sql.session import Row, Session

ResultT = TypeVar("ResultT")


class AsyncSession(Protocol):
    """One connection in a transaction: a synchronous one that answers at once, or one of asyncio's."""

    async def now(self) -> datetime:
        """Return the database's clock, the same from the start of a transaction to its end."""

    async def rows(self, sql: str, params: Mapping[str, Any] | None = None) -> list[Row]:
        """Run a statement and return all its rows; `:now`, and `:before` where `age` is given, are added."""

    async def run(self, sql: str, params: Mapping[str, Any] | None = None) -> int:
        """Run a statement and return how many rows it changed."""

    async def run_many(self, sql: str, params: Iterable[Mapping[str, Any]]) -> int:
        """Run a statement once for each set of parameters and return how many rows that changed."""


Steps = Callable[[AsyncSession], Coroutine[Any, Any, ResultT]]
"""Statements in their order, and what they come to; they never wait but for the session."""


class SyncSessionAdapter:
    """A synchronous session, which answers at once: steps on it run by `run_sync`."""

    __slots__ = ("_session",)

    def __init__(self, session: Session) -> None:
        self._session = session

    async def now(self) -> datetime:
        """Return the session's clock."""
        return self._session.now

    async def rows(self, sql: str, params: Mapping[str, Any] | None = None) -> list[Row]:
        """Run a statement and return all its rows."""
        return self._session.rows(sql, params)

    async def run(self, sql: str, params: Mapping[str, Any] | None = None) -> int:
        """Run a statement and return how many rows it changed."""
        return self._session.run(sql, params)

    async def run_many(self, sql: str, params: Iterable[Mapping[str, Any]]) -> int:
        """Run a statement once for each set of parameters and return how many rows that changed."""
        return self._session.run_many(sql, params)
