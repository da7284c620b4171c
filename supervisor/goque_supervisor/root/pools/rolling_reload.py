"""Choose which worker of a pool a reload replaces next, and log which ones it waits for."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

from goque_supervisor.root.child import Child

log = logging.getLogger("goque.supervisor")

PATIENCE: Final = 5.0
"""How many seconds the task of a retired worker may last until the next worker is retired too.

A worker with a task of an hour must not leave the others with the old code for an hour. It takes no other task, so
that the pool loses nothing by the retirement of a second worker.
"""


class RollingReload:
    """A reload of the workers one by one, in which a long task holds up its own worker only."""

    def __init__(self) -> None:
        self._retired_at = 0.0
        self._told = 0

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
            if _is_outdated(worker, generation, slots):
                worker.retire_reason = "reload"
                self._retired_at = now
                return worker
        return None

    def retire_all(self, workers: Sequence[Child], generation: int, now: float) -> None:
        """Mark all workers of an older import."""
        self._retired_at = now
        for worker in workers:
            if worker.generation < generation:
                worker.retire_reason = worker.retire_reason or "reload"

    def log_waiting(
        self, title: str, workers: Sequence[Child], generation: int, slots: int, now: float
    ) -> None:
        """Log how many retired workers still run their tasks, once all are retired, and the end of the last one.

        Args:
            title: the name of the pool for people.
            workers: the living workers of the pool.
            generation: the newest import of the app.
            slots: how many slots the pool has now.
            now: the time.
        """
        late = sum(worker.retire_reason == "reload" for worker in workers)
        if not late and self._told:
            self._told = 0
            log.info("the last worker of %s with the old code has ended", title)
        are_all_retired = not any(_is_outdated(worker, generation, slots) for worker in workers)
        if late > self._told and are_all_retired and now >= self._retired_at + PATIENCE:
            self._told = late
            those = "1 worker" if late == 1 else f"{late} workers"
            log.info("waiting for the tasks that %s of %s still run with the old code", those, title)


def _is_outdated(worker: Child, generation: int, slots: int) -> bool:
    """Return whether a worker is to be retired."""
    return not worker.retire_reason and (worker.generation < generation or worker.slot >= slots)
