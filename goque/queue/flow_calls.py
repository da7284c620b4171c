"""What the managers do with flows."""

from __future__ import annotations

import asyncio
import time
from abc import abstractmethod
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from goque.handlers.flow import Flow, flow_id_of, plan_of
from goque.queue.flow_state import FlowState, status_of
from goque.queue.manager_base import ManagerBase, WaitPauses, transaction_of
from goque.storage import TaskStorage
from goque.telemetry import tracing


class FlowCalls(ManagerBase):
    """The part of `TaskQueueManager` about flows."""

    @abstractmethod
    def _storage_for(self, tx: Any) -> TaskStorage:
        """Return the storage for a call in a transaction of the caller, or None."""

    def enqueue_flow(self, flow: Flow, *, conn: Any = None) -> Flow:
        """Insert all tasks of a flow in one transaction, and return the flow.

        Args:
            flow: the flow; a task with needs is `blocked` until they have ended.
            conn: the caller's own connection.

        Raises:
            ConfigurationError: it has no task or more than 100,000, a circle, or a need that is not in it.
            TaskNotFoundError: a task that it needs by its id does not exist.
            DuplicateTaskError: the external id or the unique key of a task is taken.
            UnknownTypeError, InvalidPayloadFormatError: as of `enqueue`.
        """
        plan = plan_of(flow)
        self._prepare(plan.tasks)
        tx = transaction_of(conn)
        with tracing.enqueueing(plan.tasks):
            self._storage_for(tx).insert_flow(plan, conn=tx)
        return flow

    def get_flow(self, flow: Flow | str, *, conn: Any = None) -> FlowState:
        """Read a flow, or that with an id, with all its tasks.

        Raises:
            ConfigurationError: it is neither a flow nor an id.
            TaskNotFoundError: no flow has this id.
        """
        flow_id, tx = flow_id_of(flow), transaction_of(conn)
        return FlowState.of(self._storage_for(tx).get_flow(flow_id, conn=tx))

    def cancel_flow(self, flow: Flow | str, *, conn: Any = None) -> int:
        """Cancel all tasks of a flow that have not ended, and return how many; those that run are stopped.

        Raises:
            TaskNotFoundError: no flow has this id.
        """
        flow_id, tx = flow_id_of(flow), transaction_of(conn)
        return self._storage_for(tx).cancel_flow(flow_id, conn=tx)

    def wait_flow(self, flow: Flow | str, timeout: float | timedelta | None = None) -> FlowState:
        """Wait until all tasks of a flow have ended, and return it.

        It counts the tasks after 10 ms, then less and less often, down to twice a second.

        Args:
            flow: the flow, or its id; it is committed.
            timeout: seconds, or None to wait as long as it takes.

        Raises:
            TaskNotFoundError: no flow has this id, or has it any more.
            WaitTimeoutError: it has not ended in time; it is a TimeoutError too.
        """
        flow_id = flow_id_of(flow)
        pauses = WaitPauses(f"flow {flow_id}", timeout)
        while status_of(self._ready_storage().count_flow(flow_id)) == "open":
            time.sleep(pauses.next_pause("open", is_notified=False))
        return self.get_flow(flow_id)


class AsyncFlowCalls(ManagerBase):
    """The part of `AsyncTaskQueueManager` about flows."""

    @abstractmethod
    async def _ask(self, call: Callable[[Any], Any], conn: Any) -> Any:
        """Return what `call` returns of the storage, or of its asyncio calls where `conn` is awaited."""

    async def enqueue_flow(self, flow: Flow, *, conn: Any = None) -> Flow:
        """Insert all tasks of a flow in one transaction; see `TaskQueueManager.enqueue_flow`."""
        plan = plan_of(flow)
        self._prepare(plan.tasks)
        tx = transaction_of(conn)
        with tracing.enqueueing(plan.tasks):
            await self._ask(lambda storage: storage.insert_flow(plan, conn=tx), tx)
        return flow

    async def get_flow(self, flow: Flow | str, *, conn: Any = None) -> FlowState:
        """Read a flow with all its tasks; see `TaskQueueManager.get_flow`."""
        flow_id, tx = flow_id_of(flow), transaction_of(conn)
        return FlowState.of(await self._ask(lambda storage: storage.get_flow(flow_id, conn=tx), tx))

    async def cancel_flow(self, flow: Flow | str, *, conn: Any = None) -> int:
        """Cancel all tasks of a flow that have not ended; see `TaskQueueManager.cancel_flow`."""
        flow_id, tx = flow_id_of(flow), transaction_of(conn)
        canceled: int = await self._ask(lambda storage: storage.cancel_flow(flow_id, conn=tx), tx)
        return canceled

    async def wait_flow(
        self,
        flow: Flow | str,
        timeout: float | timedelta | None = None,  # noqa: ASYNC109 - the same call as the synchronous one's
    ) -> FlowState:
        """Wait until all tasks of a flow have ended; see `TaskQueueManager.wait_flow`."""
        flow_id = flow_id_of(flow)
        pauses = WaitPauses(f"flow {flow_id}", timeout)
        while (  # noqa: ASYNC110 - other processes end it
            status_of(await self._ask(lambda storage: storage.count_flow(flow_id), None)) == "open"
        ):
            await asyncio.sleep(pauses.next_pause("open", is_notified=False))
        return await self.get_flow(flow_id)
