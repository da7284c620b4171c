"""`goque signal`: give a task what it waits for."""

from __future__ import annotations

import sys
from typing import Final

import click
import msgspec

from goque.cli.command import command
from goque.cli.database import database_option, opened_storage
from goque.errors import ConfigurationError, GoqueError, InvalidPayloadFormatError, TaskNotFoundError
from goque.identifiers import is_task_id
from goque.payload import encode_payload
from goque.steps.question import check_step_name
from goque.telemetry.logs import one_line

STDIN: Final = "-"
QUOTING: Final = """write it in the shell's quotes, such as '{"by": "ada"}' or '"yes"'"""


@command("signal")
@click.argument("task_id", metavar="ID")
@click.argument("name", metavar="NAME")
@click.argument("value", metavar="[JSON]", required=False)
@database_option
def signal(task_id: str, name: str, value: str | None, database_url: str | None) -> None:
    """Send a task the signal NAME that its handler waits for.

    JSON is the value, null if you leave it out, or `-` to read it from standard input. The handler gets it from
    `wait_for(NAME)`. If the task waits for the signal, it continues at once. If it does not wait yet, it keeps the
    signal until its handler asks. The first signal of a name wins: another one changes nothing, and the command prints
    that.

    An unknown ID and a task that has ended make the exit code 1.

    \b
    Examples:
      goque signal 01a20b6d-f9ad-7bbd-861b-dbe0c9408260 approved
      goque signal 01a20b6d-f9ad-7bbd-861b-dbe0c9408260 approved '{"by": "ada"}'
      goque signal 01a20b6d-f9ad-7bbd-861b-dbe0c9408260 answer - < form.json
    """
    task_id = task_id.lower()
    check_step_name("NAME", name)
    raw = _json_of(value)
    with opened_storage(database_url) as storage:
        try:
            is_kept = storage.signal_task(task_id, name, raw)
        except TaskNotFoundError as error:
            hint = "" if is_task_id(task_id) else "; `goque list --external-id` shows the id of a task"
            raise GoqueError(f"{error}{hint}") from error
    shown = one_line(name)
    if is_kept:
        click.echo(f"{task_id} got the signal {shown}")
    else:
        click.echo(f"{task_id} already has a signal {shown} and keeps it")


def _json_of(value: str | None) -> bytes:
    """Return the JSON text of the signal. Raises ConfigurationError if it is none."""
    if value is None:
        return b"null"
    given = sys.stdin.buffer.read() if value == STDIN else value.encode("utf-8", "surrogateescape")
    try:
        return encode_payload(msgspec.Raw(given.strip()), what="JSON")
    except InvalidPayloadFormatError as error:
        hint = f"; {QUOTING}" if "not JSON" in str(error) else ""
        raise ConfigurationError(f"{error}{hint}") from error
