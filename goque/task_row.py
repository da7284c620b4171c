"""The row of a task as storage reads it, its status, and the token of a claim."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Final, NamedTuple

import msgspec

from goque.task_rules.need import Need

MAX_COUNT: Final = 2**31 - 1
"""The limit of a counter's column on PostgreSQL and MySQL: from there on a counter stands still. SQLite admits any
value, and it is read as the nearest of these."""


class TaskStatus(StrEnum):
    """The status of a task.

    `pending` means claimed by a fetcher, as in the original. `blocked` means that it waits for tasks that it needs.
    """

    NEW = "new"
    PENDING = "pending"
    PROCESSING = "processing"
    DONE = "done"
    CANCELED = "canceled"
    ERROR = "error"
    ATTEMPTS_LEFT = "attempts_left"
    BLOCKED = "blocked"

    @property
    def is_terminal(self) -> bool:
        """Whether a task in this status is finished for good, unless somebody resets it."""
        return self in TERMINAL_STATUSES


TERMINAL_STATUSES: Final = frozenset({TaskStatus.DONE, TaskStatus.CANCELED, TaskStatus.ATTEMPTS_LEFT})
HAS_NEEDS: Final = 1
"""Of `TaskRow.flags`: the task needs others."""

IS_NEEDED: Final = 2
"""Of `TaskRow.flags`: others need the task."""

IN_FLOW: Final = 4
"""Of `TaskRow.flags`: the task is one of a flow."""

CANCELED_BY_NEED: Final = 8
"""Of `TaskRow.flags`: the task was canceled because of one that it needs, and not by anybody."""

HAS_STEPS: Final = 16
"""Of `TaskRow.flags`: the table has steps, signals or progress of the task."""

IS_WAITED_FOR: Final = 32
"""Of `TaskRow.flags`: a call of `wait` wants to read its end. Only tasks that are deleted with their end have it."""

STATUS_OF: Final[dict[str, TaskStatus]] = {status.value: status for status in TaskStatus}
CLAIMED_STATUSES: Final = frozenset({TaskStatus.PENDING, TaskStatus.PROCESSING})


class Token(NamedTuple):
    """One claim of one task. A write with the token of an older claim changes nothing."""

    task_id: str
    claims: int
    owner: str


class TaskRow(msgspec.Struct, array_like=True, gc=False):
    """One row of `goque_task`, as storage reads it and as processes send it; payloads stay raw bytes.

    What is needed comes along with a claim.
    """

    id: str
    type: str
    external_id: str
    payload: bytes
    status: str
    attempts: int
    errors: str | None
    metadata: bytes | None
    created_at: datetime
    updated_at: datetime | None
    next_attempt_at: datetime
    priority: int = 0
    result: bytes | None = None
    claimed_by: str | None = None
    claims: int = 0
    lost_claims: int = 0
    unique_key: str | None = None
    limit_key: str | None = None
    flags: int | None = None
    needs: tuple[Need, ...] = ()

    @property
    def token(self) -> Token:
        """The token of the claim that this row shows."""
        # as Token(...), in half the time: each settlement makes one for each task
        return tuple.__new__(Token, (self.id, self.claims, self.claimed_by or ""))


def is_needed(row: TaskRow) -> bool:
    """Return whether others need a task."""
    return bool(row.flags and row.flags & IS_NEEDED)


def before_claim(row: TaskRow) -> TaskStatus:
    """Return the status of a claimed task before its claim: error if it has failed before, else new."""
    return TaskStatus.ERROR if row.attempts else TaskStatus.NEW


def next_attempt(row: TaskRow) -> int:
    """Return the number of the attempt that a claimed task makes, whatever somebody has written into its row."""
    return min(max(row.attempts, 0) + 1, MAX_COUNT)
