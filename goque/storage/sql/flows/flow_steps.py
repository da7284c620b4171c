"""What applications ask of a flow, as steps on one session: read, count, cancel."""

from __future__ import annotations

from typing import Any, Final

from goque.errors import TaskNotFoundError
from goque.flows.plan import Edge
from goque.storage.contract.flows import FlowRecord
from goque.storage.sql import steps
from goque.storage.sql.dialect import Dialect
from goque.storage.sql.flows.advance import AdvanceSteps
from goque.storage.sql.steps import Steps

AT_ONCE: Final = 5_000
"""How many tasks a statement cancels: one for all of a large flow would take longer than a statement may."""


class FlowSteps:
    """The statements of each call in their order, for one dialect.

    Args:
        dialect: the dialect.
    """

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._sql = dialect.sql.flows
        self._advance = AdvanceSteps(dialect)

    def get_flow(self, flow_id: str) -> Steps[FlowRecord]:
        """Read a flow with its tasks.

        Raises:
            TaskNotFoundError: there is none.
        """
        text = self._dialect.read_text
        name, created_at = yield from self._find(flow_id)
        params = {"id": flow_id}
        tasks = yield steps.rows(self._sql.tasks_of_flow, params)
        edges = yield steps.rows(self._sql.needs_of_flow, params)
        return FlowRecord(
            flow_id,
            text(name),
            self._dialect.read_time(created_at),
            [self._dialect.read_task(row) for row in tasks],
            [
                Edge(text(task_id), position, text(needs_id), "ended" if text(wants) == "ended" else "done")
                for task_id, position, needs_id, wants in edges
            ],
        )

    def count_flow(self, flow_id: str) -> Steps[dict[str, int]]:
        """Return how many tasks of a flow are in each status; a canceled one that still runs counts as processing.

        Raises:
            TaskNotFoundError: there is none.
        """
        yield from self._find(flow_id)
        rows = yield steps.rows(self._sql.overview, {"id": flow_id})
        return {self._dialect.read_text(status): number for status, number in rows}

    def cancel_flow(self, flow_id: str) -> Steps[int]:
        """Cancel all tasks of a flow that have not ended, and return how many.

        Raises:
            TaskNotFoundError: there is none.
        """
        text = self._dialect.read_text
        yield from self._find(flow_id)
        rows = yield steps.rows(self._sql.lock_unfinished, {"id": flow_id})
        ids = [text(row[0]) for row in rows]
        if not ids:
            return 0
        parts = [ids[start : start + AT_ONCE] for start in range(0, len(ids), AT_ONCE)]
        canceled = 0
        for part in parts:
            canceled += yield steps.run(self._sql.cancel_all, {"ids": self._dialect.encode_list(part)})
        yield from self._dialect.announce({text(row[1]) for row in rows})
        for part in parts:  # none of the flow is blocked by now: this cancels what other flows need of it
            yield from self._advance.advance(part)
        return canceled

    def _find(self, flow_id: str) -> Steps[tuple[Any, Any]]:
        rows = []
        if self._dialect.is_task_id(flow_id):
            rows = yield steps.rows(self._sql.flow_by_id, {"id": flow_id})
        if not rows:
            raise TaskNotFoundError(flow_id, "flow")
        return rows[0][1], rows[0][2]
