"""Delete recorded steps, some at a time: a task may have hundreds of thousands."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from goque.storage.sql import steps
from goque.storage.sql.dialect import Dialect
from goque.storage.sql.session import Session
from goque.storage.sql.steps import Steps
from goque.task_row import HAS_STEPS

MOST: Final = 20_000
"""How many rows one statement deletes: more would take longer than a statement may."""


class TooManyStepsError(Exception):
    """Tasks that are to be deleted have more rows than one statement deletes; the transaction must be taken back.

    Attributes:
        ids: the tasks that have rows.
    """

    def __init__(self, ids: Sequence[str]) -> None:
        super().__init__(f"{len(ids)} tasks have more than {MOST} steps")
        self.ids = ids


class StepDeletes:
    """The statements in their order, for one dialect.

    Args:
        dialect: the dialect.
    """

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._sql = dialect.sql.recorded_steps

    def with_tasks(self, session: Session, rows: Iterable[Sequence[Any]]) -> None:
        """Delete the rows of tasks that were deleted before in the same transaction.

        Args:
            session: where.
            rows: the ids of the tasks and their flags; only those with HAS_STEPS may have rows.

        Raises:
            TooManyStepsError: there are too many; `some_of` deletes them before.
        """
        self.with_ids(session, [row[0] for row in rows if isinstance(row[1], int) and row[1] & HAS_STEPS])

    def with_ids(self, session: Session, raw_ids: Iterable[Any]) -> None:
        """Do the same for tasks that may all have rows."""
        ids = sorted(map(self._dialect.read_text, raw_ids))
        if not ids:
            return
        params = {"ids": self._dialect.encode_list(ids)}
        [(number,)] = session.rows(self._sql.count, {**params, "limit": MOST + 1})
        if number > MOST:
            raise TooManyStepsError(ids)
        if number:
            session.run(self._sql.delete_of_deleted, params)

    def some_of(self, session: Session, ids: Sequence[str]) -> bool:
        """Delete some rows of those tasks that have ended and that nobody holds; return whether there may be more."""
        rows = session.rows(self._sql.lock_ended, {"ids": self._dialect.encode_list(ids)})
        ended = self._dialect.encode_list([self._dialect.read_text(row[0]) for row in rows])
        return session.run(self._sql.delete_some, {"ids": ended, "limit": MOST}) == MOST

    def all_of(self, task_id: str) -> Steps[None]:
        """Delete all rows of a task, as steps."""
        params = {"ids": self._dialect.encode_list([task_id]), "limit": MOST}
        while (yield steps.run(self._sql.delete_some, params)) == MOST:
            pass
