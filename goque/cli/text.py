"""Text for terminals: whatever a database holds comes out inert, and nothing is cut."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import click
import msgspec

from goque.logs import inert_json, one_line
from goque.task import TaskRow

COLUMNS = TaskRow.__struct_fields__


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table: drawn in a terminal, aligned columns elsewhere; the first column is never broken."""
    clean = [[one_line(cell) for cell in row] for row in rows]
    if sys.stdout.isatty():
        _draw(header, clean)
        return
    widths = [max(map(len, column)) for column in zip(header, *clean, strict=True)]
    for row in ([name.upper() for name in header], *clean):
        click.echo("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())


def _draw(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table()
    for index, name in enumerate(header):
        longest = max((len(row[index]) for row in rows), default=0)
        whole = index == 0
        table.add_column(name, overflow="fold", no_wrap=whole, min_width=longest if whole else None)
    for row in rows:
        table.add_row(*map(Text, row))  # a Text has no markup, so a type called [red] stays a type
    Console(highlight=False).print(table)


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
