"""Decide and write what happens to rows that others may have written. A bad row does not delay other rows."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from typing import TypeAlias

from goque.execution.error_texts import named_message_of
from goque.outcome import Change
from goque.storage.in_halves import write_in_halves
from goque.task_row import TaskRow, Token
from goque.telemetry.rate_limit import RateLimit

log = logging.getLogger("goque.recovery")

Decided: TypeAlias = tuple[TaskRow, Change]
_lines = RateLimit()


def decide_each(rows: Iterable[TaskRow], decide: Callable[[TaskRow], Change]) -> list[Decided]:
    """Decide what happens to each row. Set rows aside for which that raises an exception."""
    decided: list[Decided] = []
    for row in rows:
        try:
            decided.append((row, decide(row)))
        except Exception as error:  # noqa: BLE001 - a row with any error is set aside and logged
            log_set_aside(row, error)
    return decided


def settle_each(
    decided: list[Decided], write: Callable[[Sequence[Decided]], AbstractSet[Token]]
) -> set[Token]:
    """Write changes in one batch, without the rows that the database rejects; returns the claims that `write` did.

    A success whose follow-ups cannot be inserted becomes a failed attempt, here and in `decided`.
    """

    def set_aside(rejected: Decided, error: Exception) -> set[Token]:
        row, change = rejected
        if change.success is not None:
            failed = row, change.success.refused(named_message_of(error))
            decided[decided.index(rejected)] = failed
            return settle_each([failed], write)
        log_set_aside(row, error)
        return set()

    return write_in_halves(decided, write, set_aside)


def log_set_aside(row: TaskRow, error: Exception | None = None) -> None:
    """Log a row that cannot be returned, once a minute for each type."""
    if _lines.admits(row.type):
        why = f"{type(error).__name__}: {error}" if error else "no row with its id and claim is found"
        log.warning(
            "cannot return task %r of type %r (%s): it stays claimed for now, and other tasks are not affected",
            row.id,
            row.type,
            why.strip().partition("\n")[0],
        )
