"""What the managers do about the steps of tasks: signal a task that waits, and reset with or without its steps."""

from __future__ import annotations

from typing import Any

from goque.payload import encode_payload
from goque.queue.flow_calls import AsyncFlowCalls, FlowCalls
from goque.queue.manager_base import check_id, transaction_of
from goque.steps.question import Answer, Question, check_step_name
from goque.task_row import Token


class StepCalls(FlowCalls):
    """The part of `TaskQueueManager` about steps."""

    def signal(self, task_id: str, name: str, value: Any = None, *, conn: Any = None) -> bool:
        """Send a signal to a task, which gets it from `wait_for`; the task need not wait yet.

        The signal is kept with the task. The first one of a name wins.

        Args:
            task_id: the task.
            name: the name of the signal, up to 200 characters.
            value: what `wait_for` returns; anything that can be JSON.
            conn: the caller's own connection.

        Returns: whether it is kept; False if there is a signal of that name.

        Raises:
            TaskNotFoundError: no task has this id.
            TaskStateError: the task has ended.
            ConfigurationError: the name is none.
            PayloadEncodeError, InvalidPayloadFormatError: the value cannot be JSON.
        """
        raw = prepare_signal(task_id, name, value)
        tx = transaction_of(conn)
        return self._storage_for(tx).signal_task(task_id, name, raw, conn=tx)

    def reset_attempts(self, task_id: str, *, keep_steps: bool = False, conn: Any = None) -> bool:
        """Make an error or terminal task new and due at once; returns False for a task that is new already.

        Args:
            task_id: the task.
            keep_steps: whether the task goes on after the steps that it has recorded, and keeps its signals. Otherwise
                they are deleted, and it begins anew.
            conn: the caller's own connection.

        Raises:
            TaskNotFoundError: no task has this id.
            TaskStateError: the task is claimed, or its node has not stopped its handler yet. Or it is blocked by its
                needs. Or one of its needs did not succeed, for which the task was canceled.
        """
        check_id(task_id)
        tx = transaction_of(conn)
        return self._storage_for(tx).reset_unless_claimed(task_id, keep_steps=keep_steps, conn=tx)

    def record_step(self, token: Token, question: Question, *, conn: Any) -> Answer:
        """Record a step in the caller's transaction, for `task.step(…, conn=…)`.

        Args:
            token: the claim of the run.
            question: the step's name and value.
            conn: the caller's own connection.

        Returns: KNOWN if it is recorded; LOST if the claim is gone, or another run has recorded the step.
        """
        return self._storage_for(conn).record_step(token, question, conn=conn)


class AsyncStepCalls(AsyncFlowCalls):
    """The part of `AsyncTaskQueueManager` about steps."""

    async def signal(self, task_id: str, name: str, value: Any = None, *, conn: Any = None) -> bool:
        """Send a signal to a task; see `TaskQueueManager.signal`."""
        raw = prepare_signal(task_id, name, value)
        tx = transaction_of(conn)
        kept: bool = await self._ask(lambda storage: storage.signal_task(task_id, name, raw, conn=tx), tx)
        return kept

    async def reset_attempts(self, task_id: str, *, keep_steps: bool = False, conn: Any = None) -> bool:
        """Make an error or terminal task new and due at once; see `TaskQueueManager.reset_attempts`."""
        check_id(task_id)
        tx = transaction_of(conn)
        reset: bool = await self._ask(
            lambda storage: storage.reset_unless_claimed(task_id, keep_steps=keep_steps, conn=tx), tx
        )
        return reset

    async def record_step(self, token: Token, question: Question, *, conn: Any) -> Answer:
        """Record a step in the caller's transaction; see `TaskQueueManager.record_step`."""
        answer: Answer = await self._ask(
            lambda storage: storage.record_step(token, question, conn=conn), conn
        )
        return answer


def prepare_signal(task_id: str, name: str, value: Any) -> bytes:
    """Return the JSON text of a signal's value, if the signal can be sent.

    Raises:
        TaskNotFoundError: this is no id of a task.
        ConfigurationError: the name is none.
        PayloadEncodeError, InvalidPayloadFormatError: the value cannot be JSON.
    """
    check_id(task_id)
    check_step_name("the name of a signal", name)
    return encode_payload(value, what="signal")
