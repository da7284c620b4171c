"""The functions of steps that run side by side in one `async def` handler."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class OpenCalls:
    """Counts the calls from the start of a step's function until its value is recorded."""

    def __init__(self) -> None:
        self._number = 0
        self._all_ended: Any = None

    @contextmanager
    def one(self) -> Iterator[None]:
        """Count one call for the length of the block."""
        self._number += 1
        try:
            yield
        finally:
            self._number -= 1
            if not self._number and self._all_ended is not None and not self._all_ended.done():
                self._all_ended.set_result(None)

    async def until_none(self) -> None:
        """Wait until no call is left."""
        import asyncio  # noqa: PLC0415 - fetchers import this module too, and need none of its 3 MiB

        while self._number:
            self._all_ended = asyncio.get_running_loop().create_future()
            await self._all_ended
