"""Keeps the handlers of a replay from writing to the queue: the tasks that they enqueue are reported instead."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from goque.errors import GoqueError
from goque.task import Task

Report = Callable[[Sequence[Task]], object]

_report: Report | None = None


def withhold_inserts_of_process(report: Report | None) -> None:
    """Insert nothing in this process from now on, and call `report` with the tasks instead; None ends that.

    A replay runs one handler in a process of its own, so this is a fact of the process.
    """
    global _report
    _report = report


def is_withheld(tasks: Sequence[Task]) -> bool:
    """Return whether these tasks must not be inserted; they are reported then."""
    if _report is None:
        return False
    _report(tasks)
    return True


def refuse_write_in_replay() -> None:
    """Refuse a change of the queue that is not an insert.

    Raises:
        GoqueError: this process replays a task.
    """
    if _report is not None:
        raise GoqueError(
            "a replay changes nothing in the queue: this handler cancels, resets, signals or deletes tasks, or "
            "changes limits; run it in a tree"
        )
