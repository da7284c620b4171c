"""Time that stands still: for delays and retries in the database, and for schedules."""

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
    """A clock that moves when it is told to.

    Attributes:
        now: what it shows, aware.
    """

    def __init__(self, now: datetime) -> None:
        self.now = _aware("now", now)

    def __call__(self) -> datetime:
        """Return what it shows."""
        return self.now

    def advance(self, by: float | timedelta) -> None:
        """Let so many seconds, or a timedelta, pass."""
        self.now += timedelta(seconds=length(by, "by"))

    def move_to(self, now: datetime) -> None:
        """Show another moment, be it earlier."""
        self.now = _aware("now", now)


@contextmanager
def frozen_time(*queues: ManagerBase, at: datetime | None = None) -> Iterator[FrozenClock]:
    """Stop the clock by which these queues reckon in this process, for the length of the block.

    When a task is created, due, claimed and tried again goes by the clock that the block gets; on a server too, whose
    own clock goes on for everybody else. The clock of Python, as handlers may ask it, is not touched.

    Args:
        queues: managers, as `registry.queue`.
        at: the aware moment to begin with; this one, if left out.

    Raises:
        ConfigurationError: there is no queue, `at` has no time zone, or a storage is none of goque's own.
    """
    if not queues:
        raise ConfigurationError("frozen_time needs a queue whose clock is to stand still")
    clock = FrozenClock(at or datetime.now(UTC))
    with ExitStack() as undo:
        for queue in queues:
            storage = storage_of(queue)
            if not isinstance(storage, SqlStorage):
                raise ConfigurationError(f"{type(storage).__name__} has no clock that could be stopped")
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
    """Do one round of the scheduler at a moment: enqueue each due slot of each job, and return the tasks.

    As in a tree, the first round for a job only takes note of the moment from which its slots count; paused jobs are
    left out, and a slot that is enqueued already is not enqueued again.

    Raises:
        PeriodicJobError: a job's schedule or factory fails; in a tree this would be logged.
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
            task.apply_default_priority(registry.default_priority(task.type))
            enqueued += storage.insert_tasks([task], on_conflict="skip")
            storage.record_slot(job.name, slot)
    return enqueued


def _aware(name: str, moment: datetime) -> datetime:
    if not isinstance(moment, datetime) or moment.tzinfo is None:
        raise ConfigurationError(f"{name} must be a datetime with a time zone, not {moment!r:.80}")
    return moment.astimezone(UTC)
