"""Release claims that the table shows under the names of this node, and that no process of its tree holds."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Final

from goque.outcome import release
from goque.storage import TaskStorage
from goque.task_row import TaskRow, Token
from goque_supervisor.recovery.settle_rows import Decided, decide_each, log_set_aside, settle_each

SOME_IDS: Final = 5


def release_unheld(storage: TaskStorage, tokens: Iterable[Token]) -> set[Token]:
    """Return tasks to the queue, uncharged, and return the claims that were released.

    A claim that somebody else has ended meanwhile is left as it is. A row that cannot be written is set aside, with a
    line in the log.

    Raises:
        DatabaseUnavailableError: the database does not answer.
    """
    rows = [row for token in tokens if (row := _row_of(storage, token)) is not None]
    decided = decide_each(rows, release)

    def write(these: Sequence[Decided]) -> set[Token]:
        return storage.settle_if_held([change for _row, change in these])

    written = settle_each(decided, write)
    left = [
        row
        for row, _change in decided
        if row.token not in written and _row_of(storage, row.token) is not None
    ]
    for row in left:
        log_set_aside(row)
    return {row.token for row, _change in decided} - {row.token for row in left}


def log_released(log: logging.Logger, released: Iterable[Token]) -> None:
    """Log the tasks that were returned; nothing if there are none."""
    ids = sorted(token.task_id for token in released)
    if ids:
        log.warning(
            "returned %d task(s) that the table showed as claimed by this node, but that no process of it has: %s",
            len(ids),
            ", ".join(ids[:SOME_IDS]) + (", …" if len(ids) > SOME_IDS else ""),
        )


def _row_of(storage: TaskStorage, token: Token) -> TaskRow | None:
    """Return the row of a claim that holds, or None."""
    row = storage.get_task(token.task_id)
    return row if row is not None and row.claimed_by == token.owner else None
