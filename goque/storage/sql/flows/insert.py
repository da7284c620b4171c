"""Insert a flow: all of it, or nothing."""

from __future__ import annotations

from goque.errors import DuplicateTaskError, TaskNotFoundError
from goque.flows.plan import FlowPlan
from goque.storage.sql import steps
from goque.storage.sql.dialect import Dialect
from goque.storage.sql.flows.advance import AdvanceSteps
from goque.storage.sql.insert_steps import InsertSteps
from goque.storage.sql.steps import Steps
from goque.task import Task
from goque.task_row import TaskStatus


class FlowInsertSteps:
    """The statements in their order, for one dialect.

    Args:
        dialect: the dialect.
        inserts: inserts its tasks.
    """

    def __init__(self, dialect: Dialect, inserts: InsertSteps) -> None:
        self._dialect = dialect
        self._sql = dialect.sql.flows
        self._inserts = inserts
        self._advance = AdvanceSteps(dialect)

    def insert(self, plan: FlowPlan, *, undo: bool = False, again: bool = False) -> Steps[list[Task]]:
        """Insert a flow and return its tasks.

        What is needed outside of the flow is locked first: it cannot end unseen meanwhile.

        Args:
            plan: the flow.
            undo: whether the transaction is the caller's, and goes on after an error.
            again: whether an earlier try was not answered, and may have taken effect.

        Raises:
            DuplicateTaskError: the external id or the unique key of a task is taken.
            TaskNotFoundError: a need outside of the flow does not exist.
        """
        inner = self._insert(plan, again=again)
        if not undo:
            return (yield from inner)
        return (yield from steps.in_savepoint(self._dialect.sql, inner, undo_if=self._inserts.may_go_on))

    def _insert(self, plan: FlowPlan, *, again: bool) -> Steps[list[Task]]:
        plan.set_flags()
        if again and (yield steps.rows(self._sql.flow_by_id, {"id": plan.id})):
            return (yield from self._inserts.stamp(plan.tasks))
        outside = plan.outside
        if outside:
            yield from self._hold(outside)
        try:
            yield from self._inserts.insert_new(plan.tasks)
        except DuplicateTaskError as error:
            found = yield steps.rows(self._sql.flow_by_id, {"id": plan.id})
            raise error.in_flow(plan.name, is_there=bool(found)) from None
        yield steps.run(self._sql.insert_flow, {"id": plan.id, "name": plan.name})
        yield steps.run_many(
            self._sql.insert_member,
            [
                {"flow_id": plan.id, "position": position, "task_id": task.id}
                for position, task in enumerate(plan.tasks)
            ],
        )
        if plan.edges:
            yield steps.run_many(self._sql.insert_need, [edge._asdict() for edge in plan.edges])
        yield from self._dialect.announce({task.type for task in plan.tasks if task.status is TaskStatus.NEW})
        if outside:
            yield from self._advance.advance(outside)
        return (yield from self._inserts.stamp(plan.tasks))

    def _hold(self, outside: list[str]) -> Steps[None]:
        """Lock tasks that the flow needs, and let their ends look for it."""
        params = {"ids": self._dialect.encode_list(outside)}
        found = {self._dialect.read_text(row[0]) for row in (yield steps.rows(self._sql.lock_needs, params))}
        for task_id in outside:
            if task_id not in found:
                raise TaskNotFoundError(task_id)
        yield steps.run(self._sql.mark_needed, params)
