"""Wakes a fetcher although MySQL has no notifications: by nudges from this machine, and by polling."""

from __future__ import annotations

import random
import time
from typing import Final

from goque.storage.contract import Watcher
from goque.storage.mysql.nudge import NudgeListener

MIN_INTERVAL: Final = 0.02
MAX_INTERVAL: Final = 1.0


class MysqlWatcher(Watcher):
    """Polls at intervals that double from 20 ms to one second while no task is found.

    Args:
        listener: receives nudges from enqueuers on this machine; None if there can be none.
    """

    def __init__(self, listener: NudgeListener | None) -> None:
        self._listener = listener
        self._interval = MIN_INTERVAL
        self._look_at = 0.0

    def fileno(self) -> int | None:
        """Return the listener's descriptor, or None without a listener."""
        return None if self._listener is None else self._listener.fileno()

    def ask_again_in(self) -> float | None:
        """Return the seconds until the next look."""
        return max(0.0, self._look_at - time.monotonic())

    def changed(self) -> bool:
        """Return whether a nudge came or the interval has passed."""
        now = time.monotonic()
        if self._listener is not None and self._listener.heard():
            # the nudge may come before the commit of a caller's transaction: look again soon
            self._interval = MIN_INTERVAL
        elif now < self._look_at:
            return False
        else:
            self._interval = min(MAX_INTERVAL, self._interval * 2)
        self._look_at = now + self._interval * random.uniform(0.75, 1.0)  # noqa: S311 - spreads the nodes' looks
        return True

    def found(self, tasks: int) -> None:
        """Poll often after a claim found tasks, because other machines may enqueue more."""
        if tasks:
            self._interval = MIN_INTERVAL
            self._look_at = min(self._look_at, time.monotonic() + MIN_INTERVAL)

    def close(self) -> None:
        """Close the listener."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
