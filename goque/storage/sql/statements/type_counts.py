"""The statements by which tasks are counted by type and status, each count up to a number of tasks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from goque.task_row import TaskStatus


@dataclass(frozen=True, kw_only=True)
class TypeCountStatements:
    """Counts of a type and a status, in rows of three columns: type, status and how many tasks.

    Attributes:
        types_at_once: how many types a statement counts: those in `:types`, which are `:type_0`, `:type_1` and so on
            as well. Fewer types are filled up with NULL.
        unclaimed: the statement that counts what nobody has claimed in `:status`, by this status; each type's count
            ends at `:most`. The one for `new` may count those in `error` too, in rows of their own.
        claimed: two statements that count what somebody holds, and what the original has claimed. They look at `:most`
            tasks, of any type.
    """

    types_at_once: int
    unclaimed: Mapping[TaskStatus, str]
    claimed: tuple[str, str]
