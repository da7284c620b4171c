"""`goque stats`: how many tasks of each type, and of each function of Django's types, are in each status."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import click
import msgspec

from goque.cli.command import command, option
from goque.cli.database import database_option, opened_storage
from goque.cli.output import print_json, print_table
from goque.describe.status_words import WORDS, word_of
from goque.identifiers import has_functions
from goque.storage import TaskStorage
from goque.storage.contract import MAX_GROUPS
from goque.storage.search_types import BoundedCount, FunctionCount, TypeCounts

MAX_SPLIT: Final = 20
"""How many types are counted by function; each takes a statement, and anybody can enqueue a new type."""

MAX_READ: Final = 20_000
"""How many tasks are read to count them by function, unless all are to be counted."""

Functions = Mapping[str, Sequence[FunctionCount]]


@command("stats")
@option("--exact", is_flag=True, help="Count all tasks. This takes seconds in a table of millions of tasks.")
@option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print a JSON object a line: type, status, count; function if the task names one; is_more for a lower bound.",
)
@database_option
def stats(database_url: str | None, *, exact: bool, as_json: bool) -> None:
    """Count tasks by type and status.

    It counts waiting and running tasks and those that have ended. Waiting tasks are `new` or `error`, claimed ones
    `pending`, running ones `processing`, failed ones `attempts_left`; --json prints these raw statuses. Blocked tasks
    wait for tasks that they need. A column shows which types are paused. If there are very many types, it shows those
    that a supervisor has run first. Tasks of Django's framework are also counted by function.

    In a large table a count ends early: `5000+` means more than 5,000 tasks, and --json then prints `"is_more": true`.
    The command says so, and --exact counts all. The counts of all types together end at about 100,000 tasks in each
    status, and at 20,000 waiting tasks.

    `goque top` shows waiting and running tasks live.

    \b
    Examples:
      goque stats
      goque stats --exact
      goque stats --json
    """
    with opened_storage(database_url) as storage:
        found = _count_all(storage) if exact else storage.bounded_counts()
        counts = found.counts
        paused = {policy.type for policy in storage.type_policies().values() if policy.paused}
        functions = {
            name: [part for part in storage.function_counts(name) if part.function]
            for name in _types_to_split(counts, exact=exact)
        }
    if as_json:
        _print_json(counts, functions)
    elif counts or paused:
        _print_counts(counts, paused, functions)
    else:
        click.echo(f"no tasks in {storage.url}", err=True)
    for note in _notes(found, functions, exact=exact):
        click.echo(note, err=True)


def _count_all(storage: TaskStorage) -> TypeCounts:
    counts = [BoundedCount(count.type, count.status, count.count) for count in storage.count_tasks()]
    return TypeCounts(counts, is_cut=len(counts) >= MAX_GROUPS)


def _types_to_split(counts: Sequence[BoundedCount], *, exact: bool) -> list[str]:
    """Return the types to count by function: their tasks are all read, so those with many are left out."""
    left = MAX_READ
    types: list[str] = []
    for name in sorted({count.type for count in counts if has_functions(count.type)}):
        of_type = [count for count in counts if count.type == name]
        tasks = sum(count.count for count in of_type)
        if exact or (tasks <= left and not any(count.is_more for count in of_type)):
            left -= tasks
            types.append(name)
    return types[:MAX_SPLIT]


def _notes(found: TypeCounts, functions: Functions, *, exact: bool) -> Iterator[str]:
    """Yield what the counts do not say."""
    if found.is_cut and exact:
        yield f"only the {MAX_GROUPS:,} largest counts of a type and a status are shown, published types first"
    elif found.is_cut:
        yield "there are more types; --exact shows the largest counts of all types"
    if any(count.is_more for count in found.counts):
        yield "a count with + is a lower bound; --exact counts all tasks"
    split = {count.type for count in found.counts if has_functions(count.type)} - functions.keys()
    if split and not exact:
        yield "tasks of large types are not counted by function; --exact counts them"


def _print_json(counts: Sequence[BoundedCount], functions: Functions) -> None:
    """Print each task in one count only: a count without a function has the tasks that name none."""
    for count in counts:
        parts = [part for part in functions.get(count.type, ()) if part.status == count.status]
        for part in parts:
            line = {"type": count.type, "status": count.status, "count": part.count}
            print_json({**line, "function": part.function})
        rest = count.count - sum(part.count for part in parts)
        if rest > 0 or count.is_more:
            print_json(msgspec.structs.replace(count, count=rest))


def _print_counts(counts: Sequence[BoundedCount], paused: set[str], functions: Functions) -> None:
    by_place = Counter[tuple[str, str, str]]()
    cut = {(count.type, "", word_of(count.status)) for count in counts if count.is_more}
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
            *(_cell(by_place, cut, (name, function, word)) for word in words),
        ]
        for name, function in lines
    ]
    header = ["type", *words]
    if paused:
        header.append("claims")
        marks = ["paused" if name in paused and not function else "" for name, function in lines]
        rows = [[*row, mark] for row, mark in zip(rows, marks, strict=True)]
    print_table(header, rows)


def _cell(
    counts: Counter[tuple[str, str, str]], cut: set[tuple[str, str, str]], place: tuple[str, str, str]
) -> str:
    return f"{counts[place]}+" if place in cut else str(counts[place])
