"""Handlers as users write them, made into one shape that a worker can call."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar, runtime_checkable

import msgspec

from goque.errors import ConfigurationError, PayloadDecodeError, TaskCanceled
from goque.options import Callbacks, ProcessorOptions, ProcessorSpec
from goque.task import Task, TaskRow, TypedTask

PayloadT = TypeVar("PayloadT")
MakeArgument = Callable[[TaskRow], tuple[Task, Any]]
"""From a row to the task and to what the handler is called with: the task itself, or its payload."""


@runtime_checkable
class TaskProcessor(Protocol):
    """An object that can be registered in place of a function."""

    def process_task(self, task: Any, /) -> Any:
        """Run one task; return to finish it, raise to fail the attempt."""


class Processor(msgspec.Struct, frozen=True):
    """A registered handler with everything that a worker needs to run it.

    Attributes:
        spec: the type and the options, as plain data.
        call: the function, or the method of the object that was registered.
        make_argument: how a row becomes the task and what `call` is called with.
        callbacks: the options that are functions.
    """

    spec: ProcessorSpec
    call: Callable[[Any], Any]
    make_argument: MakeArgument
    callbacks: Callbacks


class TypedTaskProcessor:
    """A handler with the payload type said in so many words; see `typed_task_processor`."""

    def __init__(
        self, function: Callable[[Any], Any], payload_type: Any, *, cancel_on_decode_error: bool
    ) -> None:
        self.process_task = function
        self.payload_type = payload_type
        self.cancel_on_decode_error = cancel_on_decode_error


def typed_task_processor(
    function: Callable[[TypedTask[PayloadT]], Any] | Callable[[TypedTask[PayloadT]], Awaitable[Any]],
    payload_type: type[PayloadT],
    cancel_on_decode_error: bool = False,  # noqa: FBT001, FBT002 - the contract's signature
) -> TypedTaskProcessor:
    """Make a processor whose payload is decoded as `payload_type`, for handlers without an annotation.

    Args:
        function: the handler; it gets a `TypedTask` of that type.
        payload_type: any type that msgspec decodes from JSON.
        cancel_on_decode_error: cancel a task whose payload does not decode, instead of retrying it.
    """
    return TypedTaskProcessor(function, payload_type, cancel_on_decode_error=cancel_on_decode_error)


def noop_task_processor(task: Task) -> None:
    """Do nothing, successfully: for measurements and for retiring a type."""
    del task


def make_processor(
    task_type: str, handler: Any, options: ProcessorOptions, callbacks: Callbacks
) -> Processor:
    """Bind a handler to its type; the shape of its one parameter decides what it is called with.

    Raises:
        ConfigurationError: it cannot be called with one task, or its payload type cannot come from JSON.
    """
    call = handler.process_task if hasattr(handler, "process_task") else handler
    if not callable(call):
        raise ConfigurationError(
            f"the processor of {task_type!r} must be callable or have process_task(task), not {handler!r:.100}"
        )
    if isinstance(handler, TypedTaskProcessor):
        _check_signature(task_type, call)
        make_argument = _typed(task_type, handler.payload_type, cancel=handler.cancel_on_decode_error)
    else:
        make_argument = _argument_from_annotation(task_type, call)
    is_async = inspect.iscoroutinefunction(call) or inspect.iscoroutinefunction(getattr(call, "__call__", None))  # noqa: B004 - looks at the method, does not call it
    spec = ProcessorSpec(type=task_type, is_async=is_async, options=options)
    return Processor(spec, call, make_argument, callbacks)


def _argument_from_annotation(task_type: str, call: Callable[..., Any]) -> MakeArgument:
    annotation = _annotation(task_type, call)
    if annotation in (inspect.Parameter.empty, Any, Task, object):
        return _plain
    if annotation is TypedTask:
        return _typed(task_type, Any, cancel=False)
    if typing.get_origin(annotation) is TypedTask:
        (payload_type,) = typing.get_args(annotation)
        return _typed(task_type, payload_type, cancel=False)
    return _payload_only(task_type, annotation)


def _check_signature(task_type: str, call: Callable[..., Any]) -> inspect.Parameter | None:
    try:
        signature = inspect.signature(call)
    except (TypeError, ValueError):
        return None  # written in C, without a signature: calling it will tell
    try:
        signature.bind(None)
    except TypeError as error:
        raise ConfigurationError(
            f"the processor of {task_type!r} must be callable with one task: {error}"
        ) from None
    return next(iter(signature.parameters.values()), None)


def _annotation(task_type: str, call: Callable[..., Any]) -> Any:
    parameter = _check_signature(task_type, call)
    if parameter is None or parameter.annotation is inspect.Parameter.empty:
        return inspect.Parameter.empty
    if not isinstance(parameter.annotation, str):
        return parameter.annotation
    function = call if inspect.isroutine(call) else call.__call__  # type: ignore[operator]  # an object with __call__
    function = inspect.unwrap(getattr(function, "__func__", function))
    try:
        return eval(parameter.annotation, function.__globals__)  # noqa: S307 - the user's own annotation, as typing does it
    except Exception as error:
        raise ConfigurationError(
            f"the annotation {parameter.annotation!r} of the processor of {task_type!r} cannot be resolved: "
            f"{error}; define the type at module level, or use goque.typed_task_processor"
        ) from error


def _plain(row: TaskRow) -> tuple[Task, Any]:
    task = Task.from_row(row)
    return task, task


def _typed(task_type: str, payload_type: Any, *, cancel: bool) -> MakeArgument:
    decode = _decoder(task_type, payload_type)

    def make_argument(row: TaskRow) -> tuple[Task, Any]:
        task: TypedTask[Any] = TypedTask.from_row(row)  # type: ignore[assignment]  # from_row returns its cls
        task._decoded = _decode(decode, row.payload, cancel=cancel)  # noqa: SLF001 - the two classes are one
        return task, task

    return make_argument


def _payload_only(task_type: str, payload_type: Any) -> MakeArgument:
    decode = _decoder(task_type, payload_type)

    def make_argument(row: TaskRow) -> tuple[Task, Any]:
        return Task.from_row(row), _decode(decode, row.payload, cancel=False)

    return make_argument


def _decoder(task_type: str, payload_type: Any) -> Callable[[bytes], Any]:
    try:
        return msgspec.json.Decoder(payload_type).decode
    except TypeError as error:
        raise ConfigurationError(
            f"the processor of {task_type!r} takes {payload_type!r}, which cannot be decoded from JSON: {error}"
        ) from error


def _decode(decode: Callable[[bytes], Any], raw: bytes, *, cancel: bool) -> Any:
    try:
        return decode(raw)
    except (ValueError, RecursionError, msgspec.MsgspecError) as error:
        message = f"payload does not decode: {error}"
        if cancel:
            raise TaskCanceled(message) from error
        raise PayloadDecodeError(message) from error
