"""`goque replay`: run a task again in a worker of its own, and write nothing to the table."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import click

from goque.cli.command import APP, LOG_LEVEL, command, option
from goque.cli.database import database_option, find_database_url, opened_storage, required_app
from goque.cli.replay.report import print_replayed, print_replayed_json
from goque.cli.replay.tasks import Found, read_task
from goque.cli.show import find_task
from goque.describe.near_names import describe_unknown_type
from goque.errors import UnknownTypeError
from goque_supervisor.replay.replayer import Replayer, ToReplay
from goque_supervisor.settings import SuperviseOptions


@command("replay")
@click.argument("task_id", metavar="[ID]", required=False)
@click.argument("app", required=False)
@option(
    "--fresh-steps",
    is_flag=True,
    help="Run recorded steps again. Otherwise they return their recorded values.",
)
@option("--json", "as_json", is_flag=True, help="Print one JSON object a task.")
@database_option
@click.pass_context
def replay(
    ctx: click.Context,
    task_id: str | None,
    app: str | None,
    database_url: str | None,
    *,
    fresh_steps: bool,
    as_json: bool,
) -> None:
    """Run a task again in a worker of its own, with the code of today, and write nothing to the table."""
    app = ctx.meta[APP] = required_app(app)
    if task_id is None:
        raise click.UsageError("give the ID of a task")
    url = find_database_url(database_url)
    with opened_storage(url) as storage:
        found = read_task(storage, find_task(storage, task_id, None), with_steps=not fresh_steps)
    options = SuperviseOptions(app=app, database_url=url, log_level=ctx.meta.get(LOG_LEVEL) or "info")
    with stopped_by_signals(), Replayer(options) as replayer:
        require_type(replayer, found)
        [replayed] = replayer.replay([ToReplay(found.row, found.steps({}))])
    (print_replayed_json if as_json else print_replayed)(replayed, found.last)
    ctx.exit(0 if replayed.has_succeeded else 1)


def require_type(replayer: Replayer, found: Found) -> None:
    """Refuse a task whose type the app does not run.

    Raises:
        UnknownTypeError: it does not.
    """
    if found.row.type not in replayer.specs:
        hint = describe_unknown_type(found.row.type, replayer.types) or "the app has no processors"
        raise UnknownTypeError(f"the app does not run tasks of type {found.row.type!r:.210}; {hint}")


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """End the block, and the workers in it, on SIGTERM and SIGHUP as on Ctrl-C."""
    before = {number: signal.signal(number, _leave) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _leave(number: int, frame: Any) -> NoReturn:
    del frame
    sys.exit(128 + number)
