"""What a cancel achieves: a task that another library runs is canceled in its row, and nowhere else."""

from __future__ import annotations

from typing import Final

from goque.task_row import TaskRow, TaskStatus

NOT_NOTICED: Final = "another library runs it, which does not notice and may still end it as done"


def runs_elsewhere(row: TaskRow | None) -> bool:
    """Return whether a library other than this one runs a task: such as the Go library, it leaves no owner."""
    return (
        row is not None and row.status in (TaskStatus.PENDING, TaskStatus.PROCESSING) and not row.claimed_by
    )


def describe_cancellation(before: TaskRow | None, *, canceled: bool) -> str:
    """Say what a cancel has done.

    Args:
        before: the task before the cancel.
        canceled: whether the cancel changed the row.
    """
    if not canceled:
        return "has ended already"
    return f"canceled, but {NOT_NOTICED}" if runs_elsewhere(before) else "canceled"
