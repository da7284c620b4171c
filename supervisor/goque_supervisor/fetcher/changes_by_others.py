"""Stop the tasks in flight that another process has canceled or changed otherwise, and hear what it asks about them."""

from __future__ import annotations

from collections.abc import Sequence

from goque.storage.contract import StackRequest, Watcher
from goque_supervisor.fetcher.database import TaskDatabase
from goque_supervisor.fetcher.in_flight import InFlight
from goque_supervisor.fetcher.schedule import Schedule
from goque_supervisor.fetcher.worker_pool import WorkerPool


class ChangesByOthers:
    """Asks the table about the tasks in flight, but only if somebody may have changed them since the last answer.

    Args:
        database: the fetcher's database.
        in_flight: the tasks in flight.
        worker_pool: the living workers.
        schedule: the next times of the loop.
        watcher: tells when the table has changed.
        fetch_tick: seconds until the next question, unless the table changes earlier.
    """

    def __init__(
        self,
        database: TaskDatabase,
        in_flight: InFlight,
        worker_pool: WorkerPool,
        schedule: Schedule,
        watcher: Watcher,
        *,
        fetch_tick: float,
    ) -> None:
        self._database = database
        self._in_flight = in_flight
        self._worker_pool = worker_pool
        self._schedule = schedule
        self._watcher = watcher
        self._fetch_tick = fetch_tick
        self._may_be_some = True

    def table_changed(self, now: float) -> None:
        """Ask soon, because somebody has written into the table."""
        self._may_be_some = True
        self._schedule.table_changed(now)

    def stop_if_due(self, owner: str, now: float) -> Sequence[StackRequest]:
        """Stop the tasks that were changed, if it is time to ask. Returns the requests for stacks that were found."""
        if now < self._schedule.changes_at or not (self._may_be_some and self._in_flight):
            return ()
        self._schedule.changes_asked(now, self._fetch_tick)
        news = self._database.claim_news(owner)
        if news is None:
            return ()
        self._may_be_some = not self._watcher.hears_every_write
        for token in news.changed:
            task = self._in_flight.by_id.get(token.task_id)
            if task is not None and task.outcome is None and task.row.token == token:
                self._worker_pool.stop_canceled(task, now)
        return news.stack_requests
