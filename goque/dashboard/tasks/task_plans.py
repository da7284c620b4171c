"""The actions on one task, and on the tasks that somebody has ticked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Final
from urllib.parse import parse_qsl

import msgspec
from starlette.datastructures import ImmutableMultiDict

from goque.dashboard.plans import Field, Params, Plan
from goque.dashboard.queries import BadQueryError, read_query
from goque.dashboard.state import Dashboard
from goque.describe.cancellation import NOT_NOTICED, runs_elsewhere
from goque.describe.step_story import has_steps
from goque.errors import TaskNotFoundError, TaskStateError
from goque.identifiers import external_id_of, function_of, is_task_id
from goque.storage.resets import oldest_first, reset_or_blocked
from goque.task import Task
from goque.task_row import TaskRow

MAX_TICKED: Final = 200


def plan_cancel(dashboard: Dashboard, params: Params) -> Plan:
    """Cancel one task."""
    row = _task_of(dashboard, params)

    def act(_who: str) -> str:
        before = dashboard.storage.get_task(row.id)
        canceled = dashboard.storage.cancel_unless_finished(row.id)
        if canceled and runs_elsewhere(before):
            return f"canceled task {row.id}, but {NOT_NOTICED}"
        return f"canceled task {row.id}" if canceled else f"task {row.id} had ended before"

    note = (
        "It does not run again unless you reset it. If it is running, its handler is stopped as by a timeout."
    )
    if runs_elsewhere(row):
        note = f"Only its row changes: {NOT_NOTICED}."
    return Plan("Cancel this task?", note, "Cancel the task", f"/tasks/{row.id}", act, is_grave=True)


def plan_reset(dashboard: Dashboard, params: Params) -> Plan:
    """Reset one task."""
    row = _task_of(dashboard, params)
    choice = "keep" if params.get("steps") == "keep" else "clear"

    def act(_who: str) -> str:
        reset = dashboard.storage.reset_unless_claimed(row.id, keep_steps=choice == "keep")
        kept = " and kept its steps" if choice == "keep" else ""
        return f"reset task {row.id}{kept}" if reset else f"task {row.id} was new already"

    note = "It waits again, without failed attempts, and is due at once. The record of its failed attempts is kept."
    words = (("clear", "delete them, and begin anew"), ("keep", "keep them, and go on after them"))
    fields = (Field("steps", "Recorded steps and signals", choice, choice, choices=words),)
    back = f"/tasks/{row.id}"
    return Plan(
        "Reset this task?", note, "Reset the task", back, act, fields=fields if has_steps(row) else ()
    )


def plan_copy(dashboard: Dashboard, params: Params) -> Plan:
    """Enqueue a copy of a task."""
    row = _task_of(dashboard, params)
    task = copy_of(row)

    def act(_who: str) -> str:
        made = dashboard.storage.insert_task(task)
        return f"enqueued task {made.id}, a copy of task {row.id}"

    note = (
        "A new task with the same type, payload, metadata, priority and limit key is enqueued, and is due at once. "
        "It gets an external id of its own, has no unique key, and belongs to no flow. This task stays as it is."
    )
    title = f"Run a copy of this {row.type} task?"
    return Plan(title, note, "Run a copy", f"/tasks/{row.id}", act, then=f"/tasks/{task.id}")


def copy_of(row: TaskRow) -> Task:
    """Return a new task with the type, payload, metadata, priority and limit key of another."""
    function = function_of(row.type, row.external_id)
    return Task(
        row.type,
        msgspec.Raw(row.payload),
        external_id=external_id_of(function) if function else None,
        metadata=msgspec.json.decode(row.metadata) if row.metadata else None,
        priority=row.priority,
        limit_key=row.limit_key or None,
    )


def plan_cancel_some(dashboard: Dashboard, params: Params) -> Plan:
    """Cancel the tasks that somebody has ticked."""
    ids = _ticked(params)
    note = (
        "They do not run again unless you reset them. Running handlers are stopped. "
        "Tasks that have ended stay as they are."
    )
    act = partial(_act_on_some, "canceled", ids, dashboard.storage.cancel_unless_finished)
    return Plan(f"Cancel {_number(ids)}?", note, "Cancel", _list_of(params), act, is_grave=True)


def plan_reset_some(dashboard: Dashboard, params: Params) -> Plan:
    """Reset the tasks that somebody has ticked."""
    ids = _ticked(params)
    note = (
        "They wait again, without failed attempts, and are due at once. The steps that they have recorded are deleted. "
        "Tasks that are claimed or running stay as they are."
    )
    act = partial(_act_on_some, "reset", oldest_first(ids), partial(reset_or_blocked, dashboard.storage))
    return Plan(f"Reset {_number(ids)}?", note, "Reset", _list_of(params), act)


def _act_on_some(done: str, ids: Sequence[str], move: Callable[[str], bool], _who: str) -> str:
    """Change each task, and say how many were changed."""
    moved = 0
    for task_id in ids:
        try:
            moved += move(task_id)
        except (TaskNotFoundError, TaskStateError):
            continue  # somebody deleted it, or it is in another state by now; the message counts it as unchanged
    left = len(ids) - moved
    text = f"{done} {moved:,} {'task' if moved == 1 else 'tasks'}"
    return f"{text}; {left:,} stayed as {'it was' if left == 1 else 'they were'}" if left else text


def _ticked(params: Params) -> list[str]:
    """Return the ids of the ticked tasks, newest first. Raises BadQueryError if they are none, or too many."""
    ids = sorted({one.lower() for one in params.get("ids", "").split()}, reverse=True)
    if not ids:
        raise BadQueryError("tick the tasks first")
    if len(ids) > MAX_TICKED or not all(map(is_task_id, ids)):
        raise BadQueryError(f"tick up to {MAX_TICKED} tasks of the list")
    return ids


def _number(ids: Sequence[str]) -> str:
    return "this task" if len(ids) == 1 else f"these {len(ids):,} tasks"


def _list_of(params: Params) -> str:
    """Return the list that the tasks were ticked in."""
    query = read_query(ImmutableMultiDict(parse_qsl(params.get("query", ""))), datetime.now(UTC))
    return f"/tasks?{query.link()}"


def _task_of(dashboard: Dashboard, params: Params) -> TaskRow:
    task_id = params.get("id", "").lower()
    row = dashboard.storage.get_task(task_id) if is_task_id(task_id) else None
    if row is None:
        raise TaskNotFoundError(task_id[:80])
    return row
