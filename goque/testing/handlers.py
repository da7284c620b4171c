"""Runs a handler in a test, without a database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from goque.errors import ConfigurationError, SignalTimeout
from goque.execution.inline import TaskRun, row_of, run_row
from goque.execution.inline_steps import MemorySteps
from goque.identifiers import new_task_id
from goque.payload import encode_payload
from goque.queue.manager_base import with_values_of_context
from goque.task_rules.need import Need

if TYPE_CHECKING:
    from goque.registry import Registry
    from goque.task import Task


def run_task(
    registry: Registry,
    task: Task,
    *,
    attempts: int = 0,
    needs: Sequence[Need] = (),
    steps: Mapping[str, Any] = {},
    signals: Mapping[str, Any] = {},
) -> TaskRun:
    """Run the handler of a task in this process, as a worker would; no database is used.

    The payload is decoded and hooks are called as in a worker. `goque.current_task()` is the task, and its context has
    the values of its metadata and of surrounding `with_value` blocks. The returned run has the exception of the
    handler, and what would happen to the task; `run_task(…).raise_for_error()` raises the exception.

    Args:
        registry: has the processor.
        task: made as for `add_task`; it is not enqueued.
        attempts: how many attempts have failed before.
        needs: what the handler finds in `task.needs`; `ended_need` makes one.
        steps: the values of steps that earlier attempts have recorded, by name. A sleep of such a name is over.
        signals: the values of signals that have come, by name. The class `goque.SignalTimeout` as a value says that
            the signal has not come in time.

    Raises:
        PayloadEncodeError, InvalidPayloadFormatError: a value of a step or a signal cannot be JSON.
        ConfigurationError: its type has no processor, or `attempts` is negative.
        GoqueError: the handler is async, and this thread runs an event loop already.
        BaseException: the handler raised an exception that ends a test, such as KeyboardInterrupt or `pytest.fail`.
    """
    if not isinstance(attempts, int) or isinstance(attempts, bool) or attempts < 0:
        raise ConfigurationError(f"attempts must be a whole number from 0 up, not {attempts!r:.80}")
    (task,) = with_values_of_context([task])
    return run_row(registry, row_of(task, attempts, needs), memory_of(steps, signals))


def memory_of(steps: Mapping[str, Any], signals: Mapping[str, Any]) -> MemorySteps:
    """Make what keeps the steps of a run, from the values of steps and signals."""
    return MemorySteps(
        {name: encode_payload(value, what=f"step {name!r}") for name, value in steps.items()},
        {
            name: encode_payload(value, what=f"signal {name!r}")
            for name, value in signals.items()
            if value is not SignalTimeout
        },
        [name for name, value in signals.items() if value is SignalTimeout],
    )


def ended_need(task_type: str, result: Any = None, *, status: str = "done", error: str | None = None) -> Need:
    """Make what a task needs, as it ended, for `run_task`.

    Args:
        task_type: its type.
        result: what its handler returned; anything that can be JSON.
        status: "done", "canceled" or "attempts_left".
        error: the last cause of one that ended badly.

    Raises:
        PayloadEncodeError, InvalidPayloadFormatError: the result cannot be kept.
    """
    raw = None if result is None else encode_payload(result, what="result")
    return Need(new_task_id(), task_type, status, raw, error)
