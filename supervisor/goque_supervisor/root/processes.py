"""What the parts of the root may do with processes. ProcessTable does it; unit tests bring processes of their own."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from goque_supervisor.root.child import Child
from goque_supervisor.root.timers import Timers
from goque_supervisor.root.tree import ChildSpec

log = logging.getLogger("goque.supervisor")

START_RETRY: Final = 1.0
REPORT_PERIOD: Final = 60.0


class Processes(Protocol):
    """The processes of a tree: start them, end them, find them."""

    def start(self, spec: ChildSpec, boot: dict[str, Any]) -> Child | None:
        """Start a process; None while its nursery is not up.

        Raises:
            OSError: the system has no descriptor or disk block left.
        """

    def stop(self, child: Child) -> None:
        """Ask a process to end; it is killed when it takes longer than its specification allows."""

    def kill(self, child: Child, reason: str) -> None:
        """Kill a process now."""

    def kill_all(self, children: Sequence[Child], reason: str) -> None:
        """Kill processes now. Handlers that have not stopped in time leave their stacks before."""

    def interrupt(self, child: Child, seq: int, reason: str, grace: float) -> None:
        """Ask a worker to stop a job; the worker is killed if the job still runs after the grace in seconds."""

    def ask_for_stack(self, child: Child) -> None:
        """Ask a worker to write its stack to its file, if it can; its handler goes on."""

    def find(self, name: str) -> Child | None:
        """Return the newest living process of this name."""

    def workers(self, pool: str) -> list[Child]:
        """Return the living workers of a type."""

    def living(self) -> list[Child]:
        """Return every process from the request to start it until it is reaped."""


class StartRetries:
    """Tries each second to start what the system did not let start, and reports it once a minute."""

    def __init__(self, timers: Timers) -> None:
        self._timers = timers
        self._planned: set[str] = set()
        self._reported: dict[str, float] = {}

    def plan(self, name: str, why: str, start: Callable[[], object]) -> None:
        """Report that a process could not be started, and try again in a second."""
        now = self._timers.now()
        if now - self._reported.get(name, -REPORT_PERIOD) >= REPORT_PERIOD:
            self._reported[name] = now
            log.error(
                "%s cannot be started (%s): trying again every %gs; running processes go on",
                name,
                why,
                START_RETRY,
            )
        if name not in self._planned:
            self._planned.add(name)
            self._timers.after(START_RETRY, lambda: self._again(name, start))

    def _again(self, name: str, start: Callable[[], object]) -> None:
        self._planned.discard(name)
        start()
