"""Reset or cancel the open tasks of a group of failures, in steps, so that it works for millions."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from goque.errors import TaskNotFoundError, TaskStateError
from goque.storage.contract import OpenTask, TaskStorage
from goque.task_row import TaskStatus

AT_ONCE: Final = 200
"""The attempts that one step reads; it resets their open tasks in one transaction."""

MAX_REASONS: Final = 20


class GroupChange(msgspec.Struct, frozen=True):
    """How far a change of the open tasks of a group is.

    Attributes:
        changed: how many tasks were reset or canceled.
        left: how many have no attempt left, and so cannot be canceled.
        refused: how many were not reset.
        reasons: why the first of these were not.
        due_in: seconds until the last of the tasks that were reset is due.
    """

    changed: int = 0
    left: int = 0
    refused: int = 0
    reasons: tuple[TaskStateError, ...] = ()
    due_in: float = 0.0


def reset_group(
    storage: TaskStorage, group: str, *, per_second: float | None = None, keep_steps: bool = False
) -> Iterator[GroupChange]:
    """Reset the open tasks of a group, those that failed first before the others; yield after each step.

    Tasks that fail again meanwhile are left. So are those that have gone on since they were read.

    Args:
        storage: where they are.
        group: the group.
        per_second: spreads the times at which they are due, so that so many a second are; None for all at once.
        keep_steps: whether their recorded steps, signals and progress stay.
    """
    state, number, began = GroupChange(), 0, time.monotonic()
    for tasks in _steps(storage, group):
        passed = time.monotonic() - began
        due_in = {}
        for task in tasks:
            due_in[task.id] = 0.0 if per_second is None else max(0.0, number / per_second - passed)
            number += 1
        resets = storage.reset_open_tasks(due_in, keep_steps=keep_steps)
        state = GroupChange(
            changed=state.changed + len(resets.reset),
            refused=state.refused + len(resets.refused),
            reasons=(*state.reasons, *resets.refused)[:MAX_REASONS],
            due_in=max((due_in[task_id] for task_id in resets.reset), default=state.due_in),
        )
        yield state


def cancel_group(
    storage: TaskStorage,
    group: str,
    *,
    per_second: float | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[GroupChange]:
    """Cancel the open tasks of a group that wait for another attempt; yield after each.

    A task with no attempt left has ended, and stays as it is.

    Args:
        storage: where they are.
        group: the group.
        per_second: cancels at most so many a second; None for as fast as it can.
        sleep: waits before the next one, if it is too early.
    """
    state, began = GroupChange(), time.monotonic()
    for tasks in _steps(storage, group):
        for task in tasks:
            if task.status == TaskStatus.ATTEMPTS_LEFT:
                state = msgspec.structs.replace(state, left=state.left + 1)
                continue
            if per_second is not None:
                sleep(max(0.0, began + state.changed / per_second - time.monotonic()))
            state = msgspec.structs.replace(state, changed=state.changed + _cancel(storage, task))
            yield state
    yield state


def _cancel(storage: TaskStorage, task: OpenTask) -> bool:
    try:
        return storage.cancel_unless_finished(task.id)
    except TaskNotFoundError:
        return False  # the cleaner has deleted it meanwhile


def _steps(storage: TaskStorage, group: str) -> Iterator[list[OpenTask]]:
    """Yield the open tasks of a group, part by part, up to those of the attempts that have failed by now."""
    until = storage.newest_attempt()
    after: int | None = 0
    while after is not None:
        page = storage.open_tasks(group, after=after, until=until, limit=AT_ONCE)
        if page.tasks:
            yield list(page.tasks)
        after = page.after
