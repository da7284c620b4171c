"""What applications and the healer ask of flows, each call in a transaction of its own or in the caller's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

from goque.flows.plan import FlowPlan
from goque.flows.withheld_writes import are_withheld, is_withheld
from goque.storage.contract.flows import FlowRecord
from goque.storage.sql.asyncio_tasks import SqlAsyncTasks
from goque.storage.sql.call_policy import LONG_READ, PATIENT_WRITE, PINNED_READ, READ, WRITE
from goque.storage.sql.dialect import Dialect
from goque.storage.sql.flows.advance import AdvanceSteps, last_cause
from goque.storage.sql.flows.cleaning import FlowCleaning
from goque.storage.sql.flows.flow_steps import FlowSteps
from goque.storage.sql.flows.insert import FlowInsertSteps
from goque.storage.sql.runner import PATIENCE
from goque.storage.sql.session import Row, Session
from goque.storage.sql.steps import run_steps
from goque.storage.sql.tasks import SqlTasks
from goque.task import Task
from goque.task_rules.need import Need


class SqlFlows(SqlTasks):
    """The part of the contract about flows."""

    def __init__(self, dialect: Dialect, *, patience: float = PATIENCE) -> None:
        super().__init__(dialect, patience=patience)
        self._flow_inserts = FlowInsertSteps(dialect, self._inserts)
        self._flow_ends = AdvanceSteps(dialect)
        self._flows = FlowSteps(dialect)
        self._cleaning = FlowCleaning(dialect)

    def insert_flow(self, plan: FlowPlan, *, conn: Any = None) -> list[Task]:
        """Insert a flow: all of it, or nothing."""
        if are_withheld(plan.tasks):
            return list(plan.tasks)
        undo = conn is not None
        tries = count()
        tasks = self._run_steps(
            lambda: self._flow_inserts.insert(plan, undo=undo, again=next(tries) > 0), PATIENT_WRITE, conn
        )
        self._dialect.nudge({task.type for task in tasks})
        return tasks

    def get_flow(self, flow_id: str, *, conn: Any = None) -> FlowRecord:
        """Read a flow with its tasks."""
        return self._run_steps(lambda: self._flows.get_flow(flow_id), LONG_READ, conn)

    def flow_of(self, task_id: str) -> str | None:
        """Return the id of a task's flow, or None."""
        rows = self._run(
            lambda session: session.rows(self._sql.flows.flow_of_task, {"id": task_id}), PINNED_READ
        )
        return self._dialect.read_text(rows[0][0]) if rows else None

    def count_flow(self, flow_id: str) -> dict[str, int]:
        """Return how many tasks of a flow are in each status."""
        return self._run_steps(lambda: self._flows.count_flow(flow_id), READ, None)

    def cancel_flow(self, flow_id: str, *, conn: Any = None) -> int:
        """Cancel all tasks of a flow that have not ended, and return how many."""
        if is_withheld("cancel flow", flow_id):
            return 0
        return self._run_steps(lambda: self._flows.cancel_flow(flow_id), PATIENT_WRITE, conn)

    def asyncio_tasks(self) -> SqlAsyncTasks:
        """Return what applications ask for, for asyncio connections."""
        return SqlAsyncTasks(
            self._dialect,
            self._steps,
            self._inserts,
            self._flow_inserts,
            self._flows,
            step_records=self._step_records,
        )

    def needs_of(self, ids: Sequence[str]) -> dict[str, tuple[Need, ...]]:
        """Return what tasks need, and how that ended."""
        params = {"ids": self._dialect.encode_list(ids)}
        rows = self._run(lambda session: session.rows(self._sql.flows.needs_of, params), PINNED_READ)
        text = self._dialect.read_text
        needs: dict[Any, list[Need]] = {}
        for row in rows:  # perhaps thousands, for which a worker waits
            needs.setdefault(row[0], []).append(_read_need(row, text))
        return {text(task_id): tuple(found) for task_id, found in needs.items()}

    def delete_old_flows(self, kept_for: Callable[[str, str], float], *, limit: int = 1000) -> int:
        """Delete tasks of flows that have ended, if each has been kept long enough; return how many."""
        deleted = 0
        while deleted < limit and (found := self._run(self._cleaning.ended, PINNED_READ)):
            for flow_id in found:
                if deleted < limit:
                    deleted += self._delete_flow(flow_id, kept_for, limit - deleted)
            if self._cleaning.is_at_end:
                break
        return deleted

    def _delete_flow(self, flow_id: str, kept_for: Callable[[str, str], float], limit: int) -> int:
        def delete(session: Session) -> int:
            return self._cleaning.delete_if_old(session, flow_id, kept_for, limit)

        return self._delete_with_steps(lambda: self._run(delete, WRITE))

    def go_on_with_flows(self, *, limit: int = 500) -> int:
        """Go on with flows whose tasks ended unseen; returns how many ends were found."""

        def go_on(session: Session) -> int:
            rows = session.rows(self._sql.flows.ended_needs, {"limit": limit})
            ended = [self._dialect.read_text(row[0]) for row in rows]
            if ended:
                woken.update(run_steps(session, self._flow_ends.advance(ended)))
            return len(ended)

        woken: set[str] = set()
        number = self._run(go_on, WRITE) if self._has_open_ends() else 0
        if woken:
            self._dialect.nudge(woken)
        return number

    def _has_open_ends(self) -> bool:
        """Look first without a lock: there is rarely anything."""
        return bool(
            self._run(lambda session: session.rows(self._sql.flows.ended_needs, {"limit": 1}), PINNED_READ)
        )


def _read_need(row: Row, text: Callable[[Any], str]) -> Need:
    """Read the need of a task: of one that is done there is no cause to find."""
    _task_id, needs_id, task_type, status, result, errors = row
    if status is None:
        return Need(text(needs_id), "", "", None, "it was deleted")
    ended = text(status)
    raw = result if result is None or isinstance(result, bytes) else text(result).encode()
    if ended == "done":
        return Need(text(needs_id), text(task_type), ended, raw)
    cause = last_cause(ended, text(errors))
    return Need(text(needs_id), text(task_type), ended, raw, cause)
