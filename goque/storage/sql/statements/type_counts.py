"""The statements by which tasks are counted by type and status, each count up to a number of tasks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

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
        newest_ended: types, ids and times of the tasks of these types that were the last to end in `:status`, `:most`
            of each type, the last first. A time may be NULL.
    """

    types_at_once: int
    unclaimed: Mapping[TaskStatus, str]
    claimed: tuple[str, str]
    newest_ended: str

    def params(self, encode: Callable[[Sequence[str]], Any], types: Sequence[str]) -> dict[str, Any]:
        """Return the parameters that name some types; `encode` makes `:types` of a list."""
        named: dict[str, Any] = {f"type_{place}": None for place in range(self.types_at_once)}
        named |= {f"type_{place}": name for place, name in enumerate(types)}
        return named | {"types": encode(list(types))}
