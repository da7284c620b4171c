"""How a dialect walks the limit keys of a type: one seek in an index for each key, whatever waits behind it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple

from goque.storage.sql.read_values import read_number
from goque.storage.sql.session import Session
from goque.task_rules.limits import Pace


class KeyHead(NamedTuple):
    """A key with waiting tasks.

    Attributes:
        key: the key.
        priority: the priority of its first task.
        is_due: whether this task is due.
        pace: how far the starts of the key are.
    """

    key: str
    priority: int
    is_due: bool
    pace: Pace


class Share(NamedTuple):
    """What one claim takes of a key: up to so many due tasks of a priority."""

    key: str
    priority: int
    number: int


class KeyQueries(ABC):
    """The questions that a claim by limits asks of the keys of a type."""

    @abstractmethod
    def next_keys(self, session: Session, task_type: str, after: str | None, most: int) -> list[KeyHead]:
        """Return the first `most` keys with waiting tasks, in their order, that come after a key; None for all."""

    @abstractmethod
    def due_priorities(
        self, session: Session, task_type: str, keys: Sequence[str], past: Sequence[Any]
    ) -> dict[str, int]:
        """Return, for each of these keys that has a due task, the highest priority of one.

        Args:
            session: the connection.
            task_type: the type.
            keys: the keys.
            past: the keys in the table of tasks to leave out.
        """

    @abstractmethod
    def due(
        self, session: Session, task_type: str, shares: Sequence[Share], past: Sequence[Any]
    ) -> list[tuple[Any, str]]:
        """Return the tasks that shares take, the longest due of each first: each by its key in the table, and its id.

        Args:
            session: the connection.
            task_type: the type.
            shares: what to take, each of another limit key.
            past: the keys in the table of tasks to leave out.
        """


def read_pace(arrival: Any, not_before: Any) -> Pace:
    """Read how far starts are; what is no instant counts as none."""
    return Pace(read_number(arrival, 0.0), read_number(not_before, 0.0))
