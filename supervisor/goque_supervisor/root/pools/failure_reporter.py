"""The process that calls the app's functions about failures of one pool group, or of tasks that the healer has charged.

It starts when an attempt has failed.
"""

from __future__ import annotations

import logging
from collections import deque
from typing import Final, TypeAlias

from goque_supervisor.root.child import Child
from goque_supervisor.root.processes import Processes, StartRetries
from goque_supervisor.root.timers import Timers
from goque_supervisor.root.tree import HealedTasks, PoolGroupSpec

log = logging.getLogger("goque.supervisor")

CALL_LIMIT: Final = 15.0
"""Seconds for one call: the process ends a slow one after 10, and is killed if it cannot."""

MAX_BATCH: Final = 4 * 1024 * 1024
MAX_WAITING: Final = 32 * 1024 * 1024
"""Characters of reports that one process gets, and that wait here; more are not called for."""


Reportable: TypeAlias = PoolGroupSpec | HealedTasks


class FailureReporter:
    """Has each failed attempt reported once. A report whose process dies is not tried again, the next ones are.

    Args:
        processes: the processes of the tree.
        timers: the root's.
    """

    def __init__(self, processes: Processes, timers: Timers) -> None:
        self._processes = processes
        self._timers = timers
        self._spec: Reportable | None = None
        self._waiting: deque[str] = deque()
        self._batch: list[str] = []
        self._told = 0
        self._child: Child | None = None
        self._started = 0
        self._size = 0
        self._dropped = 0
        self._has_ended = False
        self._retries = StartRetries(timers)

    @property
    def is_busy(self) -> bool:
        """Whether a report waits, or a process runs."""
        return bool(self._waiting) or self._child is not None

    @property
    def _title(self) -> str:
        return self._spec.title if self._spec is not None else ""

    def add(self, spec: Reportable, failures: list[str]) -> None:
        """Report these failed attempts, after those that wait."""
        if self._has_ended:
            log.warning(
                "on_failure of %s: skipped %d call(s), because the tree stops now",
                spec.title,
                len(failures),
            )
            return
        self._spec = spec
        for failure in failures:
            if self._size + len(failure) > MAX_WAITING and self._waiting:
                self._dropped += 1
                continue
            self._waiting.append(failure)
            self._size += len(failure)
        self._start_next()

    def end(self) -> None:
        """Report nothing more, because the tree stops now; the log tells how many calls are left out."""
        if self._has_ended:
            return
        self._has_ended = True
        left_out = len(self._waiting) + len(self._batch) - self._told
        if self._spec is not None and left_out:
            log.warning(
                "on_failure of %s: skipped %d call(s), because the tree stops now",
                self._spec.title,
                left_out,
            )
        self._waiting.clear()
        self._batch, self._told = [], 0
        if self._child is not None:
            self._processes.kill(self._child, "shutdown")

    def on_told(self, child: Child) -> None:
        """Take note that one call has ended."""
        if child is self._child:
            self._told += 1
            self._limit(child)

    def on_ended(self, child: Child) -> None:
        """Go on with what is left: all but the report whose call has ended its process."""
        if child is not self._child:
            return
        untold, self._batch, self._child = self._batch[self._told :], [], None
        if untold:
            log.error("on_failure of %s has ended its process: one call is lost", self._title)
        self._put_back(untold[1:])
        self._start_next()

    def on_not_started(self, child: Child, why: str) -> None:
        """Try again later, with all that it was to report."""
        if child is self._child:
            batch, self._batch, self._child = self._batch, [], None
            self._put_back(batch)
            self._retries.plan(child.spec.name, why, self._start_next)

    def _put_back(self, reports: list[str]) -> None:
        self._waiting.extendleft(reversed(reports))
        self._size += sum(map(len, reports))

    def _start_next(self) -> None:
        if self._child is not None or not self._waiting or self._spec is None:
            return
        if self._dropped:
            log.warning("on_failure of %s is too slow: skipped %d call(s)", self._spec.title, self._dropped)
            self._dropped = 0
        batch = self._next_batch()
        self._started += 1
        spec = self._spec.reporter(self._started)
        try:
            child = self._processes.start(spec, {"pool": spec.pool, "failures": batch})
        except OSError as error:
            self._put_back(batch)
            self._retries.plan(f"on_failure of {self._spec.title}", str(error), self._start_next)
            return
        if child is None:  # its nursery is on the way
            self._put_back(batch)
            self._timers.after(1.0, self._start_next)
            return
        self._batch, self._told, self._child = batch, 0, child
        self._limit(child)

    def _next_batch(self) -> list[str]:
        batch = [self._waiting.popleft()]
        size = len(batch[0])
        while self._waiting and size + len(self._waiting[0]) <= MAX_BATCH:
            batch.append(self._waiting.popleft())
            size += len(batch[-1])
        self._size -= size
        return batch

    def _limit(self, child: Child) -> None:
        told = self._told
        self._timers.after(CALL_LIMIT, lambda: self._end_slow(child, told))

    def _end_slow(self, child: Child, told: int) -> None:
        if child is self._child and told == self._told:
            log.error("on_failure of %s ran for more than %gs: killing it", self._title, CALL_LIMIT)
            self._processes.kill(child, "callback")
