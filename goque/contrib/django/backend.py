"""A backend for Django's tasks framework: goque stores and runs its `@task` functions.

It works with `django.tasks` of Django 6, and with the package django-tasks on earlier versions. The tasks of a Django
queue are goque tasks of one type, such as `django.default`; their payload is the function's path and its arguments.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import Any, Final

import msgspec
from django.core.checks import CheckMessage
from django.core.exceptions import ImproperlyConfigured
from django.utils.timezone import is_naive, make_aware

from goque.contrib.django import framework, registry
from goque.contrib.django.app_check import missing_app
from goque.contrib.django.execution import finish_run, finish_without_worker, run_task
from goque.contrib.django.projects import DjangoRegistry
from goque.contrib.django.results import result_of
from goque.errors import ConfigurationError, TaskNotFoundError
from goque.handlers.processor_table import ProcessorTable, processors_of
from goque.identifiers import FUNCTIONS_PREFIX, external_id_of, short_function

_functions: Final[set[str]] = set()
"""The paths of the functions that this process has seen decorated with `@task` for a backend of goque's."""


class GoqueBackend(framework.BaseTaskBackend):
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

    def check(self, **kwargs: Any) -> Iterable[CheckMessage]:
        """Check that goque's app is installed, without which no worker knows the tasks."""
        return [*super().check(**kwargs), *missing_app()]

    def validate_task(self, task: Any) -> None:
        """Check a task as Django does, which calls this for each function that `@task` decorates, and note its name."""
        super().validate_task(task)
        _functions.add(short_function(task.module_path))

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
            _complete(processors_of(on), type_of(queue))

    def enqueue(self, task: Any, args: Any, kwargs: Any) -> Any:
        """Insert a task on Django's connection; workers see it after the commit.

        Raises:
            ImproperlyConfigured: goque's app is not installed.
            InvalidTaskError: Django's; the backend or the queue does not take the task.
        """
        for problem in missing_app():
            raise ImproperlyConfigured(problem.msg)
        self.validate_task(task)
        result = framework.base.TaskResult(
            task=task,
            id="",
            status=framework.base.TaskResultStatus.READY,
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
        run_at = task.run_after
        if run_at is not None:
            payload["run_after"] = run_at.isoformat()
            run_at = make_aware(run_at) if is_naive(run_at) else run_at
        added = registry.queue.enqueue(
            type_of(task.queue_name),
            payload,
            external_id=external_id_of(task.module_path),
            run_at=run_at,
            priority=task.priority or None,
        )
        object.__setattr__(result, "id", added.id)
        object.__setattr__(result, "enqueued_at", added.created_at)
        framework.signals.task_enqueued.send(type(self), task_result=result)
        return result

    def get_result(self, result_id: str) -> Any:
        """Read the status and result of a task.

        Raises:
            TaskResultDoesNotExist: no Django task has this id.
        """
        try:
            task = registry.queue.get_task(str(result_id))
            return result_of(task, registry.queue.storage.failed_attempts(task.id))
        except (TaskNotFoundError, KeyError, TypeError, AttributeError):
            raise framework.exceptions.TaskResultDoesNotExist(result_id) from None


def type_of(queue: str) -> str:
    """Return goque's type for the tasks of a queue."""
    return f"{FUNCTIONS_PREFIX}{queue}"


def known_functions() -> frozenset[str]:
    """Return the functions that the project has, as far as its modules are imported: metrics have no others."""
    return frozenset(_functions)


def register_backends() -> None:
    """Register the processors of each goque backend in TASKS."""
    for backend in import_module(framework.FRAMEWORK).task_backends.all():
        if isinstance(backend, GoqueBackend):
            backend.register(registry)


def _complete(processors: ProcessorTable, task_type: str) -> None:
    """Add what Django's tasks need besides the options of any processor: their functions' names, and signals."""
    made = processors.get(task_type)
    callbacks = msgspec.structs.replace(made.callbacks, hooks_after=(finish_run, *made.callbacks.hooks_after))
    processors.put(
        msgspec.structs.replace(
            made,
            callbacks=callbacks,
            functions=known_functions,
            failed_without_worker=finish_without_worker,
        )
    )
