"""When a tree that was started with --drain has nothing left to do.

A type that is idle may get a task from a handler of another type a moment later. So when all types are idle, each is
asked once more in the same round. Only if all answer that round with "idle" is the tree idle. One that is not idle
ends the round.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol


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


class IdleCheck:
    """The rounds of questions; `on_idle` is called when the whole tree is idle.

    Args:
        groups: the pool groups.
        on_idle: called when all groups were idle in one round.
        has_recovered: whether the tasks of dead trees are already back in the table, or no healer runs here.
    """

    def __init__(
        self, groups: Iterable[IdleGroup], on_idle: Callable[[], None], *, has_recovered: bool
    ) -> None:
        self._groups = groups
        self._on_idle = on_idle
        self._has_recovered = has_recovered
        self._round = 0

    def on_recovered(self) -> None:
        """Begin a round: tasks of a dead tree may be in the table again."""
        self._has_recovered = True
        self._begin_round()

    def on_answer(self) -> None:
        """Decide after each answer of a group what to do next."""
        if not self._has_recovered:
            return
        groups = list(self._groups)
        answered = [group.idle_check == self._round for group in groups]
        if not all(group.idle for group in groups):
            self._round += 1  # what others have answered in this round counts no longer
        elif all(answered) and self._round:
            self._on_idle()
        elif not any(answered) or not self._round:
            self._begin_round()

    def _begin_round(self) -> None:
        self._round += 1
        for group in self._groups:
            group.ask_idle(self._round)
