"""Logs that the database is not available, and that it answers again: one line each for the whole tree.

All processes of the tree notice an outage, within seconds and often with texts of their own: one was refused, another
lost its connection. Standard library only.
"""

from __future__ import annotations

import logging
from typing import Final

log = logging.getLogger("goque.supervisor")

SETTLING: Final = 5.0
"""Seconds after each line in which other processes only notice the same."""

REPEAT: Final = 60.0


class DatabaseOutage:
    """What the processes of the tree report of their database."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._logged: set[str] = set()
        self._logged_at = float("-inf")

    def on_away(self, name: str, text: str, now: float) -> None:
        """Log an outage at once, a new reason for it after a few seconds, and any reason once a minute.

        Args:
            name: the process that reports it.
            text: what it reports.
            now: CLOCK_MONOTONIC seconds.
        """
        age = now - self._logged_at
        if age < SETTLING or (self._since is not None and age < REPEAT and text in self._logged):
            return
        if self._since is None:
            self._since = now
            self._logged.clear()
        self._logged.add(text)
        self._logged_at = now
        log.warning("%s", text, extra={"reported_by": name})

    def on_back(self, now: float) -> None:
        """Log the end of an outage when the first process has an answer."""
        if self._since is None:
            return
        log.info("the database answers again, %.1fs after the first warning", now - self._since)
        self._since = None
        self._logged_at = now
