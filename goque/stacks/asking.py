"""Ask the node of a running task for its stack, and wait for the answer.

Only the database joins the nodes. The request is a row, and the answer comes into the same row.
"""

from __future__ import annotations

import logging
import time
import uuid
from datetime import UTC, datetime
from typing import Final

import msgspec

from goque.describe.status_words import word_with_status
from goque.errors import DatabaseUnavailableError, TaskNotFoundError, TaskStateError, WaitTimeoutError
from goque.stacks.answer import StackAnswer, StackState, decode_answer
from goque.stacks.task_stack import TaskStack
from goque.storage import TaskStorage
from goque.storage.contract import NodeRow, StackRequest
from goque.task_row import CLAIMED_STATUSES, TaskRow

log: Final = logging.getLogger("goque.stacks")

WAIT: Final = 2.8
"""Seconds that an answer is waited for."""

FIRST_PAUSE: Final = 0.02
MAX_PAUSE: Final = 0.1


def read_stack(storage: TaskStorage, task_id: str) -> TaskStack:
    """Return the stack of a running task, whichever node runs it.

    Raises:
        TaskNotFoundError: no task has this id.
        TaskStateError: the task does not run, or has ended meanwhile.
        WaitTimeoutError: the node or the worker process does not answer.
    """
    row = _running_row(storage, task_id)
    owner = row.claimed_by or ""
    node = storage.node(owner)
    request = StackRequest(str(uuid.uuid4()), row.id)
    storage.ask_for_stack(request, task_type=row.type, owner=owner)
    try:
        return _stack_of(_await_answer(storage, request, row, node), row, node)
    finally:
        _forget(storage, request)


def _running_row(storage: TaskStorage, task_id: str) -> TaskRow:
    row = storage.get_task(task_id)
    if row is None:
        raise TaskNotFoundError(task_id)
    if row.status not in CLAIMED_STATUSES:
        raise TaskStateError(f"task {task_id} does not run: it is {word_with_status(row.status)}")
    if row.claimed_by is None:
        raise TaskStateError(f"task {task_id} is run by another library, which gives no stacks")
    return row


def _await_answer(
    storage: TaskStorage, request: StackRequest, row: TaskRow, node: NodeRow | None
) -> StackAnswer:
    until, pause = time.monotonic() + WAIT, FIRST_PAUSE
    while True:
        text = storage.stack_answer(request.id)
        if text is not None:
            return _decode(text)
        now = _running_row_again(storage, row)
        if time.monotonic() >= until:
            raise WaitTimeoutError(_why_no_answer(now, node))
        time.sleep(pause)
        pause = min(MAX_PAUSE, pause * 1.5)


def _running_row_again(storage: TaskStorage, before: TaskRow) -> TaskRow:
    """Return the row of the task as it is now, if the same run goes on."""
    row = storage.get_task(before.id)
    if row is None:
        raise TaskNotFoundError(before.id)
    if row.status not in CLAIMED_STATUSES or row.claims != before.claims:
        raise _ended(row)
    return row


def _ended(row: TaskRow) -> TaskStateError:
    return TaskStateError(
        f"task {row.id} has stopped running meanwhile: it is {word_with_status(row.status)}"
    )


def _why_no_answer(row: TaskRow, node: NodeRow | None) -> str:
    if node is None:
        return f"task {row.id} is claimed by {row.claimed_by}, and there is no such node"
    silence = (datetime.now(UTC) - node.heartbeat_at).total_seconds()
    return (
        f"the node of task {row.id} has not answered within 3 s: {node.id} on {node.host}, pid {node.pid}; "
        f"its last heartbeat was {max(0.0, silence):.0f} s ago"
    )


def _decode(text: str) -> StackAnswer:
    try:
        return decode_answer(text)
    except msgspec.MsgspecError as error:
        raise WaitTimeoutError(
            "the node's answer cannot be read; does it run another version of goque?"
        ) from error


def _stack_of(answer: StackAnswer, row: TaskRow, node: NodeRow | None) -> TaskStack:
    if answer.state is StackState.NOT_RUNNING:
        raise TaskStateError(f"task {row.id} does not run: {answer.note}")
    if answer.state is StackState.SILENT:
        raise WaitTimeoutError(f"there is no stack of task {row.id}: {answer.note}")
    return TaskStack(
        task_id=row.id,
        type=row.type,
        attempt=row.attempts + 1,
        node=row.claimed_by or "",
        host=node.host if node is not None else "?",
        worker_pid=answer.worker_pid,
        seconds=answer.seconds,
        step=answer.step,
        source=answer.source,
        frames=answer.frames,
        asyncio_tasks=answer.asyncio_tasks,
        note=answer.note,
    )


def _forget(storage: TaskStorage, request: StackRequest) -> None:
    try:
        storage.forget_stack_request(request.id)
    except DatabaseUnavailableError as error:
        log.info("a request for a stack is left in the table (%s): the next one deletes it", error)
