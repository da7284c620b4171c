"""The page of periodic jobs: their next runs, and what became of the last one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Final
from zoneinfo import ZoneInfo

from starlette.requests import Request
from starlette.responses import Response

from goque.dashboard.render import page
from goque.dashboard.state import Dashboard, dashboard_of
from goque.periodic.jobs import (
    CronSchedule,
    PeriodicJob,
    PeriodicJobError,
    is_slot,
    next_slots,
    slot_text,
)
from goque.storage.search_types import TaskLine

NEXT_RUNS: Final = 3
MAX_RESULTS: Final = 100
"""Of how many jobs the task of the last slot is looked up."""


@dataclass(frozen=True)
class JobView:
    """One periodic job.

    Attributes:
        zone: the time zone of its schedule, None if that is no cron schedule.
        last: its newest slot that was enqueued.
        task: the task of that slot; None if it is deleted, or has an external id of its own.
    """

    name: str
    schedule: str
    zone: tzinfo | None
    slots: list[datetime]
    failure: str | None
    last: datetime | None
    task: TaskLine | None
    is_paused: bool
    misfire: str
    is_known: bool


def jobs_page(request: Request) -> Response:
    """Show the periodic jobs and their next runs."""
    dashboard = dashboard_of(request)
    dashboard.ready_storage()
    jobs = list(_jobs(dashboard))
    return page(request, "jobs.html", jobs=jobs, has_app=dashboard.registry is not None, in_zone=in_zone)


def _jobs(dashboard: Dashboard) -> Iterator[JobView]:
    rows = {row.job_name: row for row in dashboard.storage.schedules()}
    jobs = {job.name: job for job in dashboard.registry.jobs} if dashboard.registry else {}
    ids = [
        _external_id(name, row.last_slot)
        for name, row in rows.items()
        if name not in jobs or is_slot(jobs[name], row.last_slot)
    ]
    types = sorted(dashboard.storage.type_policies())
    tasks = dashboard.storage.tasks_of_external_ids(types, sorted(ids)[:MAX_RESULTS]) if ids else {}
    for name in sorted({*rows, *jobs}):
        row, job = rows.get(name), jobs.get(name)
        last = row.last_slot if row else None
        slots, failure = _next_slots(job, last) if job else ([], None)
        shown = None if last is None or (job and not is_slot(job, last)) else last
        yield JobView(
            name,
            schedule=_schedule(job) if job else "",
            zone=_zone(job),
            slots=slots,
            failure=failure,
            last=shown,
            task=_task(tasks, name, shown),
            is_paused=bool(row and row.paused),
            misfire=job.misfire if job else "",
            is_known=job is not None,
        )


def _task(tasks: Mapping[str, TaskLine], name: str, last: datetime | None) -> TaskLine | None:
    return None if last is None else tasks.get(_external_id(name, last))


def _external_id(name: str, slot: datetime) -> str:
    """Return the external id of the task of a slot, unless its factory gives one of its own."""
    return f"{name}:{slot_text(slot)}"


def _next_slots(job: PeriodicJob, last: datetime | None) -> tuple[list[datetime], str | None]:
    try:
        return next_slots(job, last, datetime.now(UTC), NEXT_RUNS), None
    except PeriodicJobError as error:
        return [], str(error)


def _schedule(job: PeriodicJob) -> str:
    if isinstance(job.schedule, CronSchedule):
        return job.schedule.spec
    return str(getattr(job.schedule, "__qualname__", type(job.schedule).__qualname__))


def _zone(job: PeriodicJob | None) -> tzinfo | None:
    if job is None or not isinstance(job.schedule, CronSchedule):
        return None
    return ZoneInfo(job.schedule.tz)


def in_zone(instant: datetime, zone: tzinfo | None) -> str:
    """Return an instant as clocks in a time zone show it, with seconds only if they are not 0."""
    local = instant.astimezone(zone or UTC)
    return f"{local:{'%a %Y-%m-%d %H:%M:%S' if local.second else '%a %Y-%m-%d %H:%M'} %Z}"
