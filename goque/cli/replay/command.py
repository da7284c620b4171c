"""`goque replay`: run a task again in a worker of its own, and write nothing to the table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import click
from click.core import ParameterSource

from goque.cli.command import APP, LOG_LEVEL, command, list_option, option
from goque.cli.completion import type_option
from goque.cli.database import database_option, find_database_url, opened_storage, required_app, type_hint
from goque.cli.parameters.signals import Signals
from goque.cli.parameters.values import WholeNumber
from goque.cli.replay.app import opened_replayer, require_type
from goque.cli.replay.many import Verdict, print_verdicts, print_verdicts_json, summary_of
from goque.cli.replay.report import print_replayed, print_replayed_json
from goque.cli.replay.tasks import Found, read_failed, read_task
from goque.cli.show import find_task
from goque.errors import GoqueError
from goque.telemetry.logs import one_line
from goque_supervisor.replay.replayer import ToReplay

OF_MANY: Final = {"limit": "--limit", "parallel": "--parallel"}
"""The options that only --failed has."""


@dataclass(frozen=True)
class _Wanted:
    """What the command line asks for.

    Attributes:
        app: the app.
        url: the database.
        task_type: the value of --type.
        with_steps: whether recorded steps return their values.
        signals: the signals that the run finds besides the recorded ones.
        as_json: whether to print JSON.
        log_level: the level of what handlers log.
    """

    app: str
    url: str
    task_type: str | None
    with_steps: bool
    signals: dict[str, bytes]
    as_json: bool
    log_level: str


@command("replay")
@click.argument("task_id", metavar="[ID]", required=False)
@click.argument("app", required=False)
@option("--failed", is_flag=True, help="Replay the newest failed tasks, and say which are fixed.")
@type_option("The type of the tasks; with ID, of several tasks with this external id.")
@option(
    "--limit",
    type=WholeNumber(1, 100_000),
    default=50,
    show_default=True,
    metavar="N",
    help="With --failed: how many tasks at most.",
)
@option(
    "--parallel",
    type=WholeNumber(1, 1000),
    default=1,
    show_default=True,
    metavar="N",
    help="With --failed: how many tasks to run at a time.",
)
@option(
    "--fresh-steps",
    is_flag=True,
    help="Run every step again. Otherwise recorded steps return their recorded values.",
)
@list_option(
    "--signal",
    "signals",
    type=Signals(),
    metavar="NAME[=JSON]",
    help="Give the handler a signal that it waits for. You can give several.",
)
@option(
    "--pdb", is_flag=True, help="Run the handler in this terminal, and open the debugger where it raises."
)
@option("--json", "as_json", is_flag=True, help="Print one JSON object for each task.")
@database_option
@click.pass_context
def replay(ctx: click.Context, /, task_id: str | None, app: str | None, **options: Any) -> None:
    """Run a task again, and write nothing to goque's tables. ID is the task's own id, or its external id.

    The handler of APP runs with the payload, the context values, the needs and the attempt number of the task's last
    attempt, in a worker process of its own, with the limits of its type. The command prints the result, the traceback
    or the crash report. It does not enqueue, but lists what the handler would have enqueued. What the handler does
    elsewhere, such as a charge or an e-mail, does happen.

    The exit code is 0 if the handler succeeded, else 1. With --failed it is 1 only if there is a new failure.

    \b
    Examples:
      goque replay 01a20b6d-f9ad-7bbd-861b-dbe0c9408260 app:registry
      goque replay order-7 --type send_email --pdb
      goque replay --failed --type send_email --limit 20
    """
    if options["failed"] and app is None:  # one argument alone is the app, then
        task_id, app = None, task_id
    _refuse_contradictions(ctx, task_id, options)
    app = ctx.meta[APP] = required_app(app)
    wanted = _Wanted(
        app,
        find_database_url(options["database_url"]),
        options["task_type"],
        not options["fresh_steps"],
        dict(options["signals"]),
        options["as_json"],
        ctx.meta.get(LOG_LEVEL) or "info",
    )
    if task_id is None:
        ctx.exit(_replay_failed(wanted, options["limit"], options["parallel"]))
    ctx.exit(_replay_one(wanted, task_id, in_debugger=options["pdb"]))


def _refuse_contradictions(ctx: click.Context, task_id: str | None, options: dict[str, Any]) -> None:
    """Raise click.UsageError for options that do not go together."""
    if options["failed"]:
        if task_id is not None:
            raise click.UsageError("give the ID of a task or --failed, not both")
        if options["pdb"]:
            raise click.UsageError("--pdb is for one task; give its ID instead of --failed")
        return
    if task_id is None:
        raise click.UsageError("give the ID of a task, or --failed for the newest failed tasks")
    if options["pdb"] and options["as_json"]:
        raise click.UsageError("--pdb and --json contradict each other; give one of them")
    for name, flag in OF_MANY.items():
        if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise click.UsageError(f"{flag} is for --failed; leave it out")


def _replay_one(wanted: _Wanted, task_id: str, *, in_debugger: bool) -> int:
    with opened_storage(wanted.url) as storage:
        row = find_task(storage, task_id, wanted.task_type)
        found = read_task(storage, row, with_steps=wanted.with_steps)
    steps = found.steps(wanted.signals)
    if in_debugger:
        from goque.cli.replay.in_debugger import replay_in_debugger

        replayed = replay_in_debugger(wanted.app, wanted.url, found, steps)
    else:
        with opened_replayer(wanted.app, wanted.url, wanted.log_level, shows_output=True) as replayer:
            require_type(row.type, replayer.types)
            [replayed] = replayer.replay([ToReplay(found.row, steps)])
    (print_replayed_json if wanted.as_json else print_replayed)(replayed, found.last)
    return 0 if replayed.has_succeeded else 1


def _replay_failed(wanted: _Wanted, limit: int, workers: int) -> int:
    found = _read_failed(wanted, limit)
    with opened_replayer(wanted.app, wanted.url, wanted.log_level, shows_output=False) as replayer:
        if wanted.task_type is not None:
            require_type(wanted.task_type, replayer.types)
        runs = [one for one in found if one.row.type in replayer.types]
        tasks = [ToReplay(one.row, one.steps(wanted.signals)) for one in runs]
        by_id = {one.row.id: one for one in runs}
        results = ((done, by_id[done.row.id]) for done in replayer.replay(tasks, workers=workers))
        counts = (print_verdicts_json if wanted.as_json else print_verdicts)(results)
    left_out = sorted({one.row.type for one in found} - {one.row.type for one in runs})
    if left_out:
        names = ", ".join(map(one_line, left_out))
        click.echo(f"left out, because the app does not run these types: {names}", err=True)
    if not wanted.as_json:
        click.echo(summary_of(counts))
    return 1 if counts[Verdict.NEW] else 0


def _read_failed(wanted: _Wanted, limit: int) -> list[Found]:
    with opened_storage(wanted.url) as storage:
        found = read_failed(storage, wanted.task_type, limit, with_steps=wanted.with_steps)
        hint = type_hint(storage, wanted.task_type) if not found and wanted.task_type else ""
    if hint:
        raise GoqueError(hint)
    return found
