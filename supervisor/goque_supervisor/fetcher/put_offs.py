"""What a fetcher must not start for now, because a handler raised `goque.RateLimited`. No I/O here."""

from __future__ import annotations

from goque.task_row import TaskRow
from goque.task_rules.limits import NO_KEY, PutOff
from goque_supervisor.fetcher.in_flight import InFlight
from goque_supervisor.fetcher.worker_pool import WorkerPool


class PutOffs:
    """Remembers until when nothing of a type, or of a key of it, may start."""

    def __init__(self) -> None:
        self._until: dict[tuple[str, str], float] = {}

    def add(self, what: PutOff, now: float) -> None:
        """Hold a type or a key back from now on."""
        place = what.type, what.key
        self._until[place] = max(self._until.get(place, 0.0), now + what.seconds)

    def hold_back(self, what: PutOff, in_flight: InFlight, worker_pool: WorkerPool, now: float) -> bool:
        """Hold a type or a key back, and give back what has not started of it.

        Returns: whether jobs were revoked, which takes a moment.
        """
        self.add(what, now)
        in_flight.release_waiting(lambda task: self.holds(task.row, now))
        revoked = False
        for worker in worker_pool:
            if any(self.holds(task.row, now) for task in worker.jobs.values()):
                worker_pool.revoke_unstarted(worker, now)
                revoked = True
        return revoked

    def holds(self, row: TaskRow, now: float) -> bool:
        """Return whether a task that has not started must not start now."""
        if not self._until:
            return False
        self._until = {place: until for place, until in self._until.items() if now < until}
        return (row.type, NO_KEY) in self._until or (row.type, row.limit_key or NO_KEY) in self._until
