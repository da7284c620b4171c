"""A second thread of a busy fetcher: it claims on a connection of its own while the first thread settles.

The server then works on both at the same time. A fetcher with little to do has neither the thread nor the connection.
"""

from __future__ import annotations

import contextvars
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeVar

from goque.errors import GoqueError
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
        if not self.may_be_ready(now):
            return False
        try:
            is_ready = self._storage.open_second_connection()
            if is_ready and self._executor is None:
                self._executor = _one_thread()
        except (GoqueError, RuntimeError) as error:  # the server or the system refuses one more
            is_ready = False
            if not self._was_refused:
                log.info("this fetcher claims and settles in turns, without a second connection: %s", error)
            self._was_refused = True
        else:
            self._was_refused = False
        if is_ready:
            self._used_at = now
        else:
            self.rest(now)
        return is_ready

    def may_be_ready(self, now: float) -> bool:
        """Return whether it is worth to ask."""
        return now >= self._not_before

    def rest(self, now: float) -> None:
        """Have no thread for a while, because its connection was refused, or has failed."""
        self._not_before = now + RETRY_PAUSE

    def start(self, claim: Callable[[], ResultT]) -> Future[ResultT]:
        """Begin a claim when it is ready; the caller must wait for its result before it starts the next."""
        assert self._executor is not None
        # in the context of this thread: it hides goque's own statements from the tracing of drivers
        return self._executor.submit(contextvars.copy_context().run, claim)

    def close_if_unused(self, now: float) -> None:
        """Close the connection if it was not used for a while."""
        if self._used_at is not None and now - self._used_at > KEPT:
            self._used_at = None
            self._storage.close_second_connection()


def _one_thread() -> ThreadPoolExecutor:
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - an idle fetcher does not need it

    made = ThreadPoolExecutor(1, "claims")
    made.submit(int).result()  # a limit of the system on threads shows here
    return made
