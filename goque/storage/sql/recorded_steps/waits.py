"""Let tasks that have just begun to wait run at once, if their signal came while they still ran.

A settle and a signal both lock the task first. So the later of the two sees the other: the settle finds the signal, or
the signal finds the task waiting.
"""

from __future__ import annotations

from collections.abc import Sequence

from goque.outcome import Change
from goque.storage.sql.dialect import Dialect
from goque.storage.sql.recorded_steps.answers import StepAnswers
from goque.storage.sql.recorded_steps.decisions import Key
from goque.storage.sql.session import Session
from goque.storage.sql.steps import run_steps


class SignaledWaits:
    """The statements in their order, for one dialect.

    Args:
        dialect: the dialect.
    """

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._sql = dialect.sql.recorded_steps
        self._answers = StepAnswers(dialect)

    def end(self, session: Session, changes: Sequence[Change]) -> set[str]:
        """Make tasks due whose signal is there, after these changes are written; return the types of these tasks."""
        keys = [Key(change.token.task_id, "signal", name) for change in changes for name in change.waits_for]
        found = self._answers.find(session, keys)
        if not found:
            return set()
        params = {"ids": self._dialect.encode_list(sorted({key.task_id for key in found}))}
        session.run(self._sql.make_due, params)
        types = {self._dialect.read_text(row[0]) for row in session.rows(self._sql.types, params)}
        run_steps(session, self._dialect.announce(types))
        return types
