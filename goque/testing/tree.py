"""A real tree for one test, and workers that crash on purpose."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Literal, Self

import msgspec

from goque.errors import ConfigurationError, GoqueError, WaitTimeoutError
from goque.handlers.processor_table import processors_of
from goque.storage import open_storage

if TYPE_CHECKING:
    from goque import Supervisor
    from goque.queue.manager import TaskQueueManager
    from goque.registry import Registry
    from goque.task import Task

LOOK_AT_TREE: Final = 0.5
"""Seconds after which a wait for a task looks whether the tree still runs."""


class RunningTree:
    """A supervision tree for a test, on the test's database.

    Attributes:
        queue: the registry's queue.
        supervisor: the `goque.Supervisor`, with its `pid`, `stop` and `wait`.
    """

    def __init__(
        self, registry: Registry, database_url: str, *, app: str | None = None, **options: Any
    ) -> None:
        from goque import Supervisor  # noqa: PLC0415 - handlers can be tested without any tree

        self.queue: TaskQueueManager = registry.queue
        self.supervisor: Supervisor = Supervisor(app or registry, database_url=database_url, **options)

    def wait(self, task: Task, timeout: float = 30.0) -> Task:
        """Wait until a task is done, canceled or failed for good, and return it.

        Raises:
            WaitTimeoutError: it has not ended within `timeout` seconds; the message has its errors.
            GoqueError: the tree has ended, and nothing will run the task.
        """
        __tracebackhide__ = True
        deadline = time.monotonic() + timeout
        while True:
            has_ended = self.supervisor.exit_code is not None
            left = max(0.0, deadline - time.monotonic())
            try:
                return self.queue.wait(task.id, 0.0 if has_ended else min(left, LOOK_AT_TREE))
            except WaitTimeoutError:
                if left > LOOK_AT_TREE and not has_ended:
                    continue
            row = self.queue.get_task(task.id)
            errors = (row.errors or "it has no errors").strip()
            if has_ended:
                raise GoqueError(
                    f"the tree ended with exit code {self.supervisor.wait()}, and task {task.id} is still "
                    f"{row.status}; {errors}; the tree's log shows the cause"
                )
            raise WaitTimeoutError(f"task {task.id} is still {row.status} after {timeout:g}s; {errors}")

    def __enter__(self) -> Self:
        self.supervisor.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.supervisor.__exit__(kind, error, trace)


@contextmanager
def own_database(registry: Registry, url: str) -> Iterator[TaskQueueManager]:
    """Make a registry use another database during the block; the tables are created.

    Args:
        registry: the registry.
        url: the URL of the database, such as `sqlite:////tmp/test.db`. Its tasks stay there; see `empty`.

    Yields: the registry's queue there.
    """
    storage = open_storage(url)
    storage.migrate()
    storage.close()
    before = registry._use_database(url)  # noqa: SLF001 - only for tests, so not public
    try:
        yield registry.queue
    finally:
        registry._use_database(before)  # noqa: SLF001 - the same


class CrashOnPurpose:
    """A hook that kills its process with a signal, in the first attempts of each task.

    Attributes:
        crashes: tells inline runs, which have no worker process, to refuse.
    """

    crashes = True

    def __init__(self, number: signal.Signals, attempts: int) -> None:
        self.number = number
        self.attempts = attempts

    def __call__(self, task: Task, error: BaseException | None = None) -> None:
        """Kill this process, unless the task has already failed `attempts` times."""
        del error
        if task.attempts < self.attempts:
            os.kill(os.getpid(), self.number)


@contextmanager
def crash_on_purpose(
    registry: Registry,
    task_type: str,
    *,
    when: Literal["before", "after"] = "before",
    number: signal.Signals = signal.SIGKILL,
    attempts: int = 1,
) -> Iterator[None]:
    """Make the workers of a type crash, in trees started in the block, for the first attempts of each task.

    Args:
        registry: has the processor.
        task_type: its type.
        when: "before" the handler starts, or "after" it has returned but before its result is recorded. The second
            shows whether a handler can safely run twice.
        number: the signal that kills the worker.
        attempts: how many attempts of a task crash.

    Raises:
        ConfigurationError: the type has no processor, or `when` is something else.
    """
    if when not in ("before", "after"):
        raise ConfigurationError(f"when must be 'before' or 'after', not {when!r:.80}")
    processors = processors_of(registry)
    processor = processors.get(task_type)
    hooks = getattr(processor.callbacks, f"hooks_{when}")
    crash = CrashOnPurpose(number, attempts)
    more = (crash, *hooks) if when == "before" else (*hooks, crash)
    callbacks = msgspec.structs.replace(processor.callbacks, **{f"hooks_{when}": more})
    processors.put(msgspec.structs.replace(processor, callbacks=callbacks))
    try:
        yield
    finally:
        processors.put(processor)
