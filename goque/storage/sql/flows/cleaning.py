"""Delete flows that have ended long ago: first their tasks, some at a time, and then what they needed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from goque.storage.sql.dialect import Dialect
from goque.storage.sql.recorded_steps.deleting import StepDeletes
from goque.storage.sql.session import Session

MOST_FLOWS: Final = 100
"""How many flows one call looks at."""

FIRST_ID: Final = "00000000-0000-0000-0000-000000000000"

KeptFor = Callable[[str, str], float]
"""Return the seconds for which an ended task of a type and a status is kept."""


class FlowCleaning:
    """The statements in their order, for one dialect.

    Args:
        dialect: the dialect.
    """

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._sql = dialect.sql.flows
        self._steps = StepDeletes(dialect)
        self._after = FIRST_ID

    @property
    def is_at_end(self) -> bool:
        """Whether the last look went to the last flow."""
        return self._after == FIRST_ID

    def ended(self, session: Session) -> list[str]:
        """Return some flows that have ended; the next call goes on behind them, and then from the first on."""
        rows = session.rows(self._sql.ended_flows, {"after": self._after, "limit": MOST_FLOWS})
        found = [self._dialect.read_text(row[0]) for row in rows]
        self._after = found[-1] if len(found) == MOST_FLOWS else FIRST_ID
        return found

    def delete_if_old(self, session: Session, flow_id: str, kept_for: KeptFor, limit: int) -> int:
        """Delete up to `limit` tasks of a flow of which each has been kept long enough; return how many.

        Where none is left, the flow itself goes too.
        """
        text = self._dialect.read_text
        for task_type, status, ended_at in session.rows(self._sql.last_ends, {"id": flow_id}):
            age = (session.now - self._dialect.read_time(ended_at)).total_seconds()
            if age < kept_for(text(task_type), text(status)):
                return 0
        rows = session.rows(self._sql.some_tasks, {"id": flow_id, "limit": limit})
        ids = [text(row[0]) for row in rows]
        if ids:
            batch = self._dialect.encode_list(ids)
            session.run(self._sql.delete_tasks, {"ids": batch})
            session.run(self._dialect.sql.delete_attempts, {"batch": batch})
            self._steps.with_tasks(session, rows)
        if len(ids) < limit:
            self._forget(session, flow_id)
        return len(ids)

    def _forget(self, session: Session, flow_id: str) -> None:
        outside = session.rows(self._sql.needs_outside, {"id": flow_id})
        session.run(self._sql.delete_needs, {"id": flow_id})
        if outside:
            ids = [self._dialect.read_text(row[0]) for row in outside]
            session.run(self._sql.forget_needed, {"ids": self._dialect.encode_list(ids)})
        session.run(self._sql.delete_members, {"id": flow_id})
        session.run(self._sql.delete_flow, {"id": flow_id})
