"""Frozen time: for delays and retries in the database, and for schedules."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from goque.errors import ConfigurationError, length
from goque.periodic.jobs import PeriodicJob, next_slot, slots_due
from goque.periodic.slot_tasks import task_for_slot
from goque.queue.manager_storage import storage_of
from goque.storage.sql.storage import SqlStorage
from goque.task import Task

if TYPE_CHECKING:
    from goque.queue.manager import TaskQueueManager
    from goque.queue.manager_base import ManagerBase
    from goque.registry import Registry


class FrozenClock:
    """A clock that only tests move.

    Attributes:
        now: the time of the clock, aware.
    """

    def __init__(self, now: datetime) -> None:
        self.now = _aware("now", now)

    def __call__(self) -> datetime:
        """Return the time of the clock."""
        return self.now

    def advance(self, by: float | timedelta) -> None:
        """Move the clock forward by seconds or a timedelta."""
        self.now += timedelta(seconds=length(by, "by"))

    def move_to(self, now: datetime) -> None:
        """Set the clock to another time, which may be earlier."""
        self.now = _aware("now", now)


@contextmanager
def frozen_time(*queues: ManagerBase, at: datetime | None = None) -> Iterator[FrozenClock]:
    """Freeze the clock of these queues in this process, during the block.

    goque uses the yielded clock for the times at which tasks are created, due, claimed and retried, also on a database
    server. Other processes still use the server's clock. Python's own clock is not changed.

    Args:
        queues: managers, as `registry.queue`.
        at: the time to start with, aware; by default the current time.

    Raises:
        ConfigurationError: there is no queue, `at` has no time zone, or a storage is none of goque's own.
    """
    if not queues:
        raise ConfigurationError("frozen_time needs at least one queue")
    clock = FrozenClock(at or datetime.now(UTC))
    with ExitStack() as undo:
        for queue in queues:
            storage = storage_of(queue)
            if not isinstance(storage, SqlStorage):
                raise ConfigurationError(f"{type(storage).__name__} has no clock that can be frozen")
            undo.callback(storage.use_clock, None)
            storage.use_clock(clock)
        yield clock


def slots_between(job: PeriodicJob, start: datetime, end: datetime) -> list[datetime]:
    """Return the slots of a job after `start` up to `end`, both aware, in UTC.

    Raises:
        PeriodicJobError: its schedule raises, does not advance, or returns no aware datetime.
        ConfigurationError: `start` or `end` has no time zone.
    """
    slots: list[datetime] = []
    _aware("end", end)
    slot = next_slot(job, _aware("start", start))
    while slot is not None and slot <= end:
        slots.append(slot)
        slot = next_slot(job, slot)
    return slots


def enqueue_due_jobs(registry: Registry, queue: TaskQueueManager, now: datetime) -> list[Task]:
    """Run one round of the scheduler at a given time: enqueue each due slot of each job, and return the tasks.

    As in a tree, the first round for a job only records the time from which its slots count. Paused jobs are skipped,
    and a slot is not enqueued twice.

    Raises:
        PeriodicJobError: a job's schedule or factory fails. A tree would log this.
        ConfigurationError: `now` has no time zone.
    """
    storage, enqueued = queue.storage, list[Task]()
    paused = storage.paused_jobs()
    for job in registry.jobs:
        if job.name in paused:
            continue
        last = storage.last_slot(job.name)
        if last is None:
            storage.record_slot(job.name, _aware("now", now))
        for slot in slots_due(job, last, now):
            task = task_for_slot(job, slot)
            registry.prepare_tasks([task])
            enqueued += storage.insert_tasks([task], on_conflict="skip")
            storage.record_slot(job.name, slot)
    return enqueued


def _aware(name: str, moment: datetime) -> datetime:
    if not isinstance(moment, datetime) or moment.tzinfo is None:
        raise ConfigurationError(f"{name} must be a datetime with a time zone, not {moment!r:.80}")
    return moment.astimezone(UTC)
