"""What `Registry(on_failure=…)` is called with: one failed attempt of a task of any type."""

from __future__ import annotations

import msgspec

from goque.task import Task


class Failure(msgspec.Struct, frozen=True):
    """One failed attempt, after it was written to the database.

    Attributes:
        task: the task as this attempt left it, with its errors and its new status.
        type: its type.
        attempt: the number of the attempt, from 1; for `lost_unstarted` the attempts before.
        cause: `failed` for an exception, `timeout`, `crash` for the death of its worker, or `lost` for the death of its
            node. `lost_unstarted` is no attempt: the task is given up, because eleven nodes in a row died holding it
            before it started.
        error: the text of the error, as in the task's errors.
        traceback: the Python traceback; of a crash the last stack that the interpreter could write; None for none.
        final: whether no other attempt follows.
    """

    task: Task
    type: str
    attempt: int
    cause: str
    error: str
    traceback: str | None
    final: bool
