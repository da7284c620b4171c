"""The ordered end of a tree: who is told what, what is finished, what is requeued, and how long it may take.

1. scheduler, cleaner, healer and reloader end; fetchers stop claiming and requeue what has not started;
2. running handlers go on until the deadline, then their workers are killed and their tasks requeued, uncharged;
3. each fetcher writes the last results and sends Drained; its workers end, then it ends;
4. lease and monitor end last; the root kills and reaps what is left.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from goque_supervisor.root.child import Child
from goque_supervisor.root.pools.failure_reporter import FailureReporter
from goque_supervisor.root.pools.pool_groups import PoolGroups
from goque_supervisor.root.processes import Processes
from goque_supervisor.root.timers import Timers

log = logging.getLogger("goque.supervisor")

WRITE_LIMIT: Final = 5.0
USER_FUNCTION_LIMIT: Final = 3.0
"""Seconds after the deadline for the app's functions about crashes and failures, and for all that is written then."""

UNWRITTEN: Final = 3
TREE_GAVE_UP: Final = 4
FIRST_TO_END: Final = ("scheduler", "cleaner", "healer", "reloader")
LAST_TO_END: Final = ("lease", "monitor")


@dataclass(frozen=True)
class TreeEnd:
    """How a tree ended.

    Attributes:
        exit_code: what the root exits with.
        error: what to say on standard error, empty for nothing.
        keep_black_boxes: whether black boxes stay on disk, because their results are not in the database.
    """

    exit_code: int
    error: str = ""
    keep_black_boxes: bool = False


class Shutdown:
    """One shutdown; `advance` moves it on whenever something has ended.

    Args:
        reason: why the tree stops, for the log.
        exit_code: what the root exits with if all results are written.
        limit: how long running handlers may go on, in seconds.
        processes: the processes of the tree.
        groups: its pool groups.
        failures: the process that calls the app's functions about what the healer has charged.
        timers: the root's timers and clock.
        on_end: called once, when everything has ended or was killed.
    """

    def __init__(
        self,
        reason: str,
        exit_code: int,
        limit: float,
        *,
        processes: Processes,
        groups: PoolGroups,
        failures: FailureReporter,
        timers: Timers,
        on_end: Callable[[TreeEnd], None],
    ) -> None:
        self._reason = reason
        self._asked_code = exit_code
        self._limit = limit
        self._processes = processes
        self._groups = groups
        self._failures = failures
        self._timers = timers
        self._on_end = on_end
        self._has_hurried = False
        self._killed_running = False
        self._last_were_stopped = False
        self._has_ended = False

    def begin(self) -> None:
        """Start the shutdown."""
        runs = any(worker.box and worker.box.read().running for worker in self._workers())
        log.info(
            "stopping (%s): %s",
            self._reason,
            f"running handlers have {self._limit:g}s to finish" if runs else "no handler runs",
        )
        self._stop(FIRST_TO_END)
        self._groups.drain()
        self._timers.after(self._limit, lambda: self._kill_running("at the deadline"))
        self.advance()

    def hurry(self, reason: str) -> None:
        """Kill now what is still running, and requeue it."""
        log.info("%s again: stopping now", reason)
        if not self._has_hurried:
            self._has_hurried = True
            self._end_user_functions()
        self._kill_running("at the second signal")

    def advance(self) -> None:
        """Take the next step once all before it is done."""
        if any(self._processes.find(name) for name in FIRST_TO_END):
            return
        if not self._groups.are_gone or self._failures.is_busy:
            return
        if not self._last_were_stopped:
            self._last_were_stopped = True
            self._stop(LAST_TO_END)
        if not self._processes.living() and not self._has_ended:
            self._end(TreeEnd(self._exit_code()))
            log.info("stopped")

    def _stop(self, names: tuple[str, ...]) -> None:
        for name in names:
            child = self._processes.find(name)
            if child is not None:
                self._processes.stop(child)

    def _kill_running(self, when: str) -> None:
        if self._killed_running:
            return
        self._killed_running = True
        running = sum(len(worker.box.read().running) for worker in self._workers() if worker.box is not None)
        if running:
            log.warning("%d task(s) still running %s: goque stops and requeues them", running, when)
        self._groups.kill_workers("shutdown")
        self._timers.after(USER_FUNCTION_LIMIT, self._end_user_functions)
        self._timers.after(WRITE_LIMIT, self._end_by_force)
        self.advance()

    def _end_user_functions(self) -> None:
        self._groups.end_user_functions()
        self._failures.end()

    def _workers(self) -> Iterator[Child]:
        for group in self._groups:
            yield from group.workers

    def _end_by_force(self) -> None:
        if self._has_ended:
            return
        undrained = ", ".join(group.spec.name for group in self._groups if group.drained is None)
        for child in self._processes.living():
            self._processes.kill(child, "shutdown")
        end = TreeEnd(self._exit_code())
        if undrained:
            error = (
                f"the last results of {undrained} could not be written to the database; "
                "the next supervisor on this machine writes them, or a healer returns their tasks"
            )
            end = TreeEnd(UNWRITTEN, error, keep_black_boxes=True)
        self._end(end)
        unwritten = f"; unwritten: {undrained}" if undrained else ""
        log.info("stopped by force, with exit code %s%s", end.exit_code, unwritten)

    def _end(self, end: TreeEnd) -> None:
        self._has_ended = True
        self._on_end(end)

    def _exit_code(self) -> int:
        unwritten = sum(group.drained.unwritten for group in self._groups if group.drained)
        return UNWRITTEN if unwritten else self._asked_code
