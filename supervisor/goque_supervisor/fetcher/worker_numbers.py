"""Tell the root how many workers the pool wants: more while tasks wait for one, fewer when some are idle."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from goque_supervisor.fetcher.claiming.claims import Claims
from goque_supervisor.fetcher.worker_demand import WorkerDemand
from goque_supervisor.fetcher.worker_handle import WorkerHandle
from goque_supervisor.fetcher.worker_pool import WorkerPool
from goque_supervisor.ipc.control import Message, WorkersWanted


class WorkerNumbers:
    """Follows the work of a pool with the number of its workers.

    Args:
        bounds: the fewest and the most workers, under `plain` and `asynchronous`.
        idle_timeout: seconds without a task after which a worker ends.
        worker_pool: the living workers.
        claims: knows whether tasks are due.
        tell_root: sends a message to the root.
    """

    def __init__(
        self,
        bounds: Mapping[str, Sequence[int]],
        idle_timeout: float,
        *,
        worker_pool: WorkerPool,
        claims: Claims,
        tell_root: Callable[[Message], None],
    ) -> None:
        self._demands = {
            is_async: WorkerDemand(bounds[kind][0], bounds[kind][1], idle_timeout)
            for is_async, kind in ((False, "plain"), (True, "asynchronous"))
        }
        self._worker_pool = worker_pool
        self._claims = claims
        self._tell_root = tell_root

    def take_over(self) -> None:
        """Begin with the workers of an earlier fetcher."""
        for is_async, demand in self._demands.items():
            demand.found(sum(worker.is_async is is_async for worker in self._worker_pool))

    def follow_the_work(self, now: float, *, may_claim: bool) -> bool:
        """Want more workers, or let one end; returns whether one is to end."""
        changed = ends = False
        for is_async, demand in self._demands.items():
            if not demand.is_elastic:
                continue
            ready = self._worker_pool.ready(now, is_async=is_async)
            if may_claim and demand.may_grow:
                busy = self._ending(is_async=is_async) + len(ready)
                changed |= demand.grows(
                    now, ready=busy, work_waits=self._work_waits(ready, now, is_async=is_async)
                )
            idle: WorkerHandle | None = min(
                (worker for worker in ready if not worker.jobs),
                key=lambda worker: worker.busy_at,
                default=None,
            )
            if idle is not None and demand.shrinks(now - idle.busy_at):
                self._worker_pool.retire(idle, "idle", now)
                changed = ends = True
        if changed:
            self._tell_root(WorkersWanted(self._demands[False].wanted, self._demands[True].wanted))
        return ends

    def _work_waits(self, ready: Sequence[WorkerHandle], now: float, *, is_async: bool) -> bool:
        """Return whether all workers are busy, and tasks are due or wait in a worker behind a long handler."""
        if not self._worker_pool.are_busy(ready):
            return False
        concurrency = self._worker_pool.concurrency_of(is_async=is_async)
        is_behind = any(worker.has_jobs_behind(now, concurrency) for worker in ready)
        return is_behind or self._claims.has_due(now, is_async=is_async)

    def _ending(self, *, is_async: bool) -> int:
        """Return how many workers end after their running tasks; they keep their place until then."""
        workers = (worker for worker in self._worker_pool if worker.is_async is is_async)
        return sum(bool(worker.retiring and worker.jobs) for worker in workers)
