"""What people look for in a table of tasks, and what they get: data only."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from goque.storage.instants import EPOCH, LATEST, later
from goque.task_row import TaskStatus

SKEW: Final = 600.0
"""The most seconds by which the clock that made an id may differ from the database's clock, for a search by time."""

_TIMESTAMP_BITS: Final = 48


class TaskSearch(msgspec.Struct, frozen=True):
    """Which tasks to look for; what is left out admits every task.

    Attributes:
        task_type: the type.
        types: one of these types.
        statuses: one of these.
        external_id: exactly this one.
        limit_key: exactly this key of limits.
        failure: the group of failed attempts of which they are open tasks.
        error: a text somewhere in `errors`; capitals do not count.
        payload: a text somewhere in the payload as the database keeps it; capitals do not count. Spaces between the
            parts of the JSON differ from database to database.
        created_from: not created before this instant.
        created_before: created before this instant.
    """

    task_type: str | None = None
    types: tuple[str, ...] = ()
    statuses: tuple[TaskStatus, ...] = ()
    external_id: str | None = None
    limit_key: str | None = None
    failure: str | None = None
    error: str | None = None
    payload: str | None = None
    created_from: datetime | None = None
    created_before: datetime | None = None

    def with_types(self, types: Sequence[str]) -> TaskSearch:
        """Return the search for some types instead of its own one."""
        return msgspec.structs.replace(self, task_type=None, types=tuple(types))


class TaskLine(msgspec.Struct, frozen=True):
    """One task in a list: its row without what may be large; `last_errors` is the end of its errors."""

    id: str
    type: str
    external_id: str
    status: str
    attempts: int
    last_errors: str
    created_at: datetime
    updated_at: datetime | None
    next_attempt_at: datetime
    priority: int
    claimed_by: str | None


class TaskPage(msgspec.Struct, frozen=True):
    """A part of what a search finds, newest first, or oldest first if somebody asked for that.

    Attributes:
        lines: the tasks.
        before: the id from which to go on, None where nothing is left.
        looked_back_to: where the search stopped looking, for it looks at a bounded number of tasks each time: there
            may be more tasks behind, though this page is not full. None where it did not stop early.
    """

    lines: list[TaskLine]
    before: str | None = None
    looked_back_to: datetime | None = None


class StatusCount(msgspec.Struct, frozen=True):
    """How many tasks are in a status; `count` is a lower bound if `is_more`, because counting stopped there."""

    status: str
    count: int
    is_more: bool


class BoundedCount(msgspec.Struct, frozen=True, omit_defaults=True):
    """How many tasks of a type are in a status; `count` is a lower bound if `is_more`: counting stopped there."""

    type: str
    status: str
    count: int
    is_more: bool = False


class TypeCounts(msgspec.Struct, frozen=True):
    """Counts of tasks by type and status, in that order.

    Attributes:
        counts: one for each type and status that has tasks, or that may have some.
        is_cut: whether there are more types than these. Published types come first, then others by name.
    """

    counts: list[BoundedCount]
    is_cut: bool


class FunctionCount(msgspec.Struct, frozen=True):
    """How many tasks of a type that call the same function are in a status; an empty `function` is not named."""

    function: str
    status: str
    count: int


class FinishedCount(msgspec.Struct, frozen=True):
    """How many tasks of a type reached a status in a slot; `slot` is its start in seconds since 1970."""

    type: str
    status: str
    slot: int
    count: int


class FailureLine(msgspec.Struct, frozen=True):
    """One failed attempt in a list; type, status and external id are the task's now, empty where it is gone."""

    id: int
    task_id: str
    type: str
    status: str
    attempt: int
    cause: str
    error: str
    ended_at: datetime
    duration: float | None
    external_id: str = ""
    failure_group: str | None = None


class ScheduleRow(msgspec.Struct, frozen=True):
    """What the database knows of a periodic job."""

    job_name: str
    last_slot: datetime
    paused: bool


def first_id_at(instant: datetime) -> str:
    """Return the smallest id of a task that was made at an instant, up to the milliseconds that ids tell."""
    milliseconds = (instant.astimezone(UTC) - EPOCH) // timedelta(milliseconds=1)
    bounded = min(max(milliseconds, 0), (1 << _TIMESTAMP_BITS) - 1)
    text = f"{bounded:012x}"
    return f"{text[:8]}-{text[8:]}-0000-0000-000000000000"


def time_of_id(task_id: str) -> datetime:
    """Return when an id says that it was made; the latest instant if it is not an id of goque."""
    try:
        return later(EPOCH, int(task_id.replace("-", "")[:12], 16) / 1000)
    except ValueError:
        return LATEST
