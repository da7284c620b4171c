"""What waits and what runs of each function of a type whose tasks call different functions, such as Django's tasks.

Counts come from one bounded query for each such type, runs from what the nodes report. Other types cost no query.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from goque.describe.node_info import FunctionInfo, Runs, TypeInfo, summed
from goque.identifiers import has_functions
from goque.storage.contract import QueueDepth, TaskStorage
from goque.storage.search_types import FunctionCount
from goque.task_row import CLAIMED_STATUSES, TaskStatus


@dataclass(frozen=True)
class FunctionLine:
    """One function, over all nodes.

    Attributes:
        name: its path; empty for tasks whose external id names none.
        new, error, claimed: its tasks that wait or run; None if there are too many to count.
        runs: its runs in the last minute.
    """

    name: str
    new: int | None
    error: int | None
    claimed: int | None
    runs: Runs

    @property
    def waiting(self) -> int | None:
        """Its tasks that no node has claimed; None if there are too many to count."""
        return None if self.new is None or self.error is None else self.new + self.error


def read_unfinished(
    storage: TaskStorage, depths: Iterable[QueueDepth], published: Collection[str]
) -> dict[str, Sequence[FunctionCount] | None]:
    """Count the unfinished tasks of each function, of published types only, because anybody can enqueue other types.

    The value of a type is None if it has too many tasks to count.
    """
    types = {depth.type for depth in depths if has_functions(depth.type)}
    return {name: storage.unfinished_functions(name) for name in sorted(types) if name in published}


def function_lines(
    unfinished: Sequence[FunctionCount] | None, parts: Iterable[tuple[TypeInfo, float]]
) -> tuple[FunctionLine, ...]:
    """Make a line for each function of a type.

    Args:
        unfinished: its tasks that wait or run, None if there are too many to count.
        parts: what each node reports of the type, and the period of its recent figures in seconds.
    """
    depths = Counter({(one.function, one.status): one.count for one in unfinished or ()})
    reported: dict[str, list[tuple[FunctionInfo, float]]] = {}
    for part, seconds in parts:
        for function in part.functions:
            reported.setdefault(function.name, []).append((function, seconds))
    names = sorted({*reported, *(name for name, _status in depths)})
    counted = None if unfinished is None else depths
    return tuple(_line(name, counted, reported.get(name, [])) for name in names)


def _line(
    name: str, depths: Mapping[tuple[str, str], int] | None, parts: list[tuple[FunctionInfo, float]]
) -> FunctionLine:
    def count(*statuses: TaskStatus) -> int | None:
        return None if depths is None else sum(depths.get((name, status), 0) for status in statuses)

    return FunctionLine(
        name, count(TaskStatus.NEW), count(TaskStatus.ERROR), count(*CLAIMED_STATUSES), summed(parts)
    )
