"""Calls a handler, and turns its return value or exception into an Outcome.

Both kinds of worker use it, and so do inline runs in tests. No I/O happens here.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from types import CoroutineType
from typing import Any, Final, NamedTuple, NoReturn, Protocol

import msgspec

from goque.callbacks import Callbacks
from goque.context import task_context
from goque.errors import (
    MAX_DELAY,
    GoqueError,
    PayloadDecodeError,
    RateLimited,
    RetryTask,
    Snooze,
    TaskCanceled,
    TaskTimeout,
)
from goque.execution.error_groups import deciding_error, may_retry
from goque.execution.error_texts import message_of, named_message_of, traceback_of
from goque.execution.follow_ups import close_follow_ups
from goque.handlers.processor import Processor
from goque.options import ProcessorOptions
from goque.outcome import Outcome, OutcomeKind
from goque.payload import encode_payload
from goque.retry import delay_of
from goque.steps.pause import StepPause
from goque.steps.run import StepRun
from goque.task import Task
from goque.task_row import TaskRow
from goque.telemetry import tracing

log = logging.getLogger("goque.worker")
DONE = Outcome(OutcomeKind.DONE)
NO_CALLBACKS = Callbacks()
_SIZED: Final = frozenset({str, bytes, bytearray, list, tuple, set, frozenset, dict})
"""Types of which each element has at least one byte as JSON."""


class Run(Protocol):
    """The state of one run, which the caller sets at a timeout or a cancel.

    Attributes:
        timed_out: the text of the timeout that has passed, empty if none has.
        canceled: whether the task was canceled and the handler is being stopped.
        child_error: what an asyncio task of the handler raised to end the process, for which the handler is stopped.
    """

    timed_out: str
    canceled: bool
    child_error: BaseException | None

    def steps_of(self, task: Task) -> StepRun:
        """Return the steps of this run; called when the handler first asks for one."""


class Handled(NamedTuple):
    """The end of a handler.

    Attributes:
        outcome: the outcome of its task.
        error: the error for the after hooks: what the handler raised, a TaskTimeout, or None.
        returned: what it returned.
        has_recorded_in_transaction: whether it has recorded a step in a transaction of its own, which may be open.
    """

    outcome: Outcome
    error: BaseException | None
    returned: Any
    has_recorded_in_transaction: bool = False


def handle(processor: Processor, row: TaskRow, run: Run) -> Handled:
    """Call a `def` handler and its hooks in the task's context; an exception becomes the outcome."""
    callbacks = processor.callbacks
    task, call = prepare(processor, row)
    returned: Any = None
    error: BaseException | None = None
    with task_context(task), tracing.handling(task) as span:
        if callbacks.hooks_before:
            call_hooks(callbacks.hooks_before, task)
        try:
            task.stepper = run.steps_of
            returned = call()
            task.return_from_steps()
            outcome = outcome_of_return(returned, processor.spec.options, task)
        except BaseException as raised:  # noqa: BLE001 - any exception of a handler fails its attempt, never the worker
            error = raised
            task.end_steps()
            close_follow_ups(task)
            outcome = outcome_of_run(processor, run, raised)
        error = _error_for_hooks(run, error)
        if callbacks.hooks_after:
            call_hooks(callbacks.hooks_after, task, error)
        tracing.ended(span, outcome, error)
    return Handled(_with_progress(outcome, task), error, returned, task.has_recorded_in_transaction)


async def handle_async(processor: Processor, row: TaskRow, run: Run) -> Handled:
    """Do the same for an `async def` handler. A timeout or a cancel cancels its asyncio task."""
    callbacks = processor.callbacks
    task, call = prepare(processor, row)
    returned: Any = None
    error: BaseException | None = None
    with task_context(task), tracing.handling(task) as span:
        if callbacks.hooks_before:
            call_hooks(callbacks.hooks_before, task)
        try:
            task.stepper = run.steps_of
            returned = await call()
            task.return_from_steps()
            outcome = outcome_of_return(returned, processor.spec.options, task)
        except BaseException as raised:  # noqa: BLE001 - see handle
            error = await _after_steps(task, run, translate_cancellation(run, raised))
            task.end_steps()
            close_follow_ups(task)
            outcome = outcome_of_run(processor, run, error)
        error = _error_for_hooks(run, error)
        if callbacks.hooks_after:
            call_hooks(callbacks.hooks_after, task, error)
        tracing.ended(span, outcome, error)
    return Handled(_with_progress(outcome, task), error, returned, task.has_recorded_in_transaction)


async def _after_steps(task: Task, run: Run, error: BaseException) -> BaseException:
    """Return the error of a handler; if it is a pause, let the steps beside it end first, for they would run again."""
    if task.step_run is None or not isinstance(deciding_error(error), StepPause):
        return error
    import asyncio  # noqa: PLC0415 - as in translate_cancellation

    try:
        await task.step_run.calls.until_none()
    except asyncio.CancelledError as canceled:
        return translate_cancellation(run, canceled)
    return task.step_run.pause or error


def _with_progress(outcome: Outcome, task: Task) -> Outcome:
    """Add how far a run was that is not done, for it may have said so just before its end."""
    if task.step_run is None or task.step_run.progress is None or outcome.kind is OutcomeKind.DONE:
        return outcome
    return msgspec.structs.replace(outcome, progress=task.step_run.progress)


def outcome_of_run(processor: Processor, run: Run, error: BaseException) -> Outcome:
    """Make the outcome of a run that ended with an error."""
    return outcome_of_error(error, timed_out=run.timed_out, callbacks=processor.callbacks)


def translate_cancellation(run: Run, raised: BaseException) -> BaseException:
    """Replace an asyncio.CancelledError that goque caused by its reason: a timeout, a cancel, or a child's error."""
    import asyncio  # noqa: PLC0415 - fetchers use this module too, and need none of its 3 MiB

    if not isinstance(raised, asyncio.CancelledError):
        return raised
    if not (run.timed_out or run.canceled):
        return run.child_error or raised
    reason = (
        TaskTimeout(run.timed_out) if run.timed_out else TaskCanceled("the task was canceled while it ran")
    )
    reason.__cause__ = raised
    return reason.with_traceback(raised.__traceback__)


def charge_timeout(outcome: Outcome, processor: Processor, run: Run) -> Outcome:
    """Return the outcome of a timeout if the timeout has passed, whatever the handler did then."""
    if run.timed_out and outcome.kind is not OutcomeKind.TIMED_OUT:
        return timed_out_outcome(run.timed_out, processor.callbacks)
    return outcome


def _error_for_hooks(run: Run, error: BaseException | None) -> BaseException | None:
    if run.timed_out and error is None:  # the handler swallowed it, and the attempt is still charged
        return TaskTimeout(run.timed_out)
    return error


def prepare(processor: Processor, row: TaskRow) -> tuple[Task, Callable[[], Any]]:
    """Make the task, and the call of its handler.

    The hooks also run for a payload that does not decode. They get the task with its raw payload, and the call of
    the handler raises the error.
    """
    try:
        task, argument = processor.make_argument(row)
    except (PayloadDecodeError, TaskCanceled) as error:
        return undecoded_task(row), partial(_refuse, error)
    return task, partial(processor.call, argument)


def _refuse(error: GoqueError) -> NoReturn:
    raise error


def undecoded_task(row: TaskRow) -> Task:
    """Make the task of a row whose payload, and perhaps metadata, does not decode."""
    try:
        return Task.from_row(row)
    except PayloadDecodeError:  # the metadata does not decode either
        return Task.from_row(msgspec.structs.replace(row, metadata=None, result=None))


def outcome_of_return(value: Any, options: ProcessorOptions, task: Task) -> Outcome:
    """Make the outcome of a handler that returned.

    Without `store_result` the result is kept only if others need the task. Nobody knows that before the end is
    written, so it goes along; one that cannot be kept is no error then.

    Raises:
        PayloadEncodeError, InvalidPayloadFormatError: `store_result` is set, and the result cannot be stored.
        TypeError: it is a coroutine.
    """
    if isinstance(value, CoroutineType):
        value.close()
        raise TypeError(
            "the handler returned a coroutine, which goque does not await; declare the handler with async def"
        )
    outcome = DONE if value is None else _done_with(value, options)
    if task.follow_ups is not None:
        follow_ups, flows = task.follow_ups.close()
        return msgspec.structs.replace(outcome, follow_ups=follow_ups, flows=flows)
    close_follow_ups(task)
    return outcome


def _done_with(value: Any, options: ProcessorOptions) -> Outcome:
    most = options.max_result
    if options.store_result:
        return Outcome(OutcomeKind.DONE, result=encode_payload(value, what="result", limit=most))
    if type(value) in _SIZED and len(value) > most:  # it is not copied only to find that
        return Outcome(OutcomeKind.DONE, no_result=f"result has more than max_result {most} bytes")
    try:
        return Outcome(OutcomeKind.DONE, needed_result=encode_payload(value, what="result", limit=most))
    except TaskTimeout:
        raise  # the task timed out: this is not an error of the result
    except Exception as error:  # noqa: BLE001 - a pydantic model's own code may raise anything
        return Outcome(OutcomeKind.DONE, no_result=message_of(error))


def outcome_of_error(error: BaseException, *, timed_out: str, callbacks: Callbacks = NO_CALLBACKS) -> Outcome:
    """Make the outcome of a handler that raised, or could not be called.

    Args:
        error: what it raised, any BaseException.
        timed_out: the text of the timeout that had passed, whatever it raised; empty if none had.
        callbacks: decide after which exceptions there is no other attempt.
    """
    if timed_out:
        return timed_out_outcome(timed_out, callbacks, traceback_of(error))
    decides = deciding_error(error)
    put_off = _put_off(decides)
    if put_off is not None:
        return put_off
    match decides:
        case TaskCanceled():
            message = message_of(decides) if decides.args else ""
            undecodable = isinstance(decides.__cause__, PayloadDecodeError)
            return Outcome(OutcomeKind.CANCELED, message, undecodable=undecodable)
        case RetryTask():
            delay = None if decides.delay is None else _bounded(decides.delay)
            return Outcome(OutcomeKind.FAILED, named_message_of(decides), traceback_of(error), delay=delay)
    return Outcome(
        OutcomeKind.FAILED,
        named_message_of(error),
        traceback_of(error),
        final=not may_retry(error, callbacks),
        undecodable=isinstance(error, PayloadDecodeError),
    )


def _put_off(error: BaseException) -> Outcome | None:
    """Make the outcome of a run that is to go on later, uncharged; None if the error means something else."""
    match error:
        case StepPause():
            kind = OutcomeKind.WAITING if error.signals else OutcomeKind.SNOOZED
            return Outcome(kind, str(error), delay=_bounded(error.seconds), waits_for=error.signals)
        case Snooze():
            return Outcome(OutcomeKind.SNOOZED, delay=_bounded(error.delay))
        case RateLimited():
            return Outcome(OutcomeKind.RATE_LIMITED, delay=_bounded(error.retry_after))
    return None


def timed_out_outcome(text: str, callbacks: Callbacks, traceback: str | None = None) -> Outcome:
    """Make the outcome of a timeout. It says itself whether it is final, so that any node can settle it."""
    return Outcome(
        OutcomeKind.TIMED_OUT,
        text,
        traceback=traceback,
        final=not callbacks.retries(TaskTimeout),
    )


def _bounded(delay: float) -> float:
    """Return a delay that every database can add to its clock; NaN counts as 0."""
    return min(max(0.0, delay), MAX_DELAY)  # in this order: max(0.0, nan) is 0.0


def with_users_delay(outcome: Outcome, row: TaskRow, callbacks: Callbacks) -> Outcome:
    """Call the user's next_attempt_at for a failed attempt without a delay of its own."""
    if callbacks.next_attempt_at is None or outcome.delay is not None or outcome.final:
        return outcome
    if outcome.kind not in (OutcomeKind.FAILED, OutcomeKind.TIMED_OUT):
        return outcome
    try:
        delay = delay_of(callbacks.next_attempt_at(row.attempts + 1))
    except Exception:
        log.exception(
            "next_attempt_at failed; using the default strategy",
            extra={"task_id": row.id, "task_type": row.type, "attempt": row.attempts + 1},
        )
        return outcome
    return msgspec.structs.replace(outcome, delay=delay)


def with_duration(outcome: Outcome, duration: float, pid: int) -> Outcome:
    """Complete an outcome with the duration in seconds and the process id."""
    return msgspec.structs.replace(outcome, duration=duration, pid=pid)


def call_hooks(hooks: tuple[Callable[..., Any], ...], *arguments: Any) -> None:
    """Call hooks. An exception of a hook is logged and does not change the result."""
    for hook in hooks:
        try:
            hook(*arguments)
        except TaskTimeout:
            raise  # the task timed out: this is not an error of the hook
        except BaseException:  # no exception of a hook changes the result
            task: Task = arguments[0]
            log.exception(
                "hook %s failed; the task goes on",
                getattr(hook, "__name__", hook),
                extra={"task_id": task.id, "task_type": task.type},
            )
