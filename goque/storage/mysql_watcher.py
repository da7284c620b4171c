"""Looks for new work where nobody tells: often while there is some, seldom while there is none."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Final

from goque.storage.storage import Watcher

SHORTEST: Final = 0.02
LONGEST: Final = 1.0


class MysqlWatcher(Watcher):
    """Asks whether a task is due, at intervals that double from 20 ms to a second while none is.

    Args:
        is_due: asks the database.
    """

    def __init__(self, is_due: Callable[[], bool]) -> None:
        self._is_due = is_due
        self._interval = SHORTEST
        self._look_at = 0.0

    def fileno(self) -> int | None:
        """Return None: there is nothing to wait for."""
        return None

    def pause(self) -> float | None:
        """Return the seconds until the next look."""
        return max(0.0, self._look_at - time.monotonic())

    def changed(self) -> bool:
        """Return whether it was time to look, and a task was due."""
        now = time.monotonic()
        if now < self._look_at:
            return False
        found = self._is_due()
        self._interval = SHORTEST if found else min(LONGEST, self._interval * 2)
        self._look_at = now + self._interval * random.uniform(0.75, 1.0)  # noqa: S311 - spreads the nodes' looks
        return found

    def close(self) -> None:
        """Hold nothing, and so give up nothing."""
