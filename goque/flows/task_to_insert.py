"""A task on its way to the table: what a worker sends to its fetcher, which inserts it. No I/O happens here."""

from __future__ import annotations

from datetime import datetime
from typing import Self

import msgspec

from goque.payload import encode_payload
from goque.task import Task
from goque.task_rules.uniqueness import OnConflict, UniqueRule


class TaskToInsert(msgspec.Struct, frozen=True, array_like=True):
    """A task that its handler has checked and completed, as data.

    Attributes:
        id: its id.
        type: its type.
        external_id: its external id.
        payload: its JSON text.
        metadata: a JSON object.
        delay: seconds from the database's now at the insert until it is due.
        run_at: when it is due; None for `delay`.
        priority: its priority.
        unique: scope, key, debounce and max_wait of its rule (see `UniqueRule`); None for a task that is not unique.
        limit_key: the column; the empty text stands for no key.
        on_conflict: what to do if a task has its external id, or holds its unique key.
    """

    id: str
    type: str
    external_id: str
    payload: bytes
    metadata: bytes
    delay: float = 0.0
    run_at: datetime | None = None
    priority: int = 0
    unique: tuple[str | float | None, str | None, float | None, float | None] | None = None
    limit_key: str | None = None
    on_conflict: OnConflict = "raise"

    @classmethod
    def of(cls, task: Task, on_conflict: OnConflict = "raise") -> Self:
        """Return a task as data.

        Raises:
            PayloadEncodeError, InvalidPayloadFormatError: its metadata cannot be stored.
        """
        rule = task.unique_rule
        key = rule.key if rule is not None and isinstance(rule.key, str) else None
        return cls(
            id=task.id,
            type=task.type,
            external_id=task.external_id,
            payload=task.payload_bytes,
            metadata=encode_payload(task.metadata, what="metadata") if task.metadata else b"{}",
            delay=task.delay,
            run_at=task.next_attempt_at,
            priority=task.priority,
            unique=None if rule is None else (rule.scope, key, rule.debounce, rule.max_wait),
            limit_key=task.stored_limit_key,
            on_conflict=on_conflict,
        )

    @property
    def size(self) -> int:
        """The bytes of its payload and its metadata."""
        return len(self.payload) + len(self.metadata)

    def task(self) -> Task:
        """Return the task, to be inserted."""
        task = Task(
            self.type,
            msgspec.Raw(self.payload),
            external_id=self.external_id,
            metadata=msgspec.json.decode(self.metadata),
            priority=self.priority,
        )
        task.id, task.delay, task.next_attempt_at = self.id, self.delay, self.run_at
        task.stored_limit_key = self.limit_key
        if self.unique is not None:
            scope, key, debounce, max_wait = self.unique
            task.complete_unique(UniqueRule(scope, None, debounce, max_wait), key)
        return task
