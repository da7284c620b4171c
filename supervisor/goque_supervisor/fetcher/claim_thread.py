"""A second thread of a busy fetcher: it claims on a connection of its own while the first thread settles.

The server then works on both at the same time. A fetcher with little to do has neither the thread nor the connection.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeVar

from goque.errors import DatabaseUnavailableError
from goque.storage import TaskStorage

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

log = logging.getLogger("goque.fetcher")

ResultT = TypeVar("ResultT")

KEPT: Final = 10.0
"""Seconds without use after which the connection is closed."""

RETRY_PAUSE: Final = 10.0
"""Seconds until the next try, if there was no connection."""


class ClaimThread:
    """Runs one claim at a time beside the calling thread.

    Args:
        storage: the database.
    """

    def __init__(self, storage: TaskStorage) -> None:
        self._storage = storage
        self._executor: ThreadPoolExecutor | None = None
        self._not_before = 0.0
        self._was_refused = False
        self._used_at: float | None = None

    def is_ready(self, now: float) -> bool:
        """Return whether there is a connection for the thread, and open one if that is possible."""
        if now < self._not_before:
            return False
        try:
            is_ready = self._storage.open_second_connection()
        except DatabaseUnavailableError as error:
            is_ready = False
            if not self._was_refused:
                log.info("no second connection, so this fetcher claims and settles in turns: %s", error)
            self._was_refused = True
        else:
            self._was_refused = False
        if not is_ready:
            self._not_before = now + RETRY_PAUSE
        return is_ready

    def start(self, claim: Callable[[], ResultT], now: float) -> Future[ResultT]:
        """Begin a claim; the caller must wait for its result before it starts the next."""
        if self._executor is None:
            from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - an idle fetcher does not need it

            self._executor = ThreadPoolExecutor(1, "claims")
        self._used_at = now
        return self._executor.submit(claim)

    def close_if_unused(self, now: float) -> None:
        """Close the connection if it was not used for a while."""
        if self._used_at is not None and now - self._used_at > KEPT:
            self._used_at = None
            self._storage.close_second_connection()
