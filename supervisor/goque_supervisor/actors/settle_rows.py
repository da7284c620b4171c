"""Write changes of rows that others may have written. A row that cannot be written does not delay other rows."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TypeVar

from goque.errors import DatabaseUnavailableError
from goque.outcome import Change
from goque.task import TaskRow
from goque.telemetry.rate_limit import RateLimit

log = logging.getLogger("goque.healer")

WrittenT = TypeVar("WrittenT")
_lines = RateLimit()


def changes_of(
    rows: Sequence[TaskRow], decide: Callable[[TaskRow], Change]
) -> tuple[list[TaskRow], list[Change]]:
    """Decide what happens to each row. Set rows aside for which that raises an exception."""
    decided: list[TaskRow] = []
    changes: list[Change] = []
    for row in rows:
        try:
            changes.append(decide(row))
        except Exception as error:  # noqa: BLE001 - a row with any error is set aside and logged
            log_set_aside(row, error)
        else:
            decided.append(row)
    return decided, changes


def write_in_halves(
    rows: Sequence[TaskRow],
    changes: Sequence[Change],
    write: Callable[[Sequence[TaskRow], Sequence[Change]], WrittenT],
) -> list[WrittenT]:
    """Write changes. If the database rejects a batch, halve it until the rejected row is alone, and set that aside."""
    if not changes:
        return []
    try:
        return [write(rows, changes)]
    except DatabaseUnavailableError:
        raise
    except Exception as error:  # noqa: BLE001 - as above
        if len(changes) == 1:
            log_set_aside(rows[0], error)
            return []
    middle = len(changes) // 2
    first = write_in_halves(rows[:middle], changes[:middle], write)
    return first + write_in_halves(rows[middle:], changes[middle:], write)


def log_set_aside(row: TaskRow, error: Exception | None = None) -> None:
    """Log a row that cannot be returned, once a minute for each type."""
    if _lines.admits(row.type):
        why = f"{type(error).__name__}: {error}" if error else "its id or its claim cannot be found again"
        log.warning(
            "task %r of type %r cannot be returned and is set aside (%s); other tasks are not affected",
            row.id,
            row.type,
            why.strip().partition("\n")[0],
        )
