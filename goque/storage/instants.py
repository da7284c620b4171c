"""Instants reckoned from the database's clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from goque.task import Task

EARLIEST: Final = datetime(1, 1, 1, tzinfo=UTC)
LATEST: Final = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)


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
