"""Runs handlers in this process as a worker would run them; no database is used.

There is no worker process, so a crash of a handler ends this process.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import chain
from types import TracebackType
from typing import Any, Self, TypeGuard

from goque.errors import GoqueError, TaskTimeout
from goque.execution.error_groups import deciding_error
from goque.execution.follow_ups import preparing_by
from goque.execution.inline_steps import AwaitedSteps, InlineSteps, MemorySteps, TableSteps
from goque.execution.run_handler import (
    Handled,
    charge_timeout,
    handle,
    handle_async,
    outcome_of_run,
    translate_cancellation,
    undecoded_task,
    with_duration,
    with_users_delay,
)
from goque.execution.timeout_text import timeout_text
from goque.handlers.processor import Processor
from goque.handlers.processor_table import HasProcessors, processors_of
from goque.options import ProcessorOptions
from goque.outcome import Change, Outcome, settle
from goque.payload import decode_json, encode_payload
from goque.steps.pause import StepPause
from goque.steps.run import StepRun
from goque.task import Task
from goque.task_row import TaskRow, TaskStatus
from goque.task_rules.need import Need


@dataclass(frozen=True)
class TaskRun:
    """The result of one run of a handler.

    Attributes:
        task: the task before the run.
        status: its status now.
        attempts: its failed attempts now.
        errors: its errors now, one line each.
        delay: seconds until the next attempt; None if there is none, or if it is due at once.
        result: the stored result, if its processor has `store_result`.
        returned: what the handler returned.
        error: what the handler raised, or a TaskTimeout; None if it returned in time.
        written: whether the end was written; False if the task was canceled meanwhile.
        follow_ups: the tasks that the handler left behind, those of its flows too; empty unless it ended well.
        steps: the values of the steps that the run found recorded or recorded itself, by name, as plain JSON.
    """

    task: Task
    status: TaskStatus
    attempts: int
    errors: str
    delay: float | None
    result: Any = field(repr=False)
    returned: Any = field(repr=False)
    error: BaseException | None
    written: bool = field(default=True, repr=False)
    follow_ups: Sequence[Task] = field(default=(), repr=False)
    steps: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def raise_for_error(self) -> Self:
        """Raise what the handler raised; return this run if it raised nothing."""
        if self.error is not None:
            raise self.error
        return self


class InlineRunner:
    """Runs handlers one after the other; its `async def` handlers share one event loop.

    Args:
        steps_of: returns what keeps the steps of a row's run.
    """

    def __init__(self, steps_of: Callable[[TaskRow], InlineSteps]) -> None:
        self._loop: asyncio.Runner | None = None
        self._steps_of = steps_of

    def run(self, processor: Processor, row: TaskRow) -> tuple[Outcome, Handled, Mapping[str, bytes]]:
        """Run the handler of a row; return the outcome, what it returned or raised, and its recorded steps.

        Raises:
            BaseException: an exception of the handler that ends a test, such as KeyboardInterrupt.
            GoqueError: the handler cannot run here.
        """
        _refuse_to_crash(processor)
        run = _Run(processor, lambda: self._steps_of(row))
        started = time.monotonic()
        run_it = self._run_awaited if processor.spec.is_async else _run_plain
        handled = run_it(processor, row, run)
        if _ends_the_test(handled.error):
            raise handled.error
        duration = time.monotonic() - started
        if duration > processor.spec.options.timeout and not run.timed_out:
            run.timed_out = timeout_text(processor.spec.options)
        if run.timed_out and handled.error is None:
            handled = handled._replace(error=TaskTimeout(run.timed_out))
        outcome = charge_timeout(handled.outcome, processor, run)
        outcome = with_users_delay(outcome, row, processor.callbacks)
        recorded = {} if run.step_run is None else run.step_run.known
        return with_duration(outcome, duration, os.getpid()), handled, recorded

    def _run_awaited(self, processor: Processor, row: TaskRow, run: _Run) -> Handled:
        if asyncio._get_running_loop() is not None:  # noqa: SLF001 - the only way to ask that raises nothing
            raise GoqueError(
                f"the handler of {row.type!r} is async, and this thread has a running loop; await it in a thread, "
                "as AsyncTaskQueueManager.drain_inline does, or by asyncio.to_thread"
            )
        if self._loop is None:
            self._loop = asyncio.Runner()
        return self._loop.run(_run_awaited(processor, row, run))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._loop is not None:
            self._loop.close()


def run_row(registry: HasProcessors, row: TaskRow, steps: InlineSteps | None = None) -> TaskRun:
    """Run the handler for a row that is not in a database; its steps are those of `steps`."""
    processor = processors_of(registry).get(row.type)
    kept = MemorySteps() if steps is None else steps
    with preparing_by(registry.prepare_tasks), InlineRunner(lambda _row: kept) as runner:
        outcome, handled, recorded = runner.run(processor, row)
    change = settle(outcome, row, processor.spec.options.retry_policy)
    return task_run(row, change, handled, recorded, written=True)


def row_of(task: Task, attempts: int = 0, needs: Sequence[Need] = ()) -> TaskRow:
    """Return the row that a worker would get for a task that was not enqueued."""
    now = datetime.now(UTC)
    metadata = encode_payload(task.metadata, what="metadata") if task.metadata else b"{}"
    return TaskRow(
        id=task.id,
        type=task.type,
        external_id=task.external_id,
        payload=task.payload_bytes,
        status=TaskStatus.PENDING,
        attempts=attempts,
        errors=None,
        metadata=metadata,
        created_at=now,
        updated_at=now,
        next_attempt_at=now,
        priority=task.priority,
        claimed_by="inline",
        claims=attempts + 1,
        needs=tuple(needs),
    )


class _Run:
    """The state of one run: timed out, canceled, interruptible."""

    def __init__(self, processor: Processor, make_steps: Callable[[], InlineSteps]) -> None:
        self.timed_out = ""
        self.canceled = False
        self.interruptible = False
        self.child_error: BaseException | None = None
        self.step_run: StepRun | None = None
        self._spec = processor.spec
        self._make_steps = make_steps

    def steps_of(self, task: Task) -> StepRun:
        """Return the steps of the run."""
        steps = self._make_steps()
        channel = AwaitedSteps(steps) if self._spec.is_async else steps
        is_first = isinstance(steps, TableSteps) and task.claims == 1
        self.step_run = StepRun(channel, self._spec.options.max_result, is_first=is_first)
        return self.step_run


def _run_plain(processor: Processor, row: TaskRow, run: _Run) -> Handled:
    with _alarm(processor.spec.options, run):
        try:
            try:
                run.interruptible = True
                return contextvars.Context().run(handle, processor, row, run)
            finally:
                run.interruptible = False
        except BaseException as error:  # noqa: BLE001 - the time was up in a hook: see the sync worker
            return Handled(outcome_of_run(processor, run, error), error, None)


@contextmanager
def _alarm(options: ProcessorOptions, run: _Run) -> Iterator[None]:
    """Raise TaskTimeout in this thread at the timeout, if it is the main thread, as in a worker.

    Another alarm, such as the time limit of a test, stays in force. If it would ring first, it is left alone. If it
    would ring later, it is set again for the rest of its time.
    """

    def ring(number: int, frame: object) -> None:
        del number, frame
        if run.interruptible and not run.timed_out:
            run.timed_out = timeout_text(options)
            raise TaskTimeout(run.timed_out)

    timeout = options.timeout
    began = time.monotonic()
    others, interval = signal.getitimer(signal.ITIMER_REAL)
    if threading.current_thread() is not threading.main_thread() or 0 < others <= timeout:
        yield
        return
    handler = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, timeout)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        if others:
            signal.setitimer(signal.ITIMER_REAL, max(0.000001, others - (time.monotonic() - began)), interval)


async def _run_awaited(processor: Processor, row: TaskRow, run: _Run) -> Handled:
    loop = asyncio.get_running_loop()
    task = loop.create_task(handle_async(processor, row, run), context=contextvars.Context())

    def ring() -> None:
        run.timed_out = timeout_text(processor.spec.options)
        task.cancel()

    alarm = loop.call_later(processor.spec.options.timeout, ring)
    try:
        await asyncio.wait([task])  # a cancellation of this coroutine must reach the test
    finally:
        alarm.cancel()
    error = asyncio.CancelledError("the handler was canceled") if task.cancelled() else task.exception()
    if error is None:
        return task.result()
    reason = translate_cancellation(run, error)
    return Handled(outcome_of_run(processor, run, reason), reason, None)


def _ends_the_test(error: BaseException | None) -> TypeGuard[BaseException]:
    """Return whether an error is meant for the test runner: Ctrl-C, `pytest.fail`, the time limit of a test."""
    ordinary = Exception | SystemExit | GeneratorExit | asyncio.CancelledError | StepPause | None
    return not isinstance(None if error is None else deciding_error(error), ordinary)


def _refuse_to_crash(processor: Processor) -> None:
    callbacks = processor.callbacks
    if any(getattr(hook, "crashes", False) for hook in (*callbacks.hooks_before, *callbacks.hooks_after)):
        raise GoqueError(
            f"the handler of {processor.spec.type!r} would crash this process, because it runs inline; "
            "run it in a tree"
        )


def task_run(
    row: TaskRow, change: Change, handled: Handled, recorded: Mapping[str, bytes], *, written: bool
) -> TaskRun:
    """Describe a run that has ended."""
    return TaskRun(
        task=undecoded_task(row),
        status=change.status if written else TaskStatus.CANCELED,
        attempts=change.attempts,
        errors=(row.errors if change.errors is None else change.errors) or "",
        delay=change.delay,
        result=None if change.result is None else decode_json(change.result, "result"),
        returned=handled.returned,
        error=handled.error,
        written=written,
        follow_ups=[
            new.task() for new in (*change.follow_ups, *chain(*(flow.tasks for flow in change.flows)))
        ],
        steps={name: decode_json(raw, f"step {name!r}") for name, raw in recorded.items()},
    )
