"""When a tree that was started with --drain has nothing left to do.

A type that is idle may get a task from a handler of another type a moment later. So when all types are idle, each is
asked once more in the same round. Only if all answer that round with "idle" is the tree idle. One that is not idle
ends the round. So does a call of the app's `on_failure` or of a `crash_handler`, which may enqueue tasks as well.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Protocol

from goque_supervisor.root.node import NodeView
from goque_supervisor.root.shutdown import TREE_GAVE_UP

log = logging.getLogger("goque.supervisor")


class IdleGroup(Protocol):
    """What the check knows of a pool group.

    Attributes:
        idle: whether its fetcher found nothing to run and nothing running.
        idle_check: the number of the round that this answers, 0 for none.
    """

    idle: bool
    idle_check: int

    def ask_idle(self, check: int) -> None:
        """Have the fetcher look once more and answer with this number."""


class IdleGroups(Protocol):
    """What the check knows of all pool groups."""

    def __iter__(self) -> Iterator[IdleGroup]: ...

    @property
    def are_reporting(self) -> bool:
        """Whether a crash or a failed attempt is not reported to the app yet."""

    @property
    def held(self) -> list[str]:
        """The pools whose workers cannot boot."""


class Reporter(Protocol):
    """Reports to the app which tasks the healer has charged."""

    @property
    def is_busy(self) -> bool:
        """Whether a report waits or is made."""


class IdleCheck:
    """The rounds of questions; `stop` is called when the whole tree is idle.

    Args:
        groups: the pool groups.
        reporter: reports what the healer has charged.
        stop: called with the reason and the exit code when all groups were idle in one round.
        node: returns the node as it is now.
        has_healer: whether a healer runs here. It first returns the tasks of dead trees to the table.
    """

    def __init__(
        self,
        groups: IdleGroups,
        reporter: Reporter,
        stop: Callable[[str, int], None],
        node: Callable[[], NodeView],
        *,
        has_healer: bool,
    ) -> None:
        self._groups = groups
        self._reporter = reporter
        self._stop = stop
        self._node = node
        self._has_recovered = not has_healer
        self._round = 0

    def on_recovered(self) -> None:
        """Begin a round: tasks of a dead tree may be in the table again."""
        self._has_recovered = True
        self._begin_round()

    def look(self) -> None:
        """Decide what to do next: after each answer of a group, and after the end of each process."""
        node = self._node()
        if not node.ends_when_idle or node.is_stopping or not (node.is_up and self._has_recovered):
            return
        groups = list(self._groups)
        answered = [group.idle_check == self._round for group in groups]
        is_reporting = self._groups.are_reporting or self._reporter.is_busy
        if is_reporting or not all(group.idle for group in groups):
            self._round += 1  # what others have answered in this round counts no longer
        elif all(answered) and (self._round or not groups):
            self._end()
        elif not any(answered) or not self._round:
            self._begin_round()

    def _begin_round(self) -> None:
        self._round += 1
        for group in self._groups:
            group.ask_idle(self._round)

    def _end(self) -> None:
        if held := ", ".join(self._groups.held):
            log.error("workers of %s cannot boot: their tasks stay in the queue", held)
            self._stop(f"drained, except {held}", TREE_GAVE_UP)
        else:
            self._stop("drained", 0)
