"""Keeps the last hour of a queue in memory while somebody looks at the dashboard, so that pages need few queries.

A thread counts the tasks that have ended since its last count, by an index on that time. After a restart it counts the
last hour backwards, a minute at a time, so nothing has to run while nobody looks. Failures come from goque_attempt by
id.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final

from goque.describe.functions import read_unfinished
from goque.errors import GoqueError
from goque.storage.contract import QueueDepth, TaskStorage, TypePolicy
from goque.storage.search_types import FailureLine, FunctionCount

SLOT: Final = 10
"""Seconds of the finest slot."""

SPAN: Final = 3600
OVERLAP: Final = 5
"""Seconds before the last count that are counted again, because a commit may come later than its timestamp."""

MAX_GAP: Final = 300
"""If the last count is longer ago than these seconds, the hour is counted again minute by minute."""

PERIOD: Final = 2.0
BUSY_FRACTION: Final = 0.2
"""The maximum fraction of time spent on counting."""

INTEREST: Final = 30.0
"""Seconds after the last page until the thread pauses."""

BACKFILL: Final = 60
PAUSE: Final = 0.1
"""Seconds between two counts until the hour is known."""

BUDGET: Final = 0.5
MAX_FAILURES: Final = 5000
MAX_ATTEMPTS: Final = 200_000
"""How many of the newest recorded attempts are searched for failures; the others are long runs that went well."""

MAX_TYPES: Final = 100
FAILURES_AT_ONCE: Final = 500
LATE_IDS: Final = 100
FIRST_PATIENCE: Final = 3.0

log = logging.getLogger("goque.dashboard")

Slots = dict[int, int]


@dataclass(frozen=True)
class Picture:
    """The known state of a queue.

    Attributes:
        at: the time of the last successful count, in seconds since 1970; 0 for never.
        depths: the numbers of unfinished tasks.
        functions: the same by function, of types whose tasks call different functions; None for too many tasks.
        policies: the published types.
        types: the types whose ended tasks are counted.
        ended: how many tasks ended, by type, status and slot.
        failures: failed attempts, newest first.
        known_since: the start of the known time of `ended`, in seconds since 1970.
        is_whole: whether the whole hour is known.
        trouble: why the last count failed, None if it did not.
    """

    at: float = 0.0
    depths: Sequence[QueueDepth] = ()
    functions: Mapping[str, Sequence[FunctionCount] | None] = field(default_factory=dict)
    policies: Mapping[str, TypePolicy] = field(default_factory=dict)
    types: Sequence[str] = ()
    ended: Mapping[str, Mapping[str, Mapping[int, int]]] = field(default_factory=dict)
    failures: Sequence[FailureLine] = ()
    known_since: float = 0.0
    is_whole: bool = False
    trouble: str | None = None


class History:
    """Reads a queue repeatedly while somebody looks at the dashboard.

    Args:
        storage: used by its thread only.
        clock: seconds since 1970.
    """

    def __init__(self, storage: TaskStorage, clock: Callable[[], float] = time.time) -> None:
        self._storage = storage
        self._clock = clock
        self._picture = Picture()
        self._ended: dict[str, dict[str, Slots]] = defaultdict(lambda: defaultdict(dict))
        self._failures: dict[int, FailureLine] = {}
        self._counted_to = 0
        self._known_since = 0
        self._wanted_at = 0.0
        self._wake = threading.Condition()
        self._looked = threading.Event()
        self._thread: threading.Thread | None = None
        self._pid = 0

    def picture(self) -> Picture:
        """Return the known state, and keep counting; the first call waits a moment for the first count."""
        with self._wake:
            self._wanted_at = time.monotonic()
            if self._thread is None or self._pid != os.getpid():
                self._pid = os.getpid()
                self._looked.clear()
                self._thread = threading.Thread(target=self._run, name="goque dashboard", daemon=True)
                self._thread.start()
            self._wake.notify()
        self._looked.wait(FIRST_PATIENCE)
        return self._picture

    def look_again(self) -> None:
        """Count again as soon as possible, after an action."""
        with self._wake:
            self._wanted_at = time.monotonic()
            self._wake.notify()

    def close(self) -> None:
        """End the thread and close its connections; the next request starts it again."""
        with self._wake:
            thread, self._thread = self._thread, None
            self._wake.notify()
        if thread is not None and self._pid == os.getpid():
            thread.join()
        self._storage.close()

    def _run(self) -> None:
        me = threading.current_thread()
        while self._thread is me:
            took = self.run_once()
            with self._wake:
                if self._thread is me:
                    rest = max(PERIOD - took, took / BUSY_FRACTION)
                    self._wake.wait(rest if self._knows_the_hour() or self._picture.trouble else PAUSE)
                while self._thread is me and time.monotonic() - self._wanted_at > INTEREST:
                    self._storage.close()
                    self._looked.clear()
                    self._wake.wait()

    def run_once(self) -> float:
        """Count once; return how many seconds it took."""
        began = time.monotonic()
        try:
            self._picture = self._look(began + BUDGET)
        except GoqueError as error:
            self._picture = replace(self._picture, trouble=str(error))
        except Exception as error:
            log.exception("the dashboard could not read the queue")
            self._picture = replace(self._picture, trouble=f"{type(error).__name__}: see the log")
        self._looked.set()
        return time.monotonic() - began

    def _knows_the_hour(self) -> bool:
        return self._known_since <= self._clock() - SPAN + BACKFILL

    def _look(self, until: float) -> Picture:
        now = int(self._clock())
        depths = self._storage.queue_depths()
        policies = self._storage.type_policies()
        types = _counted_types(policies, self._storage.task_types())
        self._count_recent(types, now)
        while self._picture.at and not self._knows_the_hour() and time.monotonic() < until:
            self._count_before(types)  # not at the first count, because a page waits for it
        self._read_failures(now)
        self._forget(now - SPAN)
        return Picture(
            at=now,
            depths=depths,
            functions=read_unfinished(self._storage, depths, policies.keys()),
            policies=policies,
            types=types,
            ended={
                name: {status: dict(slots) for status, slots in kinds.items()}
                for name, kinds in self._ended.items()
            },
            failures=tuple(sorted(self._failures.values(), key=lambda one: one.id, reverse=True)),
            known_since=self._known_since,
            is_whole=self._knows_the_hour(),
        )

    def _count_recent(self, types: Sequence[str], now: int) -> None:
        if self._counted_to < now - MAX_GAP:  # nobody has looked at the dashboard for long
            self._ended.clear()
            self._counted_to = self._known_since = now - now % BACKFILL
        since = (self._counted_to - OVERLAP) // SLOT * SLOT
        self._count(types, since, now + SLOT)
        self._known_since = min(self._known_since, since)
        self._counted_to = now

    def _count_before(self, types: Sequence[str]) -> None:
        until = self._known_since
        self._count(types, until - BACKFILL, until)
        self._known_since = until - BACKFILL

    def _count(self, types: Sequence[str], since: int, until: int) -> None:
        counts = self._storage.finished_counts(types, _instant(since), _instant(until), step=SLOT)
        for kinds in self._ended.values():
            for slots in kinds.values():
                for slot in range(since, until, SLOT):
                    slots.pop(slot, None)
        for one in counts:
            self._ended[one.type][one.status][one.slot] = one.count

    def _read_failures(self, now: int) -> None:
        newest = max(self._failures, default=0)
        after, until = max(0, newest - LATE_IDS, self._storage.newest_attempt() - MAX_ATTEMPTS), 2**62
        while len(self._failures) < 2 * MAX_FAILURES:
            lines = self._storage.failures(after=after, until=until, limit=FAILURES_AT_ONCE)
            self._failures |= {line.id: line for line in lines}
            if len(lines) < FAILURES_AT_ONCE or lines[-1].ended_at.timestamp() < now - SPAN:
                break
            until = lines[-1].id

    def _forget(self, before: int) -> None:
        for kinds in self._ended.values():
            for status, slots in kinds.items():
                kinds[status] = {slot: tasks for slot, tasks in slots.items() if slot >= before}
        for name in [name for name, kinds in self._ended.items() if not any(kinds.values())]:
            del self._ended[name]
        for gone in sorted(self._failures)[:-MAX_FAILURES]:
            del self._failures[gone]


def _counted_types(policies: Mapping[str, TypePolicy], found: Sequence[str]) -> list[str]:
    """Return the types whose ended tasks are counted, which takes some queries for each: published types first."""
    unpublished = [name for name in found if name not in policies]
    return sorted([*sorted(policies), *unpublished][:MAX_TYPES])


def _instant(second: int) -> datetime:
    return datetime.fromtimestamp(second, UTC)
