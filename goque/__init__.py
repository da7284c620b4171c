"""goque: durable background tasks, backed by the SQL database that an application already has.

Enqueue with a `TaskQueueManager`, register handlers on a `Registry`, run them with `goque supervise`.

Names are imported when they are first used (PEP 562). So the root supervisor does not load code that could crash it,
and a program that only enqueues does not import the rest.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from goque.version import __version__

if TYPE_CHECKING:
    from goque import retry
    from goque.context import (
        current_task,
        tx_from_context,
        value_by_key,
        values,
        with_tx,
        with_value,
        with_values,
        without_tx,
    )
    from goque.crash import WorkerCrash
    from goque.errors import (
        ConfigurationError,
        DatabaseUnavailableError,
        DuplicateTaskError,
        GoqueError,
        InvalidPayloadFormatError,
        PayloadDecodeError,
        PayloadEncodeError,
        RateLimited,
        RetryTask,
        SchemaError,
        SignalTimeout,
        Snooze,
        TaskCanceled,
        TaskLost,
        TaskNotFoundError,
        TaskStateError,
        TaskTimeout,
        UnknownTypeError,
        WaitTimeoutError,
        WorkerCrashed,
    )
    from goque.execution.follow_ups import follow_up
    from goque.failure import Failure
    from goque.handlers.flow import Flow
    from goque.handlers.handler import Handler
    from goque.handlers.processor import TaskProcessor, noop_task_processor, typed_task_processor
    from goque.periodic.jobs import CronSchedule, PeriodicJob, cron_job
    from goque.queue.async_manager import AsyncTaskQueueManager
    from goque.queue.flow_state import FlowState
    from goque.queue.manager import TaskQueueManager
    from goque.registry import Registry
    from goque.stacks.task_stack import TaskStack
    from goque.storage import TaskStorage, open_storage
    from goque.task import NO_TASK_PAYLOAD, Task, TypedTask
    from goque.task_filter import TaskFilter
    from goque.task_row import TaskStatus
    from goque.task_rules.limits import Rate
    from goque.telemetry.app_logs import LogHandler
    from goque.telemetry.service_name import set_metrics_service_name
    from goque.telemetry.tracing import set_tracer_provider
    from goque_supervisor.launch import Supervisor

_NAMES_OF_MODULE = {
    "goque.queue.async_manager": "AsyncTaskQueueManager",
    "goque.context": (
        "current_task tx_from_context value_by_key values with_tx with_value with_values without_tx"
    ),
    "goque.crash": "WorkerCrash",
    "goque.errors": (
        "ConfigurationError DatabaseUnavailableError DuplicateTaskError GoqueError InvalidPayloadFormatError "
        "PayloadDecodeError PayloadEncodeError RateLimited RetryTask SchemaError SignalTimeout Snooze "
        "TaskCanceled TaskLost TaskNotFoundError TaskStateError TaskTimeout UnknownTypeError WaitTimeoutError "
        "WorkerCrashed"
    ),
    "goque.execution.follow_ups": "follow_up",
    "goque.failure": "Failure",
    "goque.handlers.handler": "Handler",
    "goque.task_rules.limits": "Rate",
    "goque.handlers.flow": "Flow",
    "goque.queue.flow_state": "FlowState",
    "goque.queue.manager": "TaskQueueManager",
    "goque.periodic.jobs": "CronSchedule PeriodicJob cron_job",
    "goque.handlers.processor": "TaskProcessor noop_task_processor typed_task_processor",
    "goque.registry": "Registry",
    "goque.telemetry.app_logs": "LogHandler",
    "goque.telemetry.service_name": "set_metrics_service_name",
    "goque.stacks.task_stack": "TaskStack",
    "goque.storage": "TaskStorage open_storage",
    "goque.task": "NO_TASK_PAYLOAD Task TypedTask",
    "goque.task_row": "TaskStatus",
    "goque.task_filter": "TaskFilter",
    "goque.telemetry.tracing": "set_tracer_provider",
    "goque_supervisor.launch": "Supervisor",
}
_MODULE_OF_NAME = {name: module for module, names in _NAMES_OF_MODULE.items() for name in names.split()}

__all__ = [
    "NO_TASK_PAYLOAD",
    "AsyncTaskQueueManager",
    "ConfigurationError",
    "CronSchedule",
    "DatabaseUnavailableError",
    "DuplicateTaskError",
    "Failure",
    "Flow",
    "FlowState",
    "GoqueError",
    "Handler",
    "InvalidPayloadFormatError",
    "LogHandler",
    "PayloadDecodeError",
    "PayloadEncodeError",
    "PeriodicJob",
    "Rate",
    "RateLimited",
    "Registry",
    "RetryTask",
    "SchemaError",
    "SignalTimeout",
    "Snooze",
    "Supervisor",
    "Task",
    "TaskCanceled",
    "TaskFilter",
    "TaskLost",
    "TaskNotFoundError",
    "TaskProcessor",
    "TaskQueueManager",
    "TaskStack",
    "TaskStateError",
    "TaskStatus",
    "TaskStorage",
    "TaskTimeout",
    "TypedTask",
    "UnknownTypeError",
    "WaitTimeoutError",
    "WorkerCrash",
    "WorkerCrashed",
    "__version__",
    "cron_job",
    "current_task",
    "follow_up",
    "noop_task_processor",
    "open_storage",
    "retry",
    "set_metrics_service_name",
    "set_tracer_provider",
    "tx_from_context",
    "typed_task_processor",
    "value_by_key",
    "values",
    "with_tx",
    "with_value",
    "with_values",
    "without_tx",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, and keep it."""
    if name == "retry":
        return importlib.import_module("goque.retry")
    module = _MODULE_OF_NAME.get(name)
    if module is None:
        raise AttributeError(f"module 'goque' has no attribute {name!r}")
    value = getattr(importlib.import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
