"""Turns handlers, as users write them, into one form that a worker can call."""

from __future__ import annotations

import functools
import inspect
import sys
import typing
from collections.abc import Awaitable, Callable, Collection
from types import MethodType
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

import msgspec

from goque.callbacks import Callbacks
from goque.errors import ConfigurationError, PayloadDecodeError, TaskCanceled
from goque.failure import Failure
from goque.options import ProcessorOptions, ProcessorSpec, flag
from goque.payload_types import make_decoder
from goque.task import Task, TypedTask
from goque.task_row import TaskRow
from goque.task_rules.error_lines import first_line
from goque.task_rules.limits import LimitKey
from goque.task_rules.uniqueness import UniqueRule

PayloadT = TypeVar("PayloadT")
MakeArgument = Callable[[TaskRow], tuple[Task, Any]]
"""A function of a row that returns the task and the handler's argument: the task itself, or its payload."""


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
        unique: what keeps a second task of the type out, unless the task has rules of its own; None for nothing.
        limit_key: the key under which its tasks are limited and take turns, or a function of the payload; None for
            none of the type's.
        functions: returns the functions that the handler may call by the names in its tasks' external ids, as far as
            the app knows them; None for a handler that is one function.
        failed_without_worker: called with a Failure when a task has failed for good, and its worker did not end the
            attempt: it died, was killed at the timeout, or is lost with its node.
    """

    spec: ProcessorSpec
    call: Callable[[Any], Any]
    make_argument: MakeArgument
    callbacks: Callbacks
    unique: UniqueRule | None = None
    limit_key: LimitKey | None = None
    functions: Callable[[], Collection[str]] | None = None
    failed_without_worker: Callable[[Failure], object] | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle a function by the name of its `goque.Handler`, under which its module has it."""
        fields = [getattr(self, name) for name in self.__struct_fields__]
        module, name = getattr(self.call, "__module__", "__main__"), getattr(self.call, "__qualname__", "")
        found = None if module == "__main__" else named(module, name)
        if found is None or found is self.call or getattr(found, "__wrapped__", None) is not self.call:
            return Processor, tuple(fields)
        return _restore_of_handler, (found, *fields[:1], *fields[2:])


def _restore_of_handler(handler: Any, spec: ProcessorSpec, *rest: Any) -> Processor:
    return Processor(spec, handler.__wrapped__, *rest)


def named(module: str, qualified: str) -> Any:
    """Return what has this name in an imported module, or None."""
    found: Any = sys.modules.get(module)
    for name in qualified.split("."):
        found = getattr(found, name, None)
    return found


class TypedTaskProcessor(Generic[PayloadT]):
    """A handler with an explicit payload type; see `typed_task_processor`."""

    def __init__(
        self,
        function: Callable[[TypedTask[PayloadT]], Any],
        payload_type: type[PayloadT],
        *,
        cancel_on_decode_error: bool,
    ) -> None:
        self.process_task = function
        self.payload_type = payload_type
        self.cancel_on_decode_error = cancel_on_decode_error


def typed_task_processor(
    function: Callable[[TypedTask[PayloadT]], Any] | Callable[[TypedTask[PayloadT]], Awaitable[Any]],
    payload_type: type[PayloadT],
    cancel_on_decode_error: bool = False,  # noqa: FBT001, FBT002 - the contract's signature
) -> TypedTaskProcessor[PayloadT]:
    """Make a processor whose payload is decoded as `payload_type`, for handlers without an annotation.

    Args:
        function: the handler; it gets a `TypedTask` of that type.
        payload_type: any type that msgspec decodes from JSON, or a pydantic model.
        cancel_on_decode_error: cancel a task whose payload does not decode, instead of retrying it; the
            processor's option of this name does the same.
    """
    return TypedTaskProcessor(function, payload_type, cancel_on_decode_error=cancel_on_decode_error)


def noop_task_processor(task: Task) -> None:
    """Do nothing and succeed: for measurements, and to finish old tasks of a type."""
    del task


def make_processor(
    task_type: str, handler: Any, options: ProcessorOptions, callbacks: Callbacks
) -> Processor:
    """Bind a handler to its type; the annotation of its one parameter decides its argument.

    Raises:
        ConfigurationError: it cannot be called with one task, or its payload type cannot come from JSON.
    """
    call = _callable(task_type, handler)
    parameter, owner = _only_parameter(task_type, call)
    cancel = options.cancel_on_decode_error
    if isinstance(handler, TypedTaskProcessor):
        cancel = (
            flag(f"the processor of {task_type!r}: cancel_on_decode_error", handler.cancel_on_decode_error)
            or cancel
        )
        make_argument: MakeArgument = _decoded(
            task_type, handler.payload_type, whole_task=True, cancel=cancel
        )
    else:
        make_argument = _argument_for(task_type, _annotation(task_type, owner, parameter), cancel=cancel)
    spec = ProcessorSpec(type=task_type, is_async=_is(inspect.iscoroutinefunction, call), options=options)
    return Processor(spec, call, make_argument, callbacks)


def _callable(task_type: str, handler: Any) -> Callable[[Any], Any]:
    who = f"the processor of {task_type!r}"
    if inspect.isclass(handler):
        raise ConfigurationError(
            f"{who} is the class {handler.__name__}; give an object: {handler.__name__}()"
        )
    call = getattr(handler, "process_task", handler)
    if not callable(call):
        raise ConfigurationError(f"{who} must be callable or have process_task(task), not {handler!r:.100}")
    if _is(inspect.isgeneratorfunction, call) or _is(inspect.isasyncgenfunction, call):
        raise ConfigurationError(f"{who} is a generator, whose body would never run; remove its yield")
    function: Callable[[Any], Any] = call
    return function


def _is(kind: Callable[[Any], bool], call: Any) -> bool:
    """Return whether a function, or the `__call__` of an object, is of this kind."""
    return kind(call) or (
        not inspect.isroutine(call) and kind(inspect.getattr_static(type(call), "__call__", None))
    )


def _only_parameter(
    task_type: str, call: Callable[..., Any], *, is_inside: bool = False
) -> tuple[inspect.Parameter | None, Callable[..., Any]]:
    """Return the parameter that gets the task, and the function whose it is; None if C code shows none.

    A wrapper made with `functools.wraps` may call the function inside with something else, so that the signature
    inside does not count. It counts only where the wrapper is `(*args)`, which passes on what it gets and may add
    keywords, or is written in C, as that of `functools.lru_cache` is.

    Raises:
        ConfigurationError: it cannot be called with one task.
    """
    inside = _inside(call)
    try:
        signature = inspect.signature(call, follow_wrapped=False)
    except (TypeError, ValueError):
        # without an inside, the first call shows whether it fits
        return (None, call) if inside is None else _only_parameter(task_type, inside, is_inside=is_inside)
    try:
        signature.bind(None, **(_required_keywords(signature) if is_inside else {}))
    except TypeError as error:
        reason = "it takes none" if "too many positional" in str(error) else str(error)
        raise ConfigurationError(
            f"the processor of {task_type!r} must be callable with one argument, its payload or its task: {reason}"
        ) from None
    parameter = next(iter(signature.parameters.values()))
    if parameter.kind is not inspect.Parameter.VAR_POSITIONAL or inside is None:
        return parameter, call
    try:
        return _only_parameter(task_type, inside, is_inside=True)
    except ConfigurationError:
        return parameter.replace(annotation=inspect.Parameter.empty), call  # it adds arguments of its own


def _inside(call: Any) -> Any:
    """Return what a wrapper wraps, bound to the same object or arguments; None if it wraps nothing."""
    if isinstance(call, functools.partial):
        function = _inside(call.func)
        return None if function is None else functools.partial(function, *call.args, **call.keywords)
    inside = getattr(call, "__wrapped__", None)
    return MethodType(inside, call.__self__) if inside is not None and inspect.ismethod(call) else inside


def _required_keywords(signature: inspect.Signature) -> dict[str, None]:
    parameters = signature.parameters.values()
    required = [one for one in parameters if one.default is inspect.Parameter.empty]
    return {one.name: None for one in required if one.kind is inspect.Parameter.KEYWORD_ONLY}


def _annotation(task_type: str, call: Callable[..., Any], parameter: inspect.Parameter | None) -> Any:
    if parameter is None or parameter.annotation is inspect.Parameter.empty:
        return Any
    if not isinstance(parameter.annotation, str):
        return parameter.annotation
    try:
        return eval(parameter.annotation, _namespace(call))  # noqa: S307 - the user's own annotation, as typing does it
    except Exception as error:
        raise ConfigurationError(
            f"the annotation {parameter.annotation!r} of the processor of {task_type!r} cannot be resolved: "
            f"{error}; import or define it at module level at run time, or use goque.typed_task_processor"
        ) from error


def _namespace(call: Any) -> dict[str, Any]:
    """Return the globals of the function inside partial objects, methods, decorators and callable objects."""
    while isinstance(call, functools.partial):
        call = call.func
    if not inspect.isroutine(call):
        call = type(call).__call__
    function = inspect.unwrap(getattr(call, "__func__", call))
    namespace: dict[str, Any] = function.__globals__
    return namespace


def _argument_for(task_type: str, annotation: Any, *, cancel: bool) -> MakeArgument:
    if annotation in (Any, Task, object):
        return whole_task
    if annotation is TypedTask:
        return _decoded(task_type, Any, whole_task=True, cancel=cancel)
    if typing.get_origin(annotation) is TypedTask:
        return _decoded(task_type, typing.get_args(annotation)[0], whole_task=True, cancel=cancel)
    return _decoded(task_type, annotation, whole_task=False, cancel=cancel)


def whole_task(row: TaskRow) -> tuple[Task, Any]:
    """Make the argument of a handler that takes a Task; its payload is decoded when the handler asks for it."""
    task = Task.from_row(row)
    return task, task


class DecodedArgument:
    """Makes the argument of a handler that takes a TypedTask or the decoded payload.

    A registry can be pickled but a decoder cannot, so each process builds its own decoder.
    """

    def __init__(self, payload_type: Any, *, whole_task: bool, cancel: bool) -> None:
        self.payload_type = payload_type
        self.whole_task = whole_task
        self.cancel = cancel
        self.decode = make_decoder(payload_type)
        """Decodes JSON text, or raises PayloadDecodeError."""

    def __call__(self, row: TaskRow) -> tuple[Task, Any]:
        """Return the task, and the argument of the handler.

        Raises:
            PayloadDecodeError: the payload is not of the type.
            TaskCanceled: the same, if the processor has `cancel_on_decode_error`.
        """
        if not self.whole_task:
            return Task.from_row(row), self._decode(row.payload)
        task: TypedTask[Any] = TypedTask.from_row(row)  # type: ignore[assignment]  # from_row returns its cls
        task._decoded = self._decode(row.payload)  # noqa: SLF001 - the two classes are one
        return task, task

    def _decode(self, raw: bytes) -> Any:
        try:
            return self.decode(raw)
        except PayloadDecodeError as error:
            if self.cancel:
                raise TaskCanceled(str(error)) from error
            raise

    def __getstate__(self) -> tuple[Any, bool, bool]:
        return self.payload_type, self.whole_task, self.cancel

    def __setstate__(self, state: tuple[Any, bool, bool]) -> None:
        payload_type, whole_task, cancel = state
        self.__init__(payload_type, whole_task=whole_task, cancel=cancel)  # type: ignore[misc]  # the same as when made


def decoded_argument(processor: Processor) -> DecodedArgument | None:
    """Return how the payload is decoded if the handler says its type; None if it takes any Task."""
    made = processor.make_argument
    return made if isinstance(made, DecodedArgument) and made.payload_type is not Any else None


def _decoded(task_type: str, payload_type: Any, *, whole_task: bool, cancel: bool) -> DecodedArgument:
    try:
        return DecodedArgument(payload_type, whole_task=whole_task, cancel=cancel)
    except TypeError as error:
        raise ConfigurationError(
            f"the processor of {task_type!r} takes {payload_type!r}, which cannot come from JSON: "
            f"{first_line(str(error))}; annotate it with goque.Task, goque.TypedTask[T], or a msgspec.Struct, "
            "dataclass, TypedDict, attrs class, pydantic model or builtin type"
        ) from error
