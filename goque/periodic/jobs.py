"""Periodic jobs, and which slots of their schedules are due.

Every scheduler computes the same slots. `goque.periodic.slot_tasks` makes their tasks.
"""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, Final, Literal

from goque.callbacks import check_function
from goque.errors import ConfigurationError, GoqueError, length
from goque.periodic.cron import CronSchedule
from goque.task import Task
from goque.task_rules.checks import check_name
from goque.task_rules.error_lines import first_line
from goque.telemetry.passwords import hide_passwords

__all__ = [
    "CronSchedule",
    "PeriodicJob",
    "PeriodicJobError",
    "cron_job",
    "is_slot",
    "next_due",
    "next_slot",
    "next_slots",
    "said",
    "slot_text",
    "slots_due",
    "wants_slot",
]

Misfire = Literal["skip", "once", "all"]
Schedule = Callable[[datetime], datetime | None]
Factory = Callable[[], Task] | Callable[[datetime], Task]

MISFIRES: Final = ("skip", "once", "all")
MAX_JOB_NAME: Final = 200
GRACE: Final = timedelta(seconds=60)
"""The maximum delay of the newest slot under `skip`; enough time for another scheduler to take over."""

MAX_CATCH_UP: Final = 100
"""The maximum number of missed slots that `all` enqueues: the newest ones."""

MAX_STEPS: Final = 100_000
"""How many steps a schedule other than cron is followed from its last slot, before it is restarted from now."""


class PeriodicJobError(GoqueError):
    """A job's schedule or factory raised or returned a wrong value; the message names the job."""


@dataclass(frozen=True)
class PeriodicJob:
    """A task that is enqueued by a schedule.

    Args:
        name: unique among the jobs of all applications on one database; at most 200 characters.
        schedule: a callable from an aware datetime to the next one after it, or None when there is none.
        factory: makes the task; called without an argument, or with the slot if it requires one.
        run_on_start: whether each start of a supervisor also enqueues a task.
        misfire: what to do with slots that passed while no scheduler ran: `skip` runs only the
            newest, if it is at most 60 seconds late. `once` runs one for all. `all` runs each, at most the newest 100.
        jitter: the maximum random delay of each task in seconds (or a timedelta), so that jobs of the same time do
            not all start at once. The slot, and so the external id, stays the same.

    Raises:
        ConfigurationError: one of these is wrong; the message names the job.
    """

    name: str
    schedule: Schedule
    factory: Factory
    run_on_start: bool = False
    misfire: Misfire = "skip"
    jitter: float | timedelta = 0.0

    def __post_init__(self) -> None:
        check_name("name of a periodic job", self.name)
        job = f"periodic job {self.name!r}"
        if len(self.name) > MAX_JOB_NAME:
            raise ConfigurationError(f"{job} must have a name of at most {MAX_JOB_NAME} characters")
        if not callable(self.schedule):
            raise ConfigurationError(
                f"{job}: schedule must be callable, such as a CronSchedule, not {self.schedule!r:.80}"
            )
        check_function(f"{job}: schedule", self.schedule, "after")
        if self.misfire not in MISFIRES:
            raise ConfigurationError(
                f"{job}: misfire must be one of {', '.join(MISFIRES)}, not {self.misfire!r}"
            )
        if not isinstance(self.run_on_start, bool):
            raise ConfigurationError(f"{job}: run_on_start must be True or False, not {self.run_on_start!r}")
        object.__setattr__(self, "jitter", length(self.jitter, f"{job}: jitter"))
        wants_slot(job, self.factory)


def cron_job(  # noqa: PLR0917 - the contract's signature
    name: str,
    spec: str,
    factory: Factory,
    tz: str = "UTC",
    run_on_start: bool = False,  # noqa: FBT001, FBT002 - the contract's signature
    misfire: Misfire = "skip",
    jitter: float | timedelta = 0.0,
) -> PeriodicJob:
    """Make a periodic job from a cron expression; see `PeriodicJob` and `CronSchedule`."""
    try:
        schedule = CronSchedule(spec, tz)
    except ConfigurationError as error:
        raise ConfigurationError(f"periodic job {name!r:.210}: {error}") from error
    return PeriodicJob(name, schedule, factory, run_on_start, misfire, jitter)


def slots_due(job: PeriodicJob, last: datetime | None, now: datetime) -> list[datetime]:
    """Decide which slots to enqueue now, oldest first.

    Args:
        job: the job.
        last: the last enqueued slot; None before the first one. Then no slot is due, and slots count from the time
            at which the scheduler first saw the job.
        now: the current time, aware.

    Raises:
        PeriodicJobError: the schedule raises, does not advance, or returns no aware datetime.
    """
    now = _utc(now)
    if last is None or _utc(last) >= now:
        return []
    if job.misfire == "all":
        return _newest_slots(job, _utc(last), now, MAX_CATCH_UP)
    newest = _newest_slots(job, _utc(last), now, 1)
    if job.misfire == "skip":
        return [slot for slot in newest if now - slot <= GRACE]
    return newest


def next_due(job: PeriodicJob, last: datetime | None, now: datetime) -> datetime | None:
    """Return the next slot to wait for: the first after now.

    Raises:
        PeriodicJobError: the schedule raises, does not advance, or returns no aware datetime.
    """
    now = _utc(now)
    if last is None or isinstance(job.schedule, CronSchedule):
        return next_slot(job, now)
    slot = next_slot(job, last)
    for _ in range(MAX_STEPS):
        if slot is None or slot > now:
            return slot
        slot = next_slot(job, slot)
    return now  # too far behind: `slots_due` restarts from now


def next_slot(job: PeriodicJob, after: datetime) -> datetime | None:
    """Return the job's first slot after an instant, in UTC; None when its schedule has ended.

    Raises:
        PeriodicJobError: the schedule raises, does not advance, or returns no aware datetime.
    """
    try:
        slot = job.schedule(after)
    except Exception as error:
        raise PeriodicJobError(f"periodic job {job.name!r}: its schedule raised {said(error)}") from error
    if slot is None:
        return None
    if not isinstance(slot, datetime) or slot.tzinfo is None:
        raise PeriodicJobError(
            f"periodic job {job.name!r}: its schedule must return an aware datetime or None, not {shown(slot)}"
        )
    if slot <= after:
        raise PeriodicJobError(
            f"periodic job {job.name!r}: its schedule does not advance: after "
            f"{slot_text(after)} it returned {slot_text(slot)}"
        )
    return slot.astimezone(UTC)


def next_slots(job: PeriodicJob, last: datetime | None, now: datetime, count: int) -> list[datetime]:
    """Return the next `count` slots after now, or fewer if the schedule ends.

    Raises:
        PeriodicJobError: the schedule raises, does not advance, or returns no aware datetime.
    """
    slots: list[datetime] = []
    slot = next_due(job, last, now)
    while slot is not None and len(slots) < count:
        slots.append(slot)
        slot = next_slot(job, slot)
    return slots


def is_slot(job: PeriodicJob, instant: datetime) -> bool:
    """Return whether an instant is a slot, and not the time when the job was first seen or resumed."""
    schedule = job.schedule
    return not isinstance(schedule, CronSchedule) or schedule(instant - timedelta.resolution) == instant


def slot_text(slot: datetime) -> str:
    """Return a slot as RFC 3339 text in UTC, `2026-11-23T21:00:00Z`, its fraction only if it has one."""
    return _utc(slot).replace(tzinfo=None).isoformat() + "Z"


def _newest_slots(job: PeriodicJob, last: datetime, now: datetime, count: int) -> list[datetime]:
    """Return the newest `count` slots in (last, now], without stepping through years."""
    if not isinstance(job.schedule, CronSchedule):
        return _followed_from(job, last, now, count)
    window = GRACE  # cron can start at any time, so go back only as far as needed
    while True:
        start = max(last, now - window)
        slots = deque(_slots(job, start, now), maxlen=count)
        if len(slots) == count or start == last:
            return list(slots)
        window *= 30


def _followed_from(job: PeriodicJob, last: datetime, now: datetime, count: int) -> list[datetime]:
    """Follow a schedule from its last slot; after too many steps, restart it from now."""
    slots = deque(islice(_slots(job, last, now), MAX_STEPS), maxlen=count)
    following = next_slot(job, slots[-1]) if slots else None
    if following is not None and following <= now:
        return [now]
    return list(slots)


def _slots(job: PeriodicJob, after: datetime, now: datetime) -> Iterator[datetime]:
    slot = next_slot(job, after)
    while slot is not None and slot <= now:
        yield slot
        slot = next_slot(job, slot)


def wants_slot(job: str, factory: Any) -> bool:
    """Return whether a factory takes the slot as its argument.

    Raises:
        ConfigurationError: it takes other arguments.
    """
    if not callable(factory):
        raise ConfigurationError(
            f"{job}: factory must be callable and return a goque.Task, not {factory!r:.80}"
        )
    if inspect.iscoroutinefunction(factory):
        raise ConfigurationError(f"{job}: factory must be a plain function, not async")
    try:
        signature = inspect.signature(factory)
    except (TypeError, ValueError):
        return False  # written in C, without a signature: the first call shows whether it fits
    for arguments in ((), (None,)):
        try:
            signature.bind(*arguments)
        except TypeError:
            continue
        return bool(arguments)
    raise ConfigurationError(f"{job}: factory must take no argument, or one: the slot; it takes {signature}")


def said(error: BaseException) -> str:
    """Return an exception's class and the first line of its message, without the passwords of URLs in it."""
    try:
        text = hide_passwords(first_line(str(error)))
    except Exception:  # noqa: BLE001 - str() of the app's exception may raise anything
        text = ""
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def shown(value: object) -> str:
    """Return the beginning of what `repr` says of a wrong value, without the passwords of URLs in it."""
    try:
        return hide_passwords(first_line(repr(value)))[:80]
    except Exception:  # noqa: BLE001 - repr() of the app's object may raise anything
        return f"a {type(value).__name__}"


def _utc(instant: datetime) -> datetime:
    if instant.tzinfo is None:
        raise ConfigurationError(f"a slot must have a time zone, not be the naive {instant}")
    return instant.astimezone(UTC)
