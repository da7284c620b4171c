"""Remember which types are claimed by limits, and what their limits left at the last claim. No I/O here.

A plain claim takes nothing of a type that has limits in the table. Only then, when a task is due and nothing was
claimed, does the storage ask which types have limits: a type without any costs no question.
"""

from __future__ import annotations

from collections.abc import Iterable

from goque.storage.contract import HeldBack, TypePolicy
from goque.task_row import TaskRow


class LimitedTypes:
    """The types of one storage that are claimed by limits or in turns."""

    def __init__(self) -> None:
        self._limited: set[str] = set()
        self._declared: set[str] = set()
        self._refused: set[str] = set()
        self._held_back: dict[str, HeldBack] = {}

    def __contains__(self, task_type: str) -> bool:
        return task_type in self._limited

    def published(self, policies: Iterable[TypePolicy]) -> None:
        """Take note of what an app says of its types."""
        for policy in policies:
            if policy.takes_turns or policy.limits:
                self._limited.add(policy.type)
                self._declared.add(policy.type)
            else:
                self._declared.discard(policy.type)

    def claimed_plainly(self, types: Iterable[str], rows: Iterable[TaskRow]) -> None:
        """Take note of a plain claim of some types: one whose tasks have keys takes turns from now on."""
        found = set()
        for row in rows:
            found.add(row.type)
            if row.limit_key:
                self._limited.add(row.type)
        for task_type in types:
            if task_type in found:
                self._refused.discard(task_type)
            else:
                self._refused.add(task_type)

    def put_off(self, task_type: str) -> None:
        """Take note that a type is held back for a while."""
        self._limited.add(task_type)

    def may_be(self, task_type: str) -> bool:
        """Return whether limits may be why the last plain claim of a type, which has a due task, got nothing."""
        return task_type in self._refused and task_type not in self._limited

    def learn(self, types: Iterable[str]) -> None:
        """Take note of all types that have limits in the table."""
        self._limited.update(types)
        self._refused.clear()

    def claimed(self, task_type: str, held_back: HeldBack | None, *, is_limited: bool) -> None:
        """Take note of a claim by limits."""
        if held_back is None:
            self._held_back.pop(task_type, None)
        else:
            self._held_back[task_type] = held_back
        if not is_limited and task_type not in self._declared:
            self._limited.discard(task_type)

    def held_back(self, task_type: str) -> HeldBack | None:
        """Return why the last claim of a type left tasks that are due."""
        return self._held_back.get(task_type)
