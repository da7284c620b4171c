"""What a fetcher claims next, and when.

A pool with one type asks the database for tasks of this type at once. A pool with several types first asks in one
statement what is due, and then claims from one type after the other (turns.py).
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from goque.pools.options import PoolOptions
from goque.storage.contract import ANY_PRIORITY, Claim
from goque.task_row import TaskRow
from goque.task_rules.limits import PutOff
from goque_supervisor.fetcher.claiming.turns import Turns
from goque_supervisor.fetcher.claiming.wakeup_backoff import WakeupBackoff
from goque_supervisor.fetcher.database import TaskDatabase
from goque_supervisor.fetcher.in_flight import ClaimedTask, InFlight
from goque_supervisor.fetcher.pool_counters import PoolCounters
from goque_supervisor.fetcher.pool_types import PoolTypes
from goque_supervisor.fetcher.schedule import Schedule
from goque_supervisor.fetcher.worker_pool import WorkerPool

LOOK_PERIOD: Final = 0.1
"""Seconds between two questions whether tasks wait for a further worker."""

SOON: Final = 0.0005
"""Seconds until the next claim if the last one left a due task, doubled each time up to `LOOK_PERIOD`."""

GIVE_BACK: Final = 0.1
"""Seconds for which nothing starts of a type or key whose limit was lowered, so that what waits here is given back."""

MIN_SHARE: Final = 50
"""How many tasks of a type one claim takes at least if other types have their turn in it too."""


class Claims:
    """Claims tasks for the workers of a pool.

    Attributes:
        knows_next_due: whether the next claim is planned by what the database has answered.
        leaves_due: whether tasks were due at the last look that no worker could be sent, because each type runs its
            `max_running`, workers of their kind have yet to start, or the last claim could not take them, as while
            another transaction has locked them.
    """

    def __init__(
        self,
        types: PoolTypes,
        options: PoolOptions,
        database: TaskDatabase,
        in_flight: InFlight,
        worker_pool: WorkerPool,
        *,
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
        self._full: set[str] = set()
        self._in_vain = 0
        self._freed: set[str] = set()
        self._satisfied: set[str] = set()
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

    def free_places(self, types: Iterable[str]) -> None:
        """Claim at the next turn of those types whose limits others wait for, because claims of them are gone."""
        for task_type in types:
            if self._types.options(task_type).max_running is not None or self._database.is_limited(task_type):
                self.place_freed(task_type)

    def look_again(self) -> None:
        """Claim at the next turn, of whatever types: tasks may have come that the last claim did not see."""
        self._turns.forget()
        self._schedule.claim_now()

    def place_freed(self, task_type: str) -> None:
        """Claim of a type at the next turn, because a claim that others waited for is gone."""
        self._freed.add(task_type)
        self._satisfied.discard(task_type)
        self._turns.wake(task_type)
        self._schedule.claim_now()

    def awaits_places_of(self, ended: Iterable[ClaimedTask]) -> bool:
        """Return whether due tasks wait for the place of a task that has ended, and is not written yet."""
        return bool(self._full) and any(task.row.type in self._full for task in ended)

    def _note_places(self, task_type: str) -> None:
        held = self._database.held_back(task_type)
        if held is not None and held.places:
            self._full.add(task_type)
        else:
            self._full.discard(task_type)

    def too_many(self) -> list[PutOff]:
        """Return what to give back, if it has not begun: its limit was lowered after the claims."""
        return [
            PutOff(name, key, GIVE_BACK)
            for name in self._full
            if (held := self._database.held_back(name)) is not None
            for key in held.over
        ]

    def announce_places(self) -> None:
        """Tell other nodes of places that were freed here, if this node could not use all that there are."""
        if not self._freed:
            return
        freed, self._freed = self._freed - self._satisfied, set()
        if free := [name for name in freed if self._has_places(name)]:
            self._database.announce_places(free)

    def _has_places(self, task_type: str) -> bool:
        limits, held = self._types.options(task_type).limits, self._database.held_back(task_type)
        return (limits.limit or limits.per_key) is not None or (held is not None and held.places)

    def has_looked(self, now: float) -> bool:
        """Return whether all that was due at the last look is claimed, and the next claim is later."""
        return self.knows_next_due and self._schedule.claim_at > now

    def plan(self, now: float) -> list[Claim] | None:
        """Return what to claim now: what the workers can take, or None for nothing."""
        if (only := self._types.only) is not None:
            limit = self._limit(only, self._worker_pool.capacity(only, now))
            return [Claim(only, ANY_PRIORITY, limit)] if limit > 0 else None
        if not self._turns.is_fresh(now) and not self._learn(now):
            return None
        wanted = self._share(now)
        self.leaves_due = not wanted
        if not wanted and self._worker_pool.wants_more(now):
            # The end of a task, or the start of a worker, comes sooner than the tick.
            self._wait_for_the_tick(now)
        return wanted or None

    def goes_by_limits(self, wanted: Iterable[Claim]) -> bool:
        """Return whether what can be claimed of these types depends on the tasks that have ended."""
        return any(
            self._types.options(claim.type).max_running is not None or self._database.is_limited(claim.type)
            for claim in wanted
        )

    def claimed(self, wanted: Sequence[Claim], rows: Sequence[TaskRow], now: float) -> bool:
        """Take note of what a claim has got; returns whether these are all tasks that are due.

        Args:
            wanted: what was to be claimed.
            rows: the tasks.
            now: when the claim was planned.
        """
        only = self._types.only
        found = Counter(row.type for row in rows) if only is None else {only: len(rows)}
        for claim in wanted:
            self._counters[claim.type].count("fetched", found[claim.type])
            if found[claim.type] < claim.limit:
                self._satisfied.add(claim.type)
            self._note_places(claim.type)
        if only is not None:
            return self._claimed_of_only_type(is_all=len(rows) < wanted[0].limit, number=len(rows), now=now)
        for claim in wanted:
            self._turns.claimed(claim, found[claim.type], now)
            if found[claim.type] < claim.limit and (held := self._database.held_back(claim.type)):
                self._turns.hold(claim.type, now, held.seconds)
        self._backoff.claimed(len(rows), now)
        return False

    def _claimed_of_only_type(self, *, is_all: bool, number: int, now: float) -> bool:
        self.leaves_due = False
        if number:
            self._in_vain = 0
        if is_all:
            self._backoff.claimed(number, now)
            self._wait_for_the_tick(now)
            self.knows_next_due = False
        return is_all

    def _share(self, now: float) -> list[Claim]:
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
            is_due = not self._database.held_back(only) and self._database.seconds_until_due(only) == 0
            return {self._types.is_async(only)} if is_due else set()
        levels = self._database.due_levels() or ()
        return {
            self._types.is_async(level.type)
            for level in levels
            if level.seconds <= 0 and not self._database.held_back(level.type)
        }

    def learn_when_due(self) -> None:
        """Ask when the next task is due. This follows the dispatch, so that claimed tasks do not wait for it."""
        if self.knows_next_due or self._types.only is None:
            return
        due = self._database.seconds_until_due(self._types.only)
        held = self._database.held_back(self._types.only)
        if due is not None and due <= 0 and held is not None:
            # The end of a task, a notification, or the tick comes first: what is due has no place, or not yet its time.
            self.knows_next_due, self.leaves_due = True, held.places
            if held.seconds is not None:
                self._schedule.claim_within(time.monotonic(), held.seconds)
        elif due is not None:
            self.knows_next_due = True
            self.leaves_due = due <= 0
            self._in_vain = self._in_vain + 1 if self.leaves_due else 0
            soon = min(LOOK_PERIOD, SOON * 2.0 ** min(self._in_vain, 10))
            self._schedule.claim_within(time.monotonic(), max(due, soon))

    def _learn(self, now: float) -> bool:
        """Ask what is due, if a worker can take anything. Returns whether a task is due."""
        if not self._worker_pool.wants_more(now):
            return False
        levels = self._database.due_levels()
        if levels is None:
            return False
        next_due = self._turns.learn(
            levels, now, took=time.monotonic() - now, waits_for_time=self._waits_for_time
        )
        self.leaves_due = self._turns.has_due or self._turns.leaves_due
        if self._turns.has_due:
            return True
        self._wait_for_the_tick(now)
        if next_due is not None:
            self._schedule.claim_within(now, max(next_due, 0.001))
        return False

    def _waits_for_time(self, task_type: str) -> bool:
        """Return whether the due tasks of a type wait for their rate alone, and so for no place."""
        held = self._database.held_back(task_type)
        return held is not None and not held.places

    def _limit(self, task_type: str, capacity: int) -> int:
        """Return how many tasks of a type one claim may take."""
        limit = min(capacity, self._options.fetch_max_tasks)
        most = self._types.options(task_type).max_running
        return limit if most is None else min(limit, most - self._in_flight.number_of(task_type))

    def _wait_for_the_tick(self, now: float) -> None:
        self._schedule.claim_after(now, self._options.fetch_tick * random.uniform(0.9, 1.0))  # noqa: S311 - spreads the nodes
