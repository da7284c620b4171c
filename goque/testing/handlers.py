"""Runs a handler in a test, without a database."""

from __future__ import annotations

from typing import TYPE_CHECKING

from goque.errors import ConfigurationError
from goque.execution.inline import TaskRun, row_of, run_row
from goque.processor_table import processors_of
from goque.queue.manager_base import with_values_of_context

if TYPE_CHECKING:
    from goque.registry import Registry
    from goque.task import Task


def run_task(registry: Registry, task: Task, *, attempts: int = 0) -> TaskRun:
    """Run the handler of a task in this process, as a worker would; no database is used.

    The payload is decoded and hooks are called as in a worker. `goque.current_task()` is the task, and its context has
    the values of its metadata and of surrounding `with_value` blocks. The returned run has the exception of the
    handler, and what would happen to the task; `run_task(…).raise_for_error()` raises the exception.

    Args:
        registry: has the processor.
        task: made as for `add_task`; it is not enqueued.
        attempts: how many attempts have failed before.

    Raises:
        ConfigurationError: its type has no processor, or `attempts` is negative.
        GoqueError: the handler is async, and this thread runs an event loop already.
        BaseException: the handler raised an exception that ends a test, such as KeyboardInterrupt or `pytest.fail`.
    """
    if not isinstance(attempts, int) or isinstance(attempts, bool) or attempts < 0:
        raise ConfigurationError(f"attempts must be a whole number from 0 up, not {attempts!r:.80}")
    (task,) = with_values_of_context([task])
    return run_row(processors_of(registry).get(task.type), row_of(task, attempts))
