"""goque: durable background tasks out of the SQL database that an application already has.

Enqueue with a `TaskQueueManager`, register handlers on a `Registry`, run them with `goque supervise`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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
    RetryTask,
    SchemaError,
    Snooze,
    TaskCanceled,
    TaskNotFoundError,
    TaskStateError,
    TaskTimeout,
    WorkerCrashed,
)
from goque.manager import TaskQueueManager
from goque.periodic import CronSchedule, PeriodicJob, cron_job
from goque.processor import TaskProcessor, noop_task_processor, typed_task_processor
from goque.registry import Registry
from goque.storage import TaskStorage, open_storage
from goque.task import NO_TASK_PAYLOAD, Task, TaskFilter, TaskStatus, TypedTask
from goque.version import __version__

if TYPE_CHECKING:
    from goque_supervisor.launch import Supervisor

__all__ = [
    "NO_TASK_PAYLOAD",
    "ConfigurationError",
    "CronSchedule",
    "DatabaseUnavailableError",
    "DuplicateTaskError",
    "GoqueError",
    "InvalidPayloadFormatError",
    "PayloadDecodeError",
    "PayloadEncodeError",
    "PeriodicJob",
    "Registry",
    "RetryTask",
    "SchemaError",
    "Snooze",
    "Supervisor",
    "Task",
    "TaskCanceled",
    "TaskFilter",
    "TaskNotFoundError",
    "TaskProcessor",
    "TaskQueueManager",
    "TaskStateError",
    "TaskStatus",
    "TaskStorage",
    "TaskTimeout",
    "TypedTask",
    "WorkerCrash",
    "WorkerCrashed",
    "__version__",
    "cron_job",
    "current_task",
    "noop_task_processor",
    "open_storage",
    "retry",
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
    """Import the supervisor only where somebody runs one from Python (PEP 562)."""
    if name == "Supervisor":
        from goque_supervisor.launch import Supervisor  # noqa: PLC0415 - applications that only enqueue never load it

        return Supervisor
    raise AttributeError(f"module 'goque' has no attribute {name!r}")
