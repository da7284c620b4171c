"""Runs the function of a Django task in a worker, and sends Django's signals."""

from __future__ import annotations

from typing import Any, Final

from goque import Task
from goque.contrib.django import registry
from goque.contrib.django.framework import base, normalize_json, signals
from goque.contrib.django.results import (
    class_path,
    end,
    error_of,
    note_class,
    running_result,
    stored_run,
)
from goque.crash import WorkerCrash
from goque.errors import DatabaseUnavailableError, RetryTask, Snooze, TaskCanceled
from goque.execution.error_groups import deciding_error, may_retry
from goque.execution.run_handler import traceback_of
from goque.outcome import crashes_since_reset
from goque.processor_table import processors_of

WAIT_FOR_DATABASE: Final = 1.0
"""Seconds until a task is tried again whose failed attempts could not be read. It loses no attempt."""


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
    backend = type(result.task.get_backend())
    signals.task_started.send(backend, task_result=result)
    try:
        context = [base.TaskContext(task_result=result)] if result.task.takes_context else []
        returned = normalize_json(result.task.call(*context, *result.args, **result.kwargs))
    except BaseException as error:
        traceback = traceback_of(error)
        note_class(error, traceback)
        if is_last(task, error):
            end(result, "FAILED", error=error_of(class_path(error), traceback))
            signals.task_finished.send_robust(backend, task_result=result)
        raise
    end(result, "SUCCESSFUL", returned)
    signals.task_finished.send_robust(backend, task_result=result)
    return stored_run(result, returned)


def is_last(task: Task, error: BaseException) -> bool:
    """Return whether a task has failed for good with this exception."""
    decides = deciding_error(error)
    if isinstance(decides, Snooze):
        return False
    if isinstance(decides, TaskCanceled):
        return True
    processor = processors_of(registry).get(task.type)
    if task.attempts + 1 >= processor.spec.options.max_attempts:
        return True
    return not isinstance(decides, RetryTask) and not may_retry(error, processor.callbacks)


def finish_crashed(crash: WorkerCrash) -> None:
    """Send `task_finished` for a task that a crash has ended."""
    task = crash.task
    if task is None:
        return
    options = processors_of(registry).get(task.type).spec.options
    crashes = crashes_since_reset(task.errors) + 1
    if crash.attempt < options.max_attempts and (
        options.max_crashes is None or crashes < options.max_crashes
    ):
        return
    attempts = registry.queue.storage.failed_attempts(task.id)
    result = running_result(task, [one for one in attempts if one.failed.attempt < crash.attempt])
    end(result, "FAILED", error=error_of("goque.errors.WorkerCrashed", crash.traceback or crash.cause))
    signals.task_finished.send_robust(type(result.task.get_backend()), task_result=result)
