"""Instants reckoned from the database's clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from goque.task import Task

EARLIEST: Final = datetime(1, 1, 1, tzinfo=UTC)
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
LATEST: Final = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)


def time_text(instant: datetime) -> str:
    """Write an aware datetime as `2026-11-23T21:02:33.123456Z`."""
    if instant.tzinfo is not UTC:
        instant = instant.astimezone(UTC)
    return f"{instant.isoformat(timespec='microseconds')[:26]}Z"


def later(now: datetime, delay: float) -> datetime:
    """Return the instant `delay` seconds from now, within what a datetime can say."""
    try:
        return now + timedelta(seconds=delay)
    except OverflowError:
        return LATEST if delay > 0 else EARLIEST


def due_at(task: Task, now: datetime) -> datetime:
    """Return when a task that is inserted now is due."""
    if task.delay:
        return later(now, task.delay)
    return task.next_attempt_at or now
