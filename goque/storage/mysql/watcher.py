"""Wakes a fetcher where the database tells nobody: by nudges from this machine, else often while there is work."""

from __future__ import annotations

import random
import time
from typing import Final

from goque.storage.contract import Watcher
from goque.storage.mysql.nudge import NudgeListener

MIN_INTERVAL: Final = 0.02
MAX_INTERVAL: Final = 1.0


class MysqlWatcher(Watcher):
    """Says that it is time to look at intervals that double from 20 ms to a second while nothing is found.

    Args:
        listener: hears the enqueuers of this machine, or None.
    """

    def __init__(self, listener: NudgeListener | None) -> None:
        self._listener = listener
        self._interval = MIN_INTERVAL
        self._look_at = 0.0

    def fileno(self) -> int | None:
        """Return the descriptor of the nudges, if there are any to hear."""
        return None if self._listener is None else self._listener.fileno()

    def ask_again_in(self) -> float | None:
        """Return the seconds until the next look."""
        return max(0.0, self._look_at - time.monotonic())

    def changed(self) -> bool:
        """Return whether somebody nudged, or it is time to look."""
        now = time.monotonic()
        if self._listener is not None and self._listener.heard():
            self._interval = (
                MIN_INTERVAL  # a caller's own transaction nudges before it commits: look again soon
            )
        elif now < self._look_at:
            return False
        else:
            self._interval = min(MAX_INTERVAL, self._interval * 2)
        self._look_at = now + self._interval * random.uniform(0.75, 1.0)  # noqa: S311 - spreads the nodes' looks
        return True

    def found(self, tasks: int) -> None:
        """Look often while there is work: more may follow from other machines."""
        if tasks:
            self._interval = MIN_INTERVAL
            self._look_at = min(self._look_at, time.monotonic() + MIN_INTERVAL)

    def close(self) -> None:
        """Listen no more."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
