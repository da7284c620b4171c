"""Text for people and pipes: whatever a database holds comes out inert."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import click
import msgspec

from goque.cli.stdio import OutputError
from goque.task import Task, TaskRow
from goque.telemetry.logs import inert_json, one_line

COLUMNS = TaskRow.__struct_fields__
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
        elastic: the column that is made narrower for that; longer cells in it move the rest of their line.
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
    """Cut a line to the columns of a terminal, where wide letters take two."""
    from rich.cells import cell_len, set_cell_size

    return line if cell_len(line) <= width else set_cell_size(line, width - 1).rstrip() + "…"


def fitted(text: str, width: int) -> str:
    """Cut a text to so many columns, or fill it up with spaces."""
    from rich.cells import cell_len

    short = shortened(text, max(1, width))
    return short + " " * (width - cell_len(short))


def print_json(value: Any) -> None:
    """Print one JSON object on one line, with everything escaped that could drive a terminal."""
    click.echo(inert_json(msgspec.json.encode(value).decode()))


def columns_of(row: TaskRow) -> dict[str, Any]:
    """Return a row as JSON-encodable values under the names of its columns, whatever they hold."""
    return {name: json_value(getattr(row, name)) for name in COLUMNS}


def json_value(value: Any) -> Any:
    """Return JSON text as the JSON that it is, times as text, and text that claims to be JSON as text."""
    if isinstance(value, datetime):
        return time_text(value)
    if not isinstance(value, bytes):
        return value
    try:
        return msgspec.Raw(msgspec.json.format(value, indent=-1))  # numbers keep their digits this way
    except (ValueError, RecursionError, msgspec.MsgspecError):
        return value.decode("utf-8", "replace")


def time_text(instant: datetime | None) -> str:
    """Return an instant as RFC 3339 in UTC, with all six digits."""
    return "" if instant is None else f"{instant.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"


def exists_already(task_type: str, external_id: str) -> str:
    """Say that a type and external id are taken; the error's own words are for those who call goque from Python."""
    return f"a task of type {task_type!r} with external id {external_id!r} exists already"


def print_id(task: Task) -> None:
    """Print the id of a task that is in the table now, or say that it is although its id cannot be printed."""
    try:
        click.echo(task.id)
    except OutputError as error:
        raise OutputError(f"task {task.id} is enqueued, but {error}") from error
