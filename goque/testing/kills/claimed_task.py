"""A claimed task in a real table, whose handler runs elsewhere."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator

from goque.errors import ConfigurationError, TaskNotFoundError
from goque.execution.inline_steps import TableSteps
from goque.handlers.processor import Processor
from goque.identifiers import new_task_id
from goque.outcome import Outcome, OutcomeKind, settle
from goque.queue.manager_base import ManagerBase
from goque.queue.manager_storage import storage_of
from goque.storage.contract import TaskStorage, policy_of
from goque.task import Task
from goque.task_row import TaskRow


@contextlib.contextmanager
def claimed_task(queue: ManagerBase, processor: Processor, task: Task) -> Iterator[TableSteps]:
    """Insert and claim a task, yield its steps, and delete it.

    Raises:
        ConfigurationError: another task of its type is due, or this one is not.
        DuplicateTaskError: there is a task with its external id or unique key.
    """
    storage, owner = storage_of(queue), f"inline-{new_task_id()}"
    storage.publish_types([policy_of(processor.spec.type, processor.spec.options)])
    storage.register_node(owner, host=socket.gethostname(), pid=os.getpid())
    rows: list[TaskRow] = []
    try:
        storage.insert_tasks([task])
        rows += storage.claim_due(task.type, owner, 1)
        if [row.id for row in rows] != [task.id]:
            raise ConfigurationError(
                f"the queue must have no other due task of type {task.type!r}, and this one must be due"
            )
        storage.mark_processing([rows[0].token])
        yield TableSteps(storage, rows[0].token)
    finally:
        _delete(storage, owner, processor, task, rows)


def _delete(storage: TaskStorage, owner: str, processor: Processor, task: Task, rows: list[TaskRow]) -> None:
    for row in rows:
        kind = OutcomeKind.DONE if row.id == task.id else OutcomeKind.INTERRUPTED
        change = settle(Outcome(kind), row, processor.spec.options.retry_policy)
        storage.settle_if_held([change], node=owner)
    with contextlib.suppress(TaskNotFoundError):  # its insert has failed
        storage.cancel_unless_finished(task.id)  # it was not claimed
        storage.delete_if_finished([task.id])
    storage.retire_node(owner)
