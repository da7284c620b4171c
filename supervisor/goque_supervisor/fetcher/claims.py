"""What a fetcher claims next, and when.

A pool with one type asks the database for tasks of this type at once. A pool with several types first asks in one
statement what is due, and then claims from one type after the other (turns.py).
"""

from __future__ import annotations

import random
import time
from collections import Counter
from typing import Final

from goque.pools.options import PoolOptions
from goque.storage.contract import Claim
from goque.task import TaskRow
from goque_supervisor.fetcher.database import TaskDatabase
from goque_supervisor.fetcher.in_flight import InFlight
from goque_supervisor.fetcher.pool_counters import PoolCounters
from goque_supervisor.fetcher.pool_types import PoolTypes
from goque_supervisor.fetcher.schedule import Schedule
from goque_supervisor.fetcher.turns import Turns
from goque_supervisor.fetcher.wakeup_backoff import WakeupBackoff
from goque_supervisor.fetcher.worker_pool import WorkerPool

LOOK_PERIOD: Final = 0.1
"""Seconds between two questions whether tasks wait for a further worker."""

MIN_SHARE: Final = 10
"""How many tasks of a type one claim takes at least if other types have their turn in it too."""


class Claims:
    """Claims tasks for the workers of a pool.

    Attributes:
        knows_next_due: whether the next claim is planned by what the database has answered.
        leaves_due: whether tasks were due at the last look that no worker could be sent, because each type runs its
            `max_running`, or because workers of their kind have yet to start.
    """

    def __init__(
        self,
        types: PoolTypes,
        options: PoolOptions,
        *,
        database: TaskDatabase,
        in_flight: InFlight,
        worker_pool: WorkerPool,
        schedule: Schedule,
        counters: PoolCounters,
    ) -> None:
        self._types = types
        self._options = options
        self._database = database
        self._in_flight = in_flight
        self._worker_pool = worker_pool
        self._schedule = schedule
        self._counters = counters
        self._turns = Turns(types.names, options.fetch_tick)
        self._backoff = WakeupBackoff()
        self._look_at = 0.0
        self._due_kinds: set[bool] = set()
        self.knows_next_due = True
        self.leaves_due = False

    def pause_after_wakeup(self, now: float, *, rests: bool) -> float:
        """Return the seconds from a wake-up until the next claim.

        Args:
            now: the current time.
            rests: whether the watcher has waited already.
        """
        self._turns.forget()
        return 0.0 if rests else self._backoff.pause(now)

    def claim(self, owner: str, now: float) -> tuple[list[TaskRow], bool] | None:
        """Claim what the workers can take now.

        Returns:
            The tasks, and whether these are all that are due. None if nothing was claimed, because no worker can take
            more or the database did not answer.
        """
        if self._types.only is not None:
            return self._claim_of_only_type(self._types.only, owner, now)
        if not self._turns.is_fresh(now) and not self._learn(now):
            return None
        wanted = self._plan(now)
        self.leaves_due = not wanted
        if not wanted:
            if self._worker_pool.wants_more(now):
                # The end of a task, or the start of a worker, comes sooner than the tick.
                self._wait_for_the_tick(now)
            return None
        rows = self._database.claim_in_turns(wanted, owner)
        if rows is None:
            return None
        found = Counter(row.type for row in rows)
        for claim in wanted:
            self._turns.claimed(claim, found[claim.type], now)
            self._count(claim.type, found[claim.type])
        self._backoff.claimed(len(rows), now)
        return rows, False

    def _plan(self, now: float) -> list[Claim]:
        """Share one claim among the types whose turn it is."""
        capacities = self._worker_pool.capacities(now)
        names = self._turns.next(lambda name: self._limit(name, capacities[name]))
        taken: Counter[bool] = Counter()
        wanted = []
        for name in names:
            is_async = self._types.is_async(name)
            share = max(MIN_SHARE, capacities[name] // len(names))
            limit = min(self._limit(name, capacities[name]), capacities[name] - taken[is_async], share)
            if limit > 0:
                wanted.append(Claim(name, self._turns.priority(name), limit))
                taken[is_async] += limit
        return wanted

    def has_due(self, now: float, *, is_async: bool) -> bool:
        """Return whether tasks for a kind of worker wait for one, here or in the table. Asks the table now and then."""
        if self._in_flight.waiting(is_async=is_async):
            return True
        if now >= self._look_at:
            self._look_at = now + LOOK_PERIOD
            self._due_kinds = self._look()
        return is_async in self._due_kinds

    def _look(self) -> set[bool]:
        """Return for which kinds of worker tasks are due."""
        only = self._types.only
        if only is not None:
            return {self._types.is_async(only)} if self._database.seconds_until_due(only) == 0 else set()
        levels = self._database.due_levels() or ()
        return {self._types.is_async(level.type) for level in levels if level.seconds <= 0}

    def learn_when_due(self) -> None:
        """Ask when the next task is due. This follows the dispatch, so that claimed tasks do not wait for it."""
        if self.knows_next_due or self._types.only is None:
            return
        due = self._database.seconds_until_due(self._types.only)
        if due is not None:
            self.knows_next_due = True
            self._schedule.claim_within(time.monotonic(), max(due, 0.001))

    def _claim_of_only_type(
        self, task_type: str, owner: str, now: float
    ) -> tuple[list[TaskRow], bool] | None:
        limit = self._limit(task_type, self._worker_pool.capacity(task_type, now))
        rows = self._database.claim(task_type, owner, limit) if limit > 0 else None
        if rows is None:
            return None
        self._count(task_type, len(rows))
        is_all = len(rows) < limit
        if is_all:
            self._backoff.claimed(len(rows), now)
            self._wait_for_the_tick(now)
            self.knows_next_due = False
        return rows, is_all

    def _learn(self, now: float) -> bool:
        """Ask what is due, if a worker can take anything. Returns whether a task is due."""
        if not self._worker_pool.wants_more(now):
            return False
        levels = self._database.due_levels()
        if levels is None:
            return False
        next_due = self._turns.learn(levels, now, took=time.monotonic() - now)
        self.leaves_due = self._turns.has_due
        if self._turns.has_due:
            return True
        self._wait_for_the_tick(now)
        if next_due is not None:
            self._schedule.claim_within(now, max(next_due, 0.001))
        return False

    def _limit(self, task_type: str, capacity: int) -> int:
        """Return how many tasks of a type one claim may take."""
        limit = min(capacity, self._options.fetch_max_tasks)
        most = self._types.options(task_type).max_running
        return limit if most is None else min(limit, most - self._in_flight.number_of(task_type))

    def _count(self, task_type: str, number: int) -> None:
        self._counters[task_type].count("fetched", number)

    def _wait_for_the_tick(self, now: float) -> None:
        self._schedule.claim_after(now, self._options.fetch_tick * random.uniform(0.9, 1.0))  # noqa: S311 - spreads the nodes
