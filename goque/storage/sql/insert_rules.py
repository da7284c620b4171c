"""What is inserted, replaced or refused, and in which order. No I/O happens here."""

from __future__ import annotations

from collections.abc import Sequence

from goque.errors import DuplicateTaskError
from goque.storage.sql.batches import metadata_text
from goque.task import Task
from goque.task_row import TaskRow
from goque.task_rules.uniqueness import OnConflict


def was_done(task: Task, there: Task, on_conflict: OnConflict) -> bool:
    """Return whether the task that an insert returned is inserted or replaced, and not just found there."""
    return there is task or replaces(task, on_conflict)


def check_texts(tasks: Sequence[Task]) -> None:
    """Refuse metadata that cannot be stored, before the first statement: what it holds may have changed since.

    Raises:
        InvalidPayloadFormatError, PayloadEncodeError: metadata of a task is not JSON, too large or too deep.
    """
    for task in tasks:
        if task.metadata:
            metadata_text(task)


def without_repeats(tasks: Sequence[Task], *, on_conflict: OnConflict) -> list[Task]:
    """Leave out tasks whose type and external id came before, or refuse them; later ones may replace them."""
    if on_conflict == "replace":
        return list(tasks)
    firsts: dict[tuple[str, str], Task] = {}
    for task in tasks:
        key = (task.type, task.external_id)
        if key not in firsts:
            firsts[key] = task
        elif on_conflict == "raise":
            raise DuplicateTaskError(task.type, task.external_id)
    return list(firsts.values())


def by_unique_key(tasks: Sequence[Task]) -> list[tuple[int, Task]]:
    """Number tasks, and order them by their keys; those without one come first, in their order.

    Two calls that lock the same keys in different orders would wait for each other: PostgreSQL ends one only after a
    second, and MySQL may end the claim of a fetcher instead.
    """
    numbered = list(enumerate(tasks))
    if any(task.unique_key is not None for task in tasks):
        numbered.sort(
            key=lambda pair: (pair[1].type, pair[1].unique_key[1:]) if pair[1].unique_key else ("", "")
        )
    return numbered


def replaces(task: Task, on_conflict: OnConflict) -> bool:
    """Return whether a task replaces one that waits in its place."""
    return on_conflict == "replace" or (
        task.unique_rule is not None and task.unique_rule.debounce is not None
    )


def may_meet(task: Task, on_conflict: OnConflict) -> bool:
    """Return whether the caller has to expect another task in a task's place."""
    return on_conflict != "raise" or task.unique_rule is not None


def duplicate_of(task: Task, holder: TaskRow | None) -> DuplicateTaskError:
    """Return the error that names the task in the place of another, as far as it was seen."""
    if holder is None:
        return DuplicateTaskError(task.type, task.external_id)
    by_key = holder.external_id != task.external_id
    return DuplicateTaskError(
        task.type,
        task.external_id,
        unique_key=task.unique_key if by_key else None,
        existing_id=holder.id,
        existing_status=holder.status,
    )
