"""What the managers do about the stacks of running tasks."""

from __future__ import annotations

from goque.queue.manager_base import check_id
from goque.queue.step_calls import AsyncStepCalls, StepCalls
from goque.stacks.asking import read_stack
from goque.stacks.task_stack import TaskStack


class StackCalls(StepCalls):
    """The part of `TaskQueueManager` about stacks."""

    def stack(self, task_id: str) -> TaskStack:
        """Return the Python stack of a running task, on any node. The task goes on.

        It takes up to 3 seconds. The call uses transactions of its own, inside of `with_tx` too.

        Args:
            task_id: the task.

        Raises:
            TaskNotFoundError: no task has this id.
            TaskStateError: the task does not run.
            WaitTimeoutError: its node or its process does not answer; it is a TimeoutError too.
        """
        check_id(task_id)
        return read_stack(self._storage_for(None), task_id)


class AsyncStackCalls(AsyncStepCalls):
    """The part of `AsyncTaskQueueManager` about stacks."""

    async def stack(self, task_id: str) -> TaskStack:
        """Return the Python stack of a running task; see `TaskQueueManager.stack`."""
        check_id(task_id)
        found: TaskStack = await self._ask(lambda storage: read_stack(storage, task_id), None)
        return found
