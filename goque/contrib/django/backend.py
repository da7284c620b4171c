"""A backend for Django's tasks framework: goque stores and runs its `@task` functions.

It works with `django.tasks` of Django 6, and with the package django-tasks on earlier versions. The tasks of a Django
queue are goque tasks of one type, such as `django.default`; their payload is the function's path and its arguments.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from django import VERSION
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from goque import Task, TaskStatus
from goque.contrib.django import registry
from goque.contrib.django.projects import DjangoRegistry
from goque.errors import ConfigurationError, GoqueError, TaskNotFoundError

if TYPE_CHECKING:
    from goque.storage.contract import AttemptRow

FRAMEWORK: Final = "django.tasks" if VERSION >= (6, 0) else "django_tasks"
PREFIX: Final = "django"

_base: Final = import_module(f"{FRAMEWORK}.base")
_exceptions: Final = import_module(f"{FRAMEWORK}.exceptions")
_signals: Final = import_module(f"{FRAMEWORK}.signals")
_BaseTaskBackend: Any = import_module(f"{FRAMEWORK}.backends.base").BaseTaskBackend

_STATUSES: Final = {
    TaskStatus.PROCESSING: "RUNNING",
    TaskStatus.DONE: "SUCCESSFUL",
    TaskStatus.CANCELED: "FAILED",
    TaskStatus.ATTEMPTS_LEFT: "FAILED",
}
_CAUSES: Final = {"crash": "goque.errors.WorkerCrashed", "timeout": "goque.errors.TaskTimeout"}


class GoqueBackend(_BaseTaskBackend):
    """Stores Django's tasks in goque's table, in Django's transaction.

    OPTIONS are those of a goque processor, for the tasks of every queue: workers, timeout, max_attempts and so on;
    OPTIONS["QUEUES"] has other values for single queues.
    """

    supports_defer = True
    supports_async_task = True
    supports_get_result = True
    supports_priority = True

    def __init__(self, alias: str, params: dict[str, Any]) -> None:
        super().__init__(alias, params)
        if not self.queues:
            raise ImproperlyConfigured(f"TASKS[{alias!r}]: goque needs QUEUES, a list of queue names")

    def register(self, on: DjangoRegistry) -> None:
        """Register a processor for each queue.

        Raises:
            ImproperlyConfigured: an option is wrong, or two backends have the same queue.
        """
        common = {name: value for name, value in self.options.items() if name != "QUEUES"}
        single: Mapping[str, Any] = self.options.get("QUEUES", {})
        for queue in sorted(self.queues):
            options = {"store_result": True, **common, **single.get(queue, {})}
            try:
                on.add_processor(type_of(queue), run_task, **options)
            except ConfigurationError as error:
                raise ImproperlyConfigured(f"TASKS[{self.alias!r}]: {error}") from error

    def enqueue(self, task: Any, args: Any, kwargs: Any) -> Any:
        """Insert a task on Django's connection; workers see it after the commit."""
        self.validate_task(task)
        result = _base.TaskResult(
            task=task,
            id="",
            status=_base.TaskResultStatus.READY,
            enqueued_at=None,
            started_at=None,
            finished_at=None,
            last_attempted_at=None,
            args=list(args),
            kwargs=dict(kwargs),
            backend=self.alias,
            errors=[],
            worker_ids=[],
        )
        payload = {
            "task": task.module_path,
            "args": result.args,
            "kwargs": result.kwargs,
            "backend": self.alias,
        }
        added = registry.queue.enqueue(
            type_of(task.queue_name), payload, run_at=task.run_after, priority=task.priority or None
        )
        object.__setattr__(result, "id", added.id)
        object.__setattr__(result, "enqueued_at", added.created_at)
        _signals.task_enqueued.send(type(self), task_result=result)
        return result

    def get_result(self, result_id: str) -> Any:
        """Read the status and result of a task.

        Raises:
            TaskResultDoesNotExist: no Django task has this id.
        """
        try:
            task = registry.queue.get_task(str(result_id))
            return _result_of(task, registry.queue.storage.failed_attempts(task.id))
        except (TaskNotFoundError, KeyError, TypeError):
            raise _exceptions.TaskResultDoesNotExist(result_id) from None


def type_of(queue: str) -> str:
    """Return goque's type for the tasks of a queue."""
    return f"{PREFIX}.{queue}"


def register_backends() -> None:
    """Register the processors of each goque backend in TASKS."""
    for backend in import_module(FRAMEWORK).task_backends.all():
        if isinstance(backend, GoqueBackend):
            backend.register(registry)


def run_task(task: Task) -> Any:
    """Run the function of a Django task, in a worker."""
    storage = registry.queue.storage
    result = _result_of(task, storage.failed_attempts(task.id), runs=True)
    _signals.task_started.send(GoqueBackend, task_result=result)
    django_task = result.task
    context = [_base.TaskContext(task_result=result)] if django_task.takes_context else []
    return django_task.call(*context, *result.args, **result.kwargs)


def _django_task(path: str) -> Any:
    """Import a task by its path. Any other object that a row may name is refused.

    Raises:
        GoqueError: there is no such task.
    """
    try:
        found = import_string(path)
    except ImportError as error:
        raise GoqueError(f"there is no task {path!r:.200}: {error}") from error
    if not isinstance(found, _base.Task):
        raise GoqueError(f"{path!r:.200} is no task; decorate it with @task")
    return found


def _result_of(task: Task, attempts: list[AttemptRow], *, runs: bool = False) -> Any:
    payload = task.payload
    ran_before = [attempt.node or "" for attempt in attempts]
    begun = runs or task.status in (TaskStatus.PROCESSING, TaskStatus.DONE)
    status = "RUNNING" if runs else _STATUSES.get(task.status, "READY")
    result = _base.TaskResult(
        task=_django_task(payload["task"]).using(
            queue_name=task.type.partition(".")[2], backend=payload["backend"]
        ),
        id=task.id,
        status=_base.TaskResultStatus[status],
        enqueued_at=task.created_at,
        started_at=next((one.started_at for one in attempts), task.updated_at if begun else None),
        finished_at=task.updated_at if task.status.is_terminal else None,
        last_attempted_at=task.updated_at
        if begun
        else next((one.ended_at for one in reversed(attempts)), None),
        args=payload["args"],
        kwargs=payload["kwargs"],
        backend=payload["backend"],
        errors=[_error_of(attempt) for attempt in attempts],
        worker_ids=[*ran_before, task.claimed_by or ""] if begun else ran_before,
    )
    object.__setattr__(result, "_return_value", task.result)
    return result


def _error_of(attempt: AttemptRow) -> Any:
    failed = attempt.failed
    named = (failed.traceback or "").strip().rpartition("\n")[2].partition(":")[0].strip()
    raised = named if "." in named else f"builtins.{named or 'Exception'}"
    return _base.TaskError(
        exception_class_path=_CAUSES.get(failed.cause, raised),
        traceback=failed.traceback or failed.stack or failed.error,
    )
