"""Formats output for terminals and pipes, with control characters escaped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import click
import msgspec

from goque.cli.stdio import OutputError
from goque.task import Task
from goque.task_row import TaskRow
from goque.telemetry.logs import inert_json, one_line

COLUMNS = tuple(name for name in TaskRow.__struct_fields__ if name != "needs")
"""The columns of the table; what a task needs is in another one."""

GAP = "  "


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print aligned columns."""
    for line in table_lines(header, rows):
        click.echo(line)


def table_lines(
    header: Sequence[str], rows: Sequence[Sequence[str]], *, width: int | None = None, elastic: int = 0
) -> Iterator[str]:
    """Yield a line for the header and one for each row, with columns aligned; no cell is cut.

    Args:
        header: the names of the columns.
        rows: as many cells each.
        width: the characters that a line should fit.
        elastic: the column to make narrower; a longer cell in it moves the rest of its line.
    """
    table = [[name.upper() for name in header], *([one_line(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    if width is not None:
        left = width - sum(widths) - len(GAP) * (len(widths) - 1)
        if left < 0 and widths[elastic] + left >= len(header[elastic]):
            widths[elastic] += left
    for row in table:
        yield GAP.join(f"{cell:<{wide}}" for cell, wide in zip(row, widths, strict=True)).rstrip()


def shortened(line: str, width: int) -> str:
    """Cut a line to the columns of a terminal; a wide letter takes two."""
    from rich.cells import cell_len, set_cell_size

    return line if cell_len(line) <= width else set_cell_size(line, width - 1).rstrip() + "…"


def fitted(text: str, width: int) -> str:
    """Cut a text to this many columns, or pad it with spaces."""
    from rich.cells import cell_len

    short = shortened(text, max(1, width))
    return short + " " * (width - cell_len(short))


def print_json(value: Any) -> None:
    """Print a JSON object on one line, with control characters escaped."""
    click.echo(inert_json(msgspec.json.encode(value).decode()))


def columns_of(row: TaskRow) -> dict[str, Any]:
    """Return a row as a dict of JSON-encodable values by column name; malformed values become text.

    The key of limits that stands for none is null.
    """
    values = {name: json_value(getattr(row, name)) for name in COLUMNS}
    return {**values, "limit_key": values["limit_key"] or None}


def json_value(value: Any) -> Any:
    """Return raw JSON as JSON, times as text, and malformed JSON as text."""
    if isinstance(value, datetime):
        return time_text(value)
    if not isinstance(value, bytes):
        return value
    try:
        value.decode()  # what is formatted need not be UTF-8
        return msgspec.Raw(msgspec.json.format(value, indent=-1))  # numbers keep their digits this way
    except (ValueError, RecursionError, msgspec.MsgspecError):
        return value.decode("utf-8", "replace")


def time_text(instant: datetime | None) -> str:
    """Return an instant as RFC 3339 in UTC, with all six digits."""
    return "" if instant is None else f"{instant.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"


def exists_already(task_type: str, external_id: str) -> str:
    """Return the command line's text for a taken external id; the error's own text is for Python code."""
    return f"a task of type {task_type!r} with external id {external_id!r} exists already"


def holds_unique_key(task: Task) -> str:
    """Return the command line's text for a taken unique key."""
    name = (task.unique_key or "").partition(":")[2]
    return f"a task of type {task.type!r} with unique key {name!r} exists already"


def print_id(task: Task) -> None:
    """Print the id of an enqueued task, or raise an error that names it if stdout cannot be written."""
    try:
        click.echo(task.id)
    except OutputError as error:
        raise OutputError(f"task {task.id} is enqueued, but {error}") from error
