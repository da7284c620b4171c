"""Count tasks by type and status without reading all of them: each count ends at a number of tasks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from goque.identifiers import function_of, function_or_nothing
from goque.storage.search_types import BoundedCount, FunctionCount, TypeCounts
from goque.storage.sql.call_policy import LONG_READ, PINNED_READ
from goque.storage.sql.read_values import read_count
from goque.storage.sql.search import MAX_CANDIDATES, MAX_TYPES, WAITING
from goque.storage.sql.session import Session
from goque.storage.sql.task_lists.reads import SqlTaskLists
from goque.task_row import CLAIMED_STATUSES, TaskStatus

MAX_COUNTED: Final = 100_000
"""How many tasks of one status are counted together, of all types. They are counted from an index alone."""

LEAST: Final = 500
"""The smallest number at which the count of one type and status ends. It depends on the number of types."""

MAX_WAITING: Final = 20_000
LEAST_WAITING: Final = 100
"""The same for waiting tasks: some databases read each row to tell those that have failed before."""

MAX_CLAIMED: Final = 20_000
"""How many claimed tasks are counted."""

Groups = Counter[tuple[str, str]]


class SqlTypeCounts(SqlTaskLists):
    """The part of the contract that counts tasks for people who look at all types."""

    def bounded_counts(self) -> TypeCounts:
        """Count tasks by type and status, in that order; each count ends at a number of tasks."""
        return self._run(self._bounded_counts, PINNED_READ)

    def _bounded_counts(self, session: Session) -> TypeCounts:
        text = self._dialect.read_text
        published = sorted(text(row[0]) for row in session.rows(self._sql.type_policies))
        found = self._types_in(session)
        types = list(dict.fromkeys([*published, *found]))
        counts: Groups = Counter()
        cut: set[tuple[str, str]] = set()
        self._count_unclaimed(session, types[:MAX_TYPES], counts, cut)
        self._count_claimed(session, set(types[:MAX_TYPES]), counts, cut)
        groups = sorted(group for group in counts.keys() | cut if counts[group] or group in cut)
        return TypeCounts(
            [BoundedCount(*group, counts[group], group in cut) for group in groups],
            is_cut=len(types) > MAX_TYPES,
        )

    def _count_unclaimed(
        self, session: Session, types: Sequence[str], counts: Groups, cut: set[tuple[str, str]]
    ) -> None:
        statements, text = self._sql.type_counts, self._dialect.read_text
        at_once = statements.types_at_once
        for status, sql in statements.unclaimed.items():
            of_both = status == TaskStatus.NEW and TaskStatus.ERROR not in statements.unclaimed
            most = bound_of(len(types), is_waiting=of_both)
            for start in range(0, len(types), at_once):
                params = statements.params(self._dialect.encode_list, types[start : start + at_once])
                rows = session.rows(sql, {**params, "status": status.value, "most": most + 1})
                of_types: dict[str, Counter[str]] = {}
                for task_type, counted, tasks in rows:
                    of_types.setdefault(text(task_type), Counter())[text(counted)] += read_count(tasks)
                for task_type, found in of_types.items():
                    if found.total() > most:
                        cut |= {(task_type, one.value) for one in (WAITING if of_both else (status,))}
                        found[found.most_common(1)[0][0]] -= 1  # the one that shows that there are more
                    counts.update({(task_type, name): tasks for name, tasks in found.items()})

    def _count_claimed(
        self, session: Session, types: set[str], counts: Groups, cut: set[tuple[str, str]]
    ) -> None:
        text = self._dialect.read_text
        for sql in self._sql.type_counts.claimed:
            found: Groups = Counter()
            for task_type, status, tasks in session.rows(sql, {"most": MAX_CLAIMED}):
                found[text(task_type), text(status)] += read_count(tasks)
            if found.total() >= MAX_CLAIMED:
                cut |= {(name, status.value) for name in types for status in CLAIMED_STATUSES}
            counts.update({group: tasks for group, tasks in found.items() if group[0] in types})

    def function_counts(self, task_type: str) -> list[FunctionCount]:
        """Count all tasks of a type by the function that their external id names, and by status, in that order."""
        params = {"task_type": task_type}
        rows = self._run(lambda session: session.rows(self._sql.function_counts, params), LONG_READ)
        text = self._dialect.read_text
        counts: Counter[tuple[str, str]] = Counter()
        for name, status, count in rows:
            counts[function_or_nothing(text(name)), text(status)] += count
        return _function_counts(counts)

    def unfinished_functions(self, task_type: str) -> list[FunctionCount] | None:
        """Count the tasks of a type that wait or run, by function and status; None if there are too many."""
        params = {"types": self._dialect.encode_list([task_type]), "most": MAX_CANDIDATES + 1}
        sql, text = self._sql.search, self._dialect.read_text
        parts = self._run(
            lambda session: [session.rows(one, params) for one in (sql.waiting, sql.held)], PINNED_READ
        )
        if any(len(rows) > MAX_CANDIDATES for rows in parts):
            return None
        unfinished = WAITING | CLAIMED_STATUSES
        return _function_counts(
            Counter(
                (function_of(task_type, text(external_id)), text(status))
                for rows in parts
                for _id, status, external_id in rows
                if text(status) in unfinished
            )
        )


def bound_of(types: int, *, is_waiting: bool = False) -> int:
    """Return where the count of one type and status ends, if this many types are counted.

    Args:
        types: how many types there are.
        is_waiting: whether the rows of the tasks are read.
    """
    if is_waiting:
        return max(LEAST_WAITING, MAX_WAITING // max(1, types))
    return max(LEAST, MAX_COUNTED // max(1, types))


def _function_counts(counts: Counter[tuple[str, str]]) -> list[FunctionCount]:
    return [FunctionCount(function, status, count) for (function, status), count in sorted(counts.items())]
