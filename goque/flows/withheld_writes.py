"""Keeps the handler of a replay from writing to the queue: what it would have written is reported instead."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from goque.errors import GoqueError
from goque.flows.task_to_insert import TaskToInsert
from goque.task import Task


class Withheld(msgspec.Struct, frozen=True, omit_defaults=True):
    """One change that a handler asked for and that was not made.

    Attributes:
        action: enqueue, cancel, reset, signal or cancel flow.
        task_id: the task or the flow that it is about.
        task: the task, for enqueue.
    """

    action: str
    task_id: str
    task: TaskToInsert | None = None


Report = Callable[[list[Withheld]], object]

_report: Report | None = None


def withhold_writes_of_process(report: Report | None) -> Report | None:
    """Change nothing in the queue from now on, and call `report` with the changes instead; None ends that.

    A replay runs one handler in a process of its own, so this is a fact of the process. Returns what was called before.
    """
    global _report
    before, _report = _report, report
    return before


def are_withheld(tasks: Sequence[Task]) -> bool:
    """Return whether these tasks must not be inserted; they are reported then."""
    if _report is None:
        return False
    _report([Withheld("enqueue", task.id, TaskToInsert.of(task)) for task in tasks])
    return True


def is_withheld(action: str, task_id: str) -> bool:
    """Return whether a task must not be changed; the change is reported then, and counts as made."""
    if _report is None:
        return False
    _report([Withheld(action, task_id)])
    return True


def refuse_write_in_replay() -> None:
    """Refuse any other change of the queue.

    Raises:
        GoqueError: this process replays a task.
    """
    if _report is not None:
        raise GoqueError(
            "a replay changes nothing in the queue: here the handler deletes tasks, pauses a type or changes limits, "
            "which works in a tree only"
        )
