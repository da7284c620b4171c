"""`goque enqueue`: one task from the arguments, or one for each line of a file."""

from __future__ import annotations

from datetime import datetime
from typing import Any, BinaryIO, Final

import click
import msgspec

from goque.cli.command import Seconds, WholeNumber, command, database_option, opened_storage, option
from goque.cli.output import exists_already, print_id
from goque.errors import DuplicateTaskError, GoqueError, InvalidPayloadFormatError
from goque.task import NO_TASK_PAYLOAD, Task
from goque.task_checks import MAX_PRIORITY, MIN_PRIORITY

QUOTING: Final = """write it in the shell's quotes, such as '{"to": "a@b.c"}' or '"hello"'"""


class Rfc3339(click.ParamType):  # type: ignore[type-arg]  # generic in the newest click only
    """A time with a time zone."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Refuse a value that is no RFC 3339 time."""
        try:
            instant = datetime.fromisoformat(str(value))
        except ValueError:
            instant = None
        if instant is None or instant.tzinfo is None:
            self.fail(f"{value!r} is not a time with a time zone, such as 2026-11-23T21:00:00Z", param, ctx)
        return instant


@command("enqueue")
@click.argument("task_type", metavar="[TYPE]", required=False)
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
    default=0,
    show_default=True,
    metavar="N",
    help="Higher runs first.",
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
    **when: Any,
) -> None:
    """Add a task of TYPE with a payload, {} if none is given, and print its id.

    With --jsonl each line of the file is a payload for TYPE; without TYPE each line is an object with type,
    payload and, if wanted, external_id, delay, run_at, priority and metadata. Empty lines are skipped. A line
    that cannot be enqueued is reported with its number; all others are enqueued, and the exit code is 1.

    \b
    Examples:
      goque enqueue send_email '{"to": "a@b.c"}' --external-id order-7
      goque enqueue report --delay 3600 --priority 10
      goque enqueue resize --jsonl payloads.jsonl
      zcat tasks.jsonl.gz | goque enqueue --jsonl -
    """
    if when["delay"] is not None and when["at"] is not None:
        raise click.UsageError("--delay and --at contradict each other; give one of them")
    defaults = {"delay": when["delay"], "run_at": when["at"], "priority": when["priority"]}
    if jsonl is None:
        if task_type is None:
            raise click.UsageError("give a TYPE, or --jsonl FILE")
        _enqueue_one(database_url, _task(task_type, payload, {**defaults, "external_id": external_id}))
        return
    if payload is not None or external_id is not None:
        raise click.UsageError("with --jsonl, payloads and external ids come from the lines of the file")
    from goque.cli.jsonl import LineReader, enqueue_lines

    with opened_storage(database_url) as storage:
        all_good = enqueue_lines(storage, jsonl, LineReader(task_type, defaults))
    ctx.exit(0 if all_good else 1)


def _task(task_type: str, payload: str | None, options: dict[str, Any]) -> Task:
    raw = NO_TASK_PAYLOAD if payload is None else msgspec.Raw(payload.encode("utf-8", "surrogateescape"))
    try:
        return Task(task_type, raw, **options)
    except InvalidPayloadFormatError as error:
        if "not JSON" not in str(error):
            raise
        raise InvalidPayloadFormatError(f"{error}; {QUOTING}") from error


def _enqueue_one(database_url: str | None, task: Task) -> None:
    from goque.queue.manager import TaskQueueManager

    with opened_storage(database_url) as storage:
        try:
            TaskQueueManager(storage).add_task(task)
        except DuplicateTaskError as error:
            taken = exists_already(error.task_type, error.external_id)
            raise GoqueError(f"{taken}; give another --external-id") from error
    print_id(task)
