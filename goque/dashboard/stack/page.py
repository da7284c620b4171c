"""The stack of a running task. It is a page, and a dialog on the page of the task."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from goque.dashboard.render import page
from goque.dashboard.state import dashboard_of
from goque.errors import TaskNotFoundError, TaskStateError, WaitTimeoutError
from goque.identifiers import is_task_id
from goque.stacks.asking import read_stack
from goque.stacks.frames import frame_lines
from goque.stacks.task_stack import TITLES, TaskStack

NO_STACK: Final = 409


def stack_page(request: Request) -> Response:
    """Ask the node of a running task for its stack, and show it. People who may not act may look, too."""
    task_id = request.path_params["task_id"].lower()
    if not is_task_id(task_id):
        raise TaskNotFoundError(task_id[:80])
    storage = dashboard_of(request).ready_storage()
    try:
        stack = read_stack(storage, task_id)
    except (TaskStateError, WaitTimeoutError) as error:
        return page(request, "stack.html", NO_STACK, task_id=task_id, stack=None, problem=str(error))
    return page(request, "stack.html", task_id=task_id, stack=stack, blocks=_blocks(stack), problem="")


def _blocks(stack: TaskStack) -> list[tuple[str, str]]:
    """Return a title and a text for each stack."""
    own = f"{TITLES[stack.source][0].upper()}{TITLES[stack.source][1:]}"
    stacks = [(own, stack.frames), *(("Another asyncio task of it", one) for one in stack.asyncio_tasks)]
    return [(title, "\n".join(frame_lines(frames, ""))) for title, frames in stacks]
