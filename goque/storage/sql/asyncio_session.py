"""The interface of a caller's asyncio connection. Each driver has an implementation."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, Protocol

from goque.storage.sql.session import Row


class AsyncSession(Protocol):
    """One asyncio connection in the caller's transaction, with the methods of `Session` as coroutines."""

    @property
    def now(self) -> Awaitable[datetime]:
        """The database's clock, the same from the start of a transaction to its end."""

    async def rows(self, sql: str, params: Mapping[str, Any] | None = None) -> list[Row]:
        """Run a statement and return all its rows; `:now`, and `:before` where `age` is given, are added."""

    async def run(self, sql: str, params: Mapping[str, Any] | None = None) -> int:
        """Run a statement and return how many rows it changed."""

    async def run_many(self, sql: str, params: Iterable[Mapping[str, Any]]) -> int:
        """Run a statement once for each set of parameters and return how many rows they changed."""

    async def outside(self, call: Callable[[], Any]) -> Any:
        """Return what a blocking call returns that uses another connection; it runs in a thread."""
