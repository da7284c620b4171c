"""`goque enqueue`: one task from the arguments, or one for each line of a file."""

from __future__ import annotations

import sys
from difflib import get_close_matches
from typing import Any, BinaryIO, Final

import click
import msgspec

from goque.cli.command import command, option
from goque.cli.completion import complete_types
from goque.cli.database import chosen_app, database_option, opened_storage
from goque.cli.output import exists_already, holds_unique_key, print_id
from goque.cli.parameters.values import Rfc3339, Seconds, WholeNumber
from goque.errors import ConfigurationError, DuplicateTaskError, GoqueError, InvalidPayloadFormatError
from goque.registry import Registry
from goque.storage import TaskStorage
from goque.task import NO_TASK_PAYLOAD, Task
from goque.task_rules.checks import MAX_PRIORITY, MIN_PRIORITY
from goque.telemetry.logs import one_line

QUOTING: Final = """write it in the shell's quotes, such as '{"to": "a@b.c"}' or '"hello"'"""


@command("enqueue")
@click.argument("task_type", metavar="[TYPE]", required=False, shell_complete=complete_types)
@click.argument("payload", metavar="[JSON]", required=False)
@option(
    "--jsonl",
    type=click.File("rb"),
    metavar="FILE",
    help="Add a task for each line of FILE; - is standard input.",
)
@option(
    "--external-id", metavar="ID", help="A key of your own; a second task with this TYPE and ID is refused."
)
@option("--delay", type=Seconds(zero=True), help="How long until the task is due.")
@option("--at", type=Rfc3339(), help="When the task is due, such as 2026-11-23T21:00:00Z.")
@option(
    "--priority",
    type=WholeNumber(MIN_PRIORITY, MAX_PRIORITY),
    metavar="N",
    help="Higher runs first.  [default: that of TYPE in the app, else 0]",
)
@option(
    "--limit-key",
    metavar="KEY",
    help="The key, such as a tenant, under which the limits of TYPE count the task.  [default: from the app]",
)
@option(
    "--bare",
    is_flag=True,
    help="Do not use the app: check nothing, and take no limit_key, unique key or priority from its options.",
)
@database_option
@click.pass_context
def enqueue(  # noqa: PLR0917 - click passes them by name
    ctx: click.Context,
    /,
    task_type: str | None,
    payload: str | None,
    database_url: str | None,
    jsonl: BinaryIO | None,
    external_id: str | None,
    *,
    bare: bool,
    **when: Any,
) -> None:
    """Add a task of TYPE and print its id.

    JSON is the payload. Without it the payload is {}. The name of the database goes to stderr.

    If --app, GOQUE_APP or goque.toml names an app, the command enqueues as the queue of its registry does. It checks
    TYPE and payload, and gives the task the limit_key, the unique key and the priority of its type in the app.

    With --jsonl each line of the file is a payload for TYPE. Without TYPE each line is an object with type and payload,
    and optionally external_id, delay, run_at, priority, limit_key and metadata. Empty lines are skipped. If a line
    cannot be enqueued, the command reports its number, enqueues all others and exits with code 1.

    \b
    Examples:
      goque enqueue send_email '{"to": "a@b.c"}' --external-id order-7
      goque enqueue sync '{"tenant": "acme"}' --app app:registry
      goque enqueue report --delay 2h --priority 10
      goque enqueue resize --jsonl payloads.jsonl
      zcat tasks.jsonl.gz | goque enqueue --jsonl -
    """
    if when["delay"] is not None and when["at"] is not None:
        raise click.UsageError("--delay and --at contradict each other; give one of them")
    defaults = {
        "delay": when["delay"],
        "run_at": when["at"],
        "priority": when["priority"],
        "limit_key": when["limit_key"],
    }
    if jsonl is None:
        if task_type is None:
            raise click.UsageError("give a TYPE, or --jsonl FILE")
        task = _task(task_type, payload, {**defaults, "external_id": external_id})
        _enqueue_one(database_url, task, None if bare else _app())
        return
    if payload is not None or external_id is not None:
        raise click.UsageError("with --jsonl, payloads and external ids come from the lines of the file")
    from goque.cli.jsonl import LineReader, enqueue_lines

    registry = None if bare else _app()
    with opened_storage(database_url, registry, create=True) as storage:
        prepare = registry.prepare_tasks if registry else None
        all_good = enqueue_lines(storage, jsonl, LineReader(task_type, defaults), prepare)
    ctx.exit(0 if all_good else 1)


def _app() -> Registry | None:
    """Return the registry of the app that is known, None if none is; see `load_isolated`.

    An app whose module is imported already, as by manage.py, is taken as it is.
    """
    app = chosen_app()
    if app is None:
        return None
    if app.partition(":")[0] in sys.modules:
        from goque.app import load_registry

        return load_registry(app)
    from goque.cli.isolated_load import load_isolated

    try:
        return load_isolated(app)
    except ConfigurationError as error:
        raise ConfigurationError(
            f"{error}; the app has the options of its tasks: fix the app, or give --bare"
        ) from error


def _task(task_type: str, payload: str | None, options: dict[str, Any]) -> Task:
    raw = NO_TASK_PAYLOAD if payload is None else msgspec.Raw(payload.encode("utf-8", "surrogateescape"))
    try:
        return Task(task_type, raw, **options)
    except InvalidPayloadFormatError as error:
        if "not JSON" not in str(error):
            raise
        raise InvalidPayloadFormatError(f"{error}; {QUOTING}") from error


def _enqueue_one(database_url: str | None, task: Task, registry: Registry | None) -> None:
    from goque.queue.manager import TaskQueueManager

    with opened_storage(database_url, registry, create=True) as storage:
        queue = TaskQueueManager(storage, prepare_tasks=registry.prepare_tasks if registry else None)
        try:
            there = queue.add_task(task)
        except DuplicateTaskError as error:
            if error.unique_key is not None:
                raise GoqueError(f"{holds_unique_key(task)}: {error.existing_id}") from error
            taken = exists_already(error.task_type, error.external_id)
            raise GoqueError(f"{taken}; give another --external-id") from error
        print_id(there)
        how = "enqueued" if there.inserted else "put into a waiting task with the same unique key"
        click.echo(f"{how} in {storage.url}", err=True)
        if registry is None:
            _warn_of_unknown_type(storage, task.type)


def _warn_of_unknown_type(storage: TaskStorage, task_type: str) -> None:
    """Say that a type is probably misspelt, if it is nearly the same as one that a supervisor has run."""
    known = storage.type_policies()
    near = get_close_matches(task_type, known, n=1)
    if near and task_type not in known:
        click.echo(
            f"goque: no supervisor has run tasks of type {one_line(repr(task_type))}; did you mean "
            f"{one_line(repr(near[0]))}?",
            err=True,
        )
