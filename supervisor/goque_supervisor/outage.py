"""How a process of the tree reports that its database does not answer: fetchers and actors use it.

The root logs it: one line for the tree, not one for each process. See root/database_outage.py.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from logging import Logger
from typing import Final

from goque_supervisor.ipc.control import DatabaseAway, DatabaseBack, Message

REPORT_PERIOD: Final = 5.0
"""Seconds between two reports of one reason: the root passes over what it gets soon after a line of another process."""

WHAT_FOLLOWS: Final = "fetchers claim no tasks and keep results until it answers"


class Outage:
    """The failed calls of one process since its database last answered.

    Args:
        send: sends a message to the root.
        log: gets each failed try at level debug.
        clock: the seconds of a monotonic clock.

    Attributes:
        failures: how many calls have failed since the last that succeeded.
    """

    def __init__(
        self, send: Callable[[Message], None], log: Logger, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.failures = 0
        self._send = send
        self._log = log
        self._clock = clock
        self._reported = ""
        self._reported_at = 0.0

    def failed(self, why: str) -> None:
        """Count a failed call, and report it: at once, when the reason changes, and every few seconds."""
        self.failures += 1
        text = f"the database is not available ({why}): {WHAT_FOLLOWS}"
        self._log.debug("try %d: %s", self.failures, text)
        now = self._clock()
        if text != self._reported or now - self._reported_at >= REPORT_PERIOD:
            self._reported, self._reported_at = text, now
            self._send(DatabaseAway(text))

    def answered(self) -> bool:
        """Note that a call succeeded; returns whether calls had failed before it."""
        if not self.failures:
            return False
        self._log.debug("the database answers again after %d failed tries", self.failures)
        self.failures = 0
        self._reported = ""
        self._send(DatabaseBack())
        return True
