"""How a handler is called, and how its end, whatever it raised, becomes an Outcome.

Shared by both kinds of worker, and by what runs handlers inline in a test. No I/O happens here.
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Callable
from functools import partial
from types import CoroutineType
from typing import Any, NamedTuple, NoReturn, Protocol

import msgspec

from goque.callbacks import Callbacks
from goque.context import task_context
from goque.errors import (
    MAX_DELAY,
    GoqueError,
    PayloadDecodeError,
    RetryTask,
    Snooze,
    TaskCanceled,
    TaskTimeout,
)
from goque.options import ProcessorOptions
from goque.outcome import MAX_ERRORS_BYTES, Outcome, OutcomeKind, printable
from goque.payload import encode_payload
from goque.processor import Processor
from goque.retry import DEFAULT, delay_of
from goque.task import Task, TaskRow
from goque.telemetry import tracing

log = logging.getLogger("goque.worker")
DONE = Outcome(OutcomeKind.DONE)
NO_CALLBACKS = Callbacks()


class Run(Protocol):
    """One run of a handler, as whoever watches its time sees it.

    Attributes:
        timed_out: whether its time is up.
        canceled: whether its task was canceled, so that it is being stopped.
    """

    timed_out: bool
    canceled: bool


class Handled(NamedTuple):
    """What a handler came to.

    Attributes:
        outcome: what becomes of its task.
        error: what the after hooks were told: what it raised, or that its time was up, or None.
        returned: what it returned.
    """

    outcome: Outcome
    error: BaseException | None
    returned: Any


def handle(processor: Processor, row: TaskRow, run: Run) -> Handled:
    """Call a `def` handler with its hooks around it, in its context; what it raises is in the outcome."""
    callbacks = processor.callbacks
    task, call = prepare(processor, row)
    returned: Any = None
    error: BaseException | None = None
    with task_context(task), tracing.handling(task) as span:
        if callbacks.hooks_before:
            call_hooks(callbacks.hooks_before, task)
        try:
            returned = call()
            outcome = outcome_of_return(returned, processor.spec.options)
        except BaseException as raised:  # noqa: BLE001 - whatever a handler raises fails its attempt, never the worker
            error = raised
            outcome = outcome_of_run(processor, run, raised)
        error = _error_for_hooks(processor, run, error)
        if callbacks.hooks_after:
            call_hooks(callbacks.hooks_after, task, error)
        tracing.ended(span, outcome, error)
    return Handled(outcome, error, returned)


async def handle_async(processor: Processor, row: TaskRow, run: Run) -> Handled:
    """Do the same for an `async def` handler; a timeout or a cancel has cancelled its asyncio task."""
    callbacks = processor.callbacks
    task, call = prepare(processor, row)
    returned: Any = None
    error: BaseException | None = None
    with task_context(task), tracing.handling(task) as span:
        if callbacks.hooks_before:
            call_hooks(callbacks.hooks_before, task)
        try:
            returned = await call()
            outcome = outcome_of_return(returned, processor.spec.options)
        except BaseException as raised:  # noqa: BLE001 - see handle
            error = translate_cancellation(processor, run, raised)
            outcome = outcome_of_run(processor, run, error)
        error = _error_for_hooks(processor, run, error)
        if callbacks.hooks_after:
            call_hooks(callbacks.hooks_after, task, error)
        tracing.ended(span, outcome, error)
    return Handled(outcome, error, returned)


def outcome_of_run(processor: Processor, run: Run, error: BaseException) -> Outcome:
    """Make the outcome of a run that ended with an error."""
    timeout = processor.spec.options.timeout
    return outcome_of_error(error, timed_out=run.timed_out, timeout=timeout, callbacks=processor.callbacks)


def translate_cancellation(processor: Processor, run: Run, raised: BaseException) -> BaseException:
    """Say an asyncio.CancelledError that is ours as what it stands for, as a plain handler would raise it."""
    import asyncio  # noqa: PLC0415 - fetchers use this module too, and need none of its 3 MiB

    if not isinstance(raised, asyncio.CancelledError) or not (run.timed_out or run.canceled):
        return raised
    reason = (
        TaskTimeout(timeout_text(processor.spec.options.timeout))
        if run.timed_out
        else TaskCanceled("stopped from outside: canceled")
    )
    reason.__cause__ = raised
    return reason.with_traceback(raised.__traceback__)


def charge_timeout(outcome: Outcome, processor: Processor, run: Run) -> Outcome:
    """Return the outcome of a timeout where the time was up, whatever the handler made of that."""
    if run.timed_out and outcome.kind is not OutcomeKind.TIMED_OUT:
        return timed_out_outcome(processor.spec.options.timeout, processor.callbacks)
    return outcome


def _error_for_hooks(processor: Processor, run: Run, error: BaseException | None) -> BaseException | None:
    if run.timed_out and error is None:  # swallowed, and charged all the same
        return TaskTimeout(timeout_text(processor.spec.options.timeout))
    return error


def prepare(processor: Processor, row: TaskRow) -> tuple[Task, Callable[[], Any]]:
    """Make the task, and the call of its handler.

    A payload that does not decode is no reason to leave the hooks out: they get the task, its payload undecoded,
    and it is the call that raises.
    """
    try:
        task, argument = processor.make_argument(row)
    except (PayloadDecodeError, TaskCanceled) as error:
        return undecoded_task(row), partial(_refuse, error)
    return task, partial(processor.call, argument)


def _refuse(error: GoqueError) -> NoReturn:
    raise error


def undecoded_task(row: TaskRow) -> Task:
    """Make the task of a row whose payload, and maybe whose metadata, does not decode."""
    try:
        return Task.from_row(row)
    except PayloadDecodeError:  # the metadata is what does not decode
        return Task.from_row(msgspec.structs.replace(row, metadata=None, result=None))


def outcome_of_return(value: Any, options: ProcessorOptions) -> Outcome:
    """Make the outcome of a handler that returned.

    Raises:
        PayloadEncodeError, InvalidPayloadFormatError: the result is to be kept, and cannot be.
        TypeError: it is a coroutine.
    """
    if isinstance(value, CoroutineType):
        value.close()
        raise TypeError("the handler returned a coroutine that nobody awaits; declare it async def")
    if not options.store_result or value is None:
        return DONE
    return Outcome(OutcomeKind.DONE, result=encode_payload(value, what="result", limit=options.max_result))


def outcome_of_error(
    error: BaseException, *, timed_out: bool, timeout: float, callbacks: Callbacks = NO_CALLBACKS
) -> Outcome:
    """Make the outcome of a handler that raised, or could not be called.

    Args:
        error: what it raised, any BaseException.
        timed_out: whether its time was up, whatever it raised then.
        timeout: the processor's timeout in seconds, for the text.
        callbacks: says after which exceptions there is to be no other attempt.
    """
    if timed_out:
        return timed_out_outcome(timeout, callbacks, traceback_of(error))
    match error:
        case Snooze():
            return Outcome(OutcomeKind.SNOOZED, delay=_bounded(error.delay))
        case TaskCanceled():
            message = message_of(error) if error.args else ""
            undecodable = isinstance(error.__cause__, PayloadDecodeError)
            return Outcome(OutcomeKind.CANCELED, message, undecodable=undecodable)
        case RetryTask():
            delay = None if error.delay is None else _bounded(error.delay)
            return Outcome(OutcomeKind.FAILED, message_of(error), traceback_of(error), delay=delay)
    return Outcome(
        OutcomeKind.FAILED,
        message_of(error),
        traceback_of(error),
        final=not callbacks.retries(type(error)),
        undecodable=isinstance(error, PayloadDecodeError),
    )


def timed_out_outcome(timeout: float, callbacks: Callbacks, traceback: str | None = None) -> Outcome:
    """Make the outcome of a handler whose time was up; whether it is the last says itself, for any node to read."""
    return Outcome(
        OutcomeKind.TIMED_OUT,
        timeout_text(timeout),
        traceback=traceback,
        final=not callbacks.retries(TaskTimeout),
    )


def _bounded(delay: float) -> float:
    """Return a delay that every database can add to its clock; what is no number counts as 0."""
    return min(max(0.0, delay), MAX_DELAY)  # in this order: max(0.0, nan) is 0.0


def timeout_text(timeout: float) -> str:
    """Say that a handler's time was up, as the original does."""
    return f"task processing timeout: {timeout:g}s"


def message_of(error: BaseException) -> str:
    """Return what an exception says, or its type when it says nothing or cannot speak."""
    try:
        text = str(error)
    except BaseException as worse:  # noqa: BLE001 - the user's __str__ may raise anything
        return f"{type(error).__name__} (its text cannot be read: {type(worse).__name__})"
    if isinstance(error, SystemExit | KeyboardInterrupt | GeneratorExit):
        return f"{type(error).__name__}: {text}" if text else type(error).__name__
    return printable(text, MAX_ERRORS_BYTES) or type(error).__name__


def traceback_of(error: BaseException) -> str:
    """Format a traceback, without our own frames above the handler's."""
    trace = error.__traceback__
    while trace is not None and _is_ours(trace.tb_frame.f_globals.get("__name__", "")):
        trace = trace.tb_next
    try:
        text = "".join(traceback.format_exception(type(error), error, trace))
    except BaseException as worse:  # noqa: BLE001 - the user's __str__ and __repr__ may raise anything
        text = f"{type(error).__name__} (its traceback cannot be formatted: {type(worse).__name__})"
    return printable(text, MAX_ERRORS_BYTES)


def _is_ours(module: str) -> bool:
    return module in (__name__, "goque.execution.inline") or module.startswith("goque_supervisor.")


def with_users_delay(outcome: Outcome, row: TaskRow, callbacks: Callbacks) -> Outcome:
    """Ask the user's next_attempt_at, if there is one, when a failed attempt has no delay of its own."""
    if callbacks.next_attempt_at is None or outcome.delay is not None or outcome.final:
        return outcome
    if outcome.kind not in (OutcomeKind.FAILED, OutcomeKind.TIMED_OUT):
        return outcome
    try:
        delay = delay_of(callbacks.next_attempt_at(row.attempts + 1))
    except Exception:
        log.exception(
            "next_attempt_at failed: the default of %gs holds",
            DEFAULT(1).total_seconds(),
            extra={"task_id": row.id, "task_type": row.type, "attempt": row.attempts + 1},
        )
        return outcome
    return msgspec.structs.replace(outcome, delay=delay)


def with_duration(outcome: Outcome, duration: float, pid: int) -> Outcome:
    """Complete an outcome with how long the handler ran, in seconds, and where."""
    return msgspec.structs.replace(outcome, duration=duration, pid=pid)


def call_hooks(hooks: tuple[Callable[..., Any], ...], *arguments: Any) -> None:
    """Call hooks; one that raises is logged and changes no result."""
    for hook in hooks:
        try:
            hook(*arguments)
        except TaskTimeout:
            raise  # the task's own time is up: this is not the hook's failure
        except BaseException:  # a hook changes no result, whatever it raises
            task: Task = arguments[0]
            log.exception(
                "hook %s failed; the task goes on",
                getattr(hook, "__name__", hook),
                extra={"task_id": task.id, "task_type": task.type},
            )


def flush_streams() -> None:
    """Let what a handler printed out of Python's buffers, so that a crash later does not lose it."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            continue  # the handler closed or replaced it: there is nothing to lose
