"""Choose which worker of a pool a reload replaces next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from goque_supervisor.root.child import Child

PATIENCE: Final = 5.0
"""How many seconds the task of a retired worker may last until the next worker is retired too.

A worker with a task of an hour must not leave the others with the old code for an hour. It takes no other task, so
that the pool loses nothing by the retirement of a second worker.
"""


class RollingReload:
    """A reload of the workers one by one, in which a long task holds up its own worker only."""

    def __init__(self) -> None:
        self._retired_at = 0.0

    def next(self, workers: Sequence[Child], generation: int, slots: int, now: float) -> Child | None:
        """Mark the worker to retire now, and return it; None if there is none, or another is in the way.

        Args:
            workers: the living workers of the pool.
            generation: the newest import of the app.
            slots: how many slots the pool has now.
            now: the time.
        """
        waits = now < self._retired_at + PATIENCE
        if not all(worker.ready and not (waits and worker.retire_reason) for worker in workers):
            return None
        for worker in workers:
            if not worker.retire_reason and (worker.generation < generation or worker.slot >= slots):
                worker.retire_reason = "reload"
                self._retired_at = now
                return worker
        return None
