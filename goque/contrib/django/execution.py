"""Runs the function of a Django task in a worker, and sends Django's signals."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final

from goque import Task
from goque.contrib.django import registry
from goque.contrib.django.framework import base, normalize_json, signals
from goque.contrib.django.results import (
    class_path,
    end,
    error_of,
    error_of_failure,
    note_class,
    result_of,
    running_result,
    stored_run,
)
from goque.errors import DatabaseUnavailableError, RateLimited, RetryTask, Snooze, TaskCanceled
from goque.execution.error_groups import deciding_error, may_retry
from goque.execution.error_texts import traceback_of
from goque.failure import Failure
from goque.handlers.processor_table import processors_of

WAIT_FOR_DATABASE: Final = 1.0
"""Seconds until a task is tried again whose failed attempts could not be read. It loses no attempt."""


@dataclass
class _Run:
    """The run of a Django task in this process: its result, and what the function has returned."""

    result: Any
    returned: Any = None


_run: Final[ContextVar[_Run | None]] = ContextVar("goque_django_run", default=None)


def run_task(task: Task) -> Any:
    """Run the function of a Django task.

    Raises:
        Snooze: the database is not available, and the function was not called.
        TypeError: the return value is no JSON.
    """
    try:
        attempts = registry.queue.storage.failed_attempts(task.id) if task.attempts else []
    except DatabaseUnavailableError:
        raise Snooze(WAIT_FOR_DATABASE) from None
    result = running_result(task, attempts)
    run = _Run(result)
    _run.set(run)
    try:
        signals.task_started.send(type(result.task.get_backend()), task_result=result)
        context = [base.TaskContext(task_result=result)] if result.task.takes_context else []
        run.returned = normalize_json(result.task.call(*context, *result.args, **result.kwargs))
    except BaseException as error:
        note_class(error, traceback_of(error))
        raise
    return stored_run(result, run.returned)


def finish_run(task: Task, error: BaseException | None) -> None:
    """Send `task_finished` if this run has ended its task.

    It is a hook after the handler, because only then is it known whether the attempt has failed: a result may be too
    large to store, and a function that swallows TaskTimeout has timed out all the same.
    """
    run = _run.get()
    if run is None:
        return  # the function is not there any more, or the database was not available
    _run.set(None)
    if error is None:
        end(run.result, "SUCCESSFUL", run.returned)
    elif is_last(task, error):
        end(run.result, "FAILED", error=error_of(class_path(error), traceback_of(error)))
    else:
        return
    _send_finished(run.result)


def finish_without_worker(failure: Failure) -> None:
    """Send `task_finished` for a task that has failed for good, and whose worker could not send it."""
    try:
        attempts = registry.queue.storage.failed_attempts(failure.task.id)
    except DatabaseUnavailableError:
        attempts = []
    result = result_of(failure.task, attempts)
    end(result, "FAILED", error=None if attempts else error_of_failure(failure))
    _send_finished(result)


def _send_finished(result: Any) -> None:
    signals.task_finished.send_robust(type(result.task.get_backend()), task_result=result)


def is_last(task: Task, error: BaseException) -> bool:
    """Return whether a task has failed for good with this exception."""
    decides = deciding_error(error)
    if isinstance(decides, Snooze | RateLimited):
        return False
    if isinstance(decides, TaskCanceled):
        return True
    processor = processors_of(registry).get(task.type)
    if task.attempts + 1 >= processor.spec.options.max_attempts:
        return True
    return not isinstance(decides, RetryTask) and not may_retry(error, processor.callbacks)
