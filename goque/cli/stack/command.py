"""`goque stack`: the Python stack of a running task, on whatever node it runs."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from goque.cli.command import command, option
from goque.cli.completion import type_option
from goque.cli.database import database_option, opened_storage
from goque.cli.output import print_json
from goque.cli.show import find_task
from goque.telemetry.logs import one_line


@command("stack")
@click.argument("task_id", metavar="ID")
@type_option("The type, if tasks of several types have ID as their external id.")
@option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@database_option
def stack(task_id: str, database_url: str | None, task_type: str | None, *, as_json: bool) -> None:
    """Show what a running task does now: its Python stack. ID is the task's own id, or its external id.

    The task may run on any node. It goes on. The stack has files, lines, functions and source lines, and no values. Of
    an `async def` handler it is the stack of its coroutine. A task that does not run is an error.

    \b
    Examples:
      goque stack 01a20b6d-f9ad-7bbd-861b-dbe0c9408260
      goque stack order-7 --type send_email
      goque stack 01a20b6d-f9ad-7bbd-861b-dbe0c9408260 --json | jq '.frames[-1]'
    """
    from goque.stacks.asking import read_stack

    with opened_storage(database_url) as storage:
        found = read_stack(storage, find_task(storage, task_id, task_type).id)
    if as_json:
        shown: dict[str, Any] = msgspec.to_builtins(found)
        print_json(shown)
        return
    for line in found.lines():
        click.echo(one_line(line))
