"""`goque stats`: how many tasks of each type, and of each function of Django's types, are in each status."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

import click
import msgspec

from goque.cli.command import command, option
from goque.cli.database import database_option, opened_storage
from goque.cli.output import print_json, print_table
from goque.describe.status_words import WORDS, word_of
from goque.identifiers import has_functions
from goque.storage.contract import MAX_GROUPS, TypeCount
from goque.storage.search_types import FunctionCount

MAX_SPLIT: Final = 20
"""How many types are counted by function; each takes a statement, and anybody can enqueue a new type."""

Functions = Mapping[str, Sequence[FunctionCount]]


@command("stats")
@option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print a JSON object a line: type, status, count, and function if the task names one.",
)
@database_option
def stats(database_url: str | None, *, as_json: bool) -> None:
    """Count tasks by type and status.

    It counts all tasks in the table, including ended ones. Waiting tasks are `new` or `error`, claimed ones
    `pending`, running ones `processing`, failed ones `attempts_left`; --json prints these raw statuses. Blocked tasks
    wait for tasks that they need. A column shows which types are paused. If there are very many types, it shows those
    that a supervisor has run, and then the largest. Tasks of Django's framework are also counted by function.

    `goque top` shows waiting and running tasks live.

    \b
    Examples:
      goque stats
      goque stats --json
    """
    with opened_storage(database_url) as storage:
        counts = storage.count_tasks()
        paused = {policy.type for policy in storage.type_policies().values() if policy.paused}
        split = sorted({count.type for count in counts if has_functions(count.type)})[:MAX_SPLIT]
        functions = {
            name: [part for part in storage.function_counts(name) if part.function] for name in split
        }
    if as_json:
        _print_json(counts, functions)
    elif counts or paused:
        _print_counts(counts, paused, functions)
    else:
        click.echo(f"no tasks in {storage.url}", err=True)
    if len(counts) >= MAX_GROUPS:
        click.echo(
            f"only the {MAX_GROUPS:,} largest counts of a type and a status are shown, published types first",
            err=True,
        )


def _print_json(counts: list[TypeCount], functions: Functions) -> None:
    """Print each task in one count only: a count without a function has the tasks that name none."""
    for count in counts:
        parts = [part for part in functions.get(count.type, ()) if part.status == count.status]
        for part in parts:
            line = {"type": count.type, "status": count.status, "count": part.count}
            print_json({**line, "function": part.function})
        rest = count.count - sum(part.count for part in parts)
        if rest > 0:
            print_json(msgspec.structs.replace(count, count=rest))


def _print_counts(counts: list[TypeCount], paused: set[str], functions: Functions) -> None:
    by_place = Counter[tuple[str, str, str]]()
    for count in counts:
        by_place[count.type, "", word_of(count.status)] += count.count
    for task_type, parts in functions.items():
        for part in parts:
            by_place[task_type, part.function, word_of(part.status)] += part.count
    lines = sorted({(name, function) for name, function, _word in by_place} | {(name, "") for name in paused})
    used = {word for _name, _function, word in by_place}
    words = [word for word in dict.fromkeys(WORDS.values()) if word in used]
    rows = [
        [
            f"  {function}" if function else name,
            *(str(by_place[name, function, word]) for word in words),
        ]
        for name, function in lines
    ]
    header = ["type", *words]
    if paused:
        header.append("claims")
        marks = ["paused" if name in paused and not function else "" for name, function in lines]
        rows = [[*row, mark] for row, mark in zip(rows, marks, strict=True)]
    print_table(header, rows)
