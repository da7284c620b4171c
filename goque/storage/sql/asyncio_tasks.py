"""What applications ask of a SQL storage in the transaction of an asyncio connection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from goque.flows.plan import FlowPlan
from goque.flows.withheld_writes import are_withheld, is_withheld, refuse_write_in_replay
from goque.steps.question import Answer, Question
from goque.storage.contract import AsyncTasks
from goque.storage.contract.flows import FlowRecord
from goque.storage.sql.dialect import Dialect
from goque.storage.sql.flows.flow_steps import FlowSteps
from goque.storage.sql.flows.insert import FlowInsertSteps
from goque.storage.sql.insert_rules import check_texts, was_done, without_repeats
from goque.storage.sql.insert_steps import InsertSteps
from goque.storage.sql.recorded_steps.caller_steps import CallerStepRecords
from goque.storage.sql.steps import Steps
from goque.storage.sql.task_steps import TaskSteps
from goque.task import Task
from goque.task_filter import TaskFilter
from goque.task_row import TaskRow, Token
from goque.task_rules.uniqueness import OnConflict

ResultT = TypeVar("ResultT")


class SqlAsyncTasks(AsyncTasks):
    """The steps of `SqlTasks` on the caller's asyncio connection, which `conn` always is here."""

    def __init__(
        self,
        dialect: Dialect,
        steps: TaskSteps,
        inserts: InsertSteps,
        flow_inserts: FlowInsertSteps,
        flows: FlowSteps,
        *,
        step_records: CallerStepRecords,
    ) -> None:
        self._dialect = dialect
        self._steps = steps
        self._inserts = inserts
        self._flow_inserts = flow_inserts
        self._flows = flows
        self._step_records = step_records

    async def insert_task(self, task: Task, *, on_conflict: OnConflict = "raise", conn: Any = None) -> Task:
        """Insert a task and return it, or the one in its place where `on_conflict` or its debounce says so."""
        check_texts((task,))
        if are_withheld((task,)):
            return task
        done = await self._insert_one(task, on_conflict, conn)
        self._dialect.nudge({done.type})
        return done

    async def _insert_one(self, task: Task, on_conflict: OnConflict, conn: Any) -> Task:
        steps = self._inserts.insert_one(task, on_conflict=on_conflict, undo=True)
        return await self._dialect.join(conn, steps, writes=True)

    async def insert_tasks(
        self, tasks: Sequence[Task], *, on_conflict: OnConflict = "raise", conn: Any = None
    ) -> list[Task]:
        """Insert all tasks or none; with "skip", those whose places are free."""
        if not tasks:
            return []
        check_texts(tasks)
        wanted = without_repeats(tasks, on_conflict=on_conflict)
        if are_withheld(wanted):
            return list(wanted)
        if len(wanted) == 1:
            there = await self._insert_one(wanted[0], on_conflict, conn)
            done = [there] if was_done(wanted[0], there, on_conflict) else []
        else:
            steps = self._inserts.insert_many(wanted, on_conflict=on_conflict, undo=True)
            done = await self._dialect.join(conn, steps, writes=True)
        self._dialect.nudge({task.type for task in done})
        return done

    async def get_task(self, task_id: str, *, conn: Any = None) -> TaskRow | None:
        """Read one task, or None."""
        return await self._dialect.join(conn, self._steps.get_task(task_id), writes=False)

    async def find_tasks(self, task_filter: TaskFilter, *, limit: int, conn: Any = None) -> list[TaskRow]:
        """Read up to `limit` tasks that the filter admits, newest first."""
        return await self._dialect.join(conn, self._steps.find_tasks(task_filter, limit=limit), writes=False)

    async def cancel_unless_finished(self, task_id: str, *, conn: Any = None) -> bool:
        """Cancel a task that is not terminal; a running one keeps `claimed_by` until it has stopped."""
        if is_withheld("cancel", task_id):
            return True
        return await self._change(conn, self._steps.cancel_unless_finished(task_id, []))

    async def reset_unless_claimed(self, task_id: str, *, keep_steps: bool = False, conn: Any = None) -> bool:
        """Make an error or terminal task new again: attempts 0, due now, a line in errors."""
        if is_withheld("reset", task_id):
            return True
        steps = self._steps.reset_unless_claimed(task_id, [], keep_steps=keep_steps)
        return await self._change(conn, steps)

    async def record_step(self, token: Token, question: Question, *, conn: Any) -> Answer:
        """Record a step in the transaction of the caller."""
        return await self._change(conn, self._step_records.record(token, question))

    async def signal_task(self, task_id: str, name: str, value: bytes, *, conn: Any = None) -> bool:
        """Keep a signal with a task, and let it run now if it waits for that; False if there is one of that name."""
        if is_withheld("signal", task_id):
            return True
        kept = await self._change(conn, self._step_records.signal(task_id, name, value, []))
        if kept.woken is not None:
            self._dialect.nudge({kept.woken})
        return kept.is_new

    async def insert_flow(self, plan: FlowPlan, *, conn: Any = None) -> list[Task]:
        """Insert a flow: all of it, or nothing."""
        if are_withheld(plan.tasks):
            return list(plan.tasks)
        tasks = await self._dialect.join(conn, self._flow_inserts.insert(plan, undo=True), writes=True)
        self._dialect.nudge({task.type for task in tasks})
        return tasks

    async def get_flow(self, flow_id: str, *, conn: Any = None) -> FlowRecord:
        """Read a flow with its tasks."""
        return await self._dialect.join(conn, self._flows.get_flow(flow_id), writes=False)

    async def cancel_flow(self, flow_id: str, *, conn: Any = None) -> int:
        """Cancel all tasks of a flow that have not ended, and return how many."""
        if is_withheld("cancel flow", flow_id):
            return 0
        return await self._change(conn, self._flows.cancel_flow(flow_id))

    async def _change(self, conn: Any, steps: Steps[ResultT]) -> ResultT:
        refuse_write_in_replay()
        return await self._dialect.join(conn, steps, writes=True)
