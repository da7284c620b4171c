"""`goque schedules` and `goque run-job`: the periodic jobs of an app."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import click

from goque.cli.command import command, option
from goque.cli.database import database_option, opened_storage, required_app
from goque.cli.output import exists_already, print_id, print_json, print_table, time_text
from goque.cli.parameters.values import WholeNumber
from goque.errors import DuplicateTaskError, GoqueError
from goque.periodic.jobs import CronSchedule, PeriodicJob, PeriodicJobError, is_slot, next_slots, slot_text
from goque.registry import Registry
from goque.storage import TaskStorage
from goque.telemetry.logs import one_line

HEADER = ("name", "schedule", "next runs", "last run", "misfire")


@command("schedules")
@click.argument("app", required=False)
@option(
    "--count",
    type=WholeNumber(1, 1000),
    metavar="N",
    default=1,
    show_default=True,
    help="List N runs of each job.",
)
@option(
    "--pause", multiple=True, metavar="NAME", help="Pause this job on every node; may be given several times."
)
@option(
    "--resume",
    multiple=True,
    metavar="NAME",
    help="Resume this job with its next slot; may be given several times.",
)
@option("--json", "as_json", is_flag=True, help="Print a JSON object a line.")
@database_option
def schedules(
    app: str | None,
    database_url: str | None,
    count: int,
    pause: tuple[str, ...],
    resume: tuple[str, ...],
    *,
    as_json: bool,
) -> None:
    """List the periodic jobs of an app with their next runs, or pause and resume them.

    APP is module:attribute, such as app:registry. You can leave it out if the app is configured.

    Slots that pass while a job is paused never run, with any misfire policy. `goque run-job` also runs a paused job.

    \b
    Examples:
      goque schedules app:registry --count 5
      goque schedules app:registry --pause nightly
    """
    from goque.cli.isolated_load import load_isolated

    registry = load_isolated(required_app(app))
    with opened_storage(database_url, registry) as storage:
        if pause or resume:
            _switch(registry, pause, storage.pause_job, ("paused", "paused already"))
            _switch(registry, resume, storage.resume_job, ("resumed", "not paused"))
            return
        described = [_describe(job, storage, count) for job in registry.jobs]
        paused = storage.paused_jobs()
    rows = [{**row, "paused": row["name"] in paused} for row in described]
    if as_json:
        for row in rows:
            print_json(row)
    elif rows:
        print_table(HEADER, [_cells(row) for row in rows])
    else:
        click.echo("no periodic jobs", err=True)


@command("run-job")
@click.argument("app", required=False)
@click.argument("name", required=False)
@database_option
def run_job(app: str | None, name: str | None, database_url: str | None) -> None:
    """Enqueue one task of the periodic job NAME now, in addition to its schedule, and print the task's id.

    APP is module:attribute, such as app:registry. You can leave it out if the app is configured.

    A factory that takes the slot gets the current time. You can run a paused job, too.

    \b
    Example:
      goque run-job app:registry nightly
    """
    from goque.cli.isolated_load import load_isolated
    from goque.periodic.slot_tasks import task_by_hand

    if name is None:  # one argument alone is the job, of the configured app
        app, name = None, app
    if name is None:
        raise click.UsageError("give the NAME of a periodic job; `goque schedules` lists them")
    registry = load_isolated(required_app(app))
    job = registry.get_job(name)
    task = task_by_hand(job, datetime.now(UTC))
    registry.prepare_tasks([task])
    with opened_storage(database_url, registry) as storage:
        try:
            there = storage.insert_task(task)
        except DuplicateTaskError as error:
            if error.unique_key is not None:
                raise
            raise GoqueError(exists_already(error.task_type, error.external_id)) from error
    print_id(there)


def _switch(
    registry: Registry,
    names: tuple[str, ...],
    move: Callable[[str, datetime], bool],
    words: tuple[str, str],
) -> None:
    for job in [registry.get_job(name) for name in names]:
        changed = move(job.name, datetime.now(UTC))
        click.echo(f"{one_line(job.name)} is {words[0] if changed else words[1]}")


def _describe(job: PeriodicJob, storage: TaskStorage, count: int) -> dict[str, Any]:
    """Return a job as JSON-encodable values; the error of a failing schedule takes the place of its next runs."""
    last = storage.last_slot(job.name)
    try:
        slots, failure = next_slots(job, last, datetime.now(UTC), count), None
    except PeriodicJobError as error:
        slots, failure = [], str(error)
    return {
        "name": job.name,
        "schedule": _schedule(job),
        "next": [slot_text(slot) for slot in slots],
        "failure": failure,
        "last": None if last is None or not is_slot(job, last) else time_text(last),
        "misfire": job.misfire,
        "jitter": job.jitter,
        "run_on_start": job.run_on_start,
    }


def _schedule(job: PeriodicJob) -> str:
    schedule = job.schedule
    if isinstance(schedule, CronSchedule):
        return f"{schedule.spec} {schedule.tz}"
    return getattr(schedule, "__qualname__", type(schedule).__qualname__)


def _cells(row: dict[str, Any]) -> list[str]:
    following = "paused" if row["paused"] else row["failure"] or " ".join(row["next"]) or "has ended"
    return [row["name"], row["schedule"], following, row["last"] or "", row["misfire"]]
