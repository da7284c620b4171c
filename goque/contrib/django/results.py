"""A row of goque as a `TaskResult` of Django."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from django.utils.module_loading import import_string

from goque import Task, TaskStatus
from goque.contrib.django.framework import base
from goque.errors import GoqueError

if TYPE_CHECKING:
    from goque.failure import Failure
    from goque.storage.contract import AttemptRow

_STATUSES: Final = {
    TaskStatus.PROCESSING: "RUNNING",
    TaskStatus.DONE: "SUCCESSFUL",
    TaskStatus.CANCELED: "FAILED",
    TaskStatus.ATTEMPTS_LEFT: "FAILED",
}
_CAUSES: Final = {
    "crash": "goque.errors.WorkerCrashed",
    "lost": "goque.errors.WorkerCrashed",
    "lost_unstarted": "goque.errors.WorkerCrashed",
    "timeout": "goque.errors.TaskTimeout",
}
_NOTED: Final = re.compile(r"exception class: (\S+)\s*$", re.MULTILINE)
_RUN_KEYS: Final = {"returned", "started_at", "worker"}


def result_of(task: Task, attempts: list[AttemptRow]) -> Any:
    """Make the result of a task that is in the table.

    Args:
        task: the task.
        attempts: its failed attempts, oldest first.

    Raises:
        GoqueError: its payload names no task of Django's.
    """
    run = _run_of(task)
    is_running = task.status == TaskStatus.PROCESSING
    last_start = (
        run["started_at"] if run else task.updated_at if is_running or task.status == "done" else None
    )
    starts = [one.started_at for one in attempts if one.started_at] + ([last_start] if last_start else [])
    workers = [one.node or "" for one in attempts]
    if is_running or run:
        workers.append(run["worker"] if run else task.claimed_by or "")
    return _made(
        task,
        status=_STATUSES.get(task.status, "READY"),
        started_at=starts[0] if starts else None,
        finished_at=task.updated_at if task.status.is_terminal else None,
        last_attempted_at=last_start or next((one.ended_at for one in reversed(attempts)), None),
        errors=[_error_of(one) for one in attempts if one.failed.is_failure],
        worker_ids=workers,
        returned=run["returned"] if run else task.result,
    )


def running_result(task: Task, attempts: list[AttemptRow], worker: str | None = None) -> Any:
    """Make the result of a task whose function is about to be called in this process."""
    now = datetime.now(UTC)
    return _made(
        task,
        status="RUNNING",
        started_at=next((one.started_at for one in attempts if one.started_at), now),
        finished_at=None,
        last_attempted_at=now,
        errors=[_error_of(one) for one in attempts if one.failed.is_failure],
        worker_ids=[*(one.node or "" for one in attempts), worker or task.claimed_by or ""],
        returned=None,
    )


def stored_run(result: Any, returned: Any) -> dict[str, Any]:
    """Return what the table keeps of a successful run: its return value, its start and its worker."""
    return {
        "returned": returned,
        "started_at": result.last_attempted_at.isoformat(),
        "worker": result.worker_ids[-1],
    }


def end(result: Any, status: str, returned: Any = None, error: Any = None) -> None:
    """Complete the result of a run that has ended."""
    object.__setattr__(result, "status", base.TaskResultStatus[status])
    object.__setattr__(result, "finished_at", datetime.now(UTC))
    object.__setattr__(result, "_return_value", returned)
    if error is not None:
        result.errors.append(error)


def error_of(path: str, traceback: str) -> Any:
    """Make an error from the path of an exception's class and a traceback."""
    return base.TaskError(exception_class_path=path, traceback=traceback)


def error_of_failure(failure: Failure) -> Any:
    """Make the error of an attempt that failed without its worker."""
    path = _CAUSES.get(failure.cause, "builtins.Exception")
    return error_of(path, failure.traceback or failure.error)


def class_path(error: BaseException) -> str:
    """Return the module and the qualified name of an exception's class."""
    return f"{type(error).__module__}.{type(error).__qualname__}"


def note_class(error: BaseException, traceback: str) -> None:
    """Note the class of an exception in its traceback, unless the traceback ends with it."""
    if _class_in(traceback) != class_path(error):
        error.add_note(f"exception class: {class_path(error)}")


def _run_of(task: Task) -> Mapping[str, Any] | None:
    """Read what `stored_run` has written; None for any other result."""
    stored = task.result if task.status == TaskStatus.DONE else None
    if not isinstance(stored, dict) or set(stored) != _RUN_KEYS:
        return None
    try:
        return {**stored, "started_at": datetime.fromisoformat(stored["started_at"])}
    except (TypeError, ValueError):
        return None


def _made(task: Task, *, status: str, returned: Any, **values: Any) -> Any:
    payload = task.payload
    result = base.TaskResult(
        task=django_task_of(task),
        id=task.id,
        status=base.TaskResultStatus[status],
        enqueued_at=task.created_at,
        args=payload["args"],
        kwargs=payload["kwargs"],
        backend=payload["backend"],
        **values,
    )
    object.__setattr__(result, "_return_value", returned)
    return result


def django_task_of(task: Task) -> Any:
    """Return Django's task as it was enqueued.

    Raises:
        GoqueError: there is no such task.
    """
    payload = task.payload
    run_after = payload.get("run_after")
    return _import_task(payload["task"]).using(
        queue_name=task.type.partition(".")[2],
        backend=payload["backend"],
        priority=task.priority,
        run_after=None if run_after is None else datetime.fromisoformat(run_after),
    )


def _import_task(path: str) -> Any:
    """Import a task by its path. Any other object that a row may name is refused."""
    try:
        found = import_string(path)
    except ImportError as error:
        raise GoqueError(f"there is no task {path!r:.200}: {error}") from error
    if not isinstance(found, base.Task):
        raise GoqueError(f"{path!r:.200} is no task; decorate it with @task")
    return found


def _error_of(attempt: AttemptRow) -> Any:
    failed = attempt.failed
    path = _CAUSES.get(failed.cause) or _class_in(failed.traceback or "")
    return error_of(path, failed.traceback or failed.stack or failed.error)


def _class_in(traceback: str) -> str:
    """Read the path of the exception's class from a traceback: from our note, else from the last line."""
    if noted := _NOTED.findall(traceback):
        return str(noted[-1])
    named = traceback.strip().rpartition("\n")[2].partition(":")[0].strip()
    return named if "." in named else f"builtins.{named or 'Exception'}"
