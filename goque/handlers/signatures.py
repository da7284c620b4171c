"""What type checkers see of a registration: which payload and which signature the handler's own annotation gives.

Nothing here runs. Each shape says the same function twice: as what goque calls, with one argument, from which the
checker takes the payload; and with its own parameters, so that it keeps their names. mypy and pyright solve both.
"""

from __future__ import annotations

from typing import Any, ParamSpec, Protocol, TypeAlias, TypeVar, overload

from goque.handlers.handler import CallP, FunctionHandler, PayloadT, ReturnT, TaskHandler
from goque.task import Task, TypedTask

ArgumentT_contra = TypeVar("ArgumentT_contra", contravariant=True)
OwnP = ParamSpec("OwnP")
ReturnT_co = TypeVar("ReturnT_co", covariant=True)


class Function(Protocol[ArgumentT_contra, OwnP, ReturnT_co]):
    """A callable that can be called with one argument."""

    @overload
    def __call__(self, argument: ArgumentT_contra, /) -> ReturnT_co: ...
    @overload
    def __call__(self, *args: OwnP.args, **kwargs: OwnP.kwargs) -> ReturnT_co: ...


class HasProcessTask(Protocol[ArgumentT_contra, OwnP, ReturnT_co]):
    """An object with `process_task(task)`."""

    @property
    def process_task(self) -> Function[ArgumentT_contra, OwnP, ReturnT_co]:
        """The method."""


TakesTask: TypeAlias = Function[Task, CallP, ReturnT] | HasProcessTask[Task, CallP, ReturnT]
TakesTypedTask: TypeAlias = (
    Function[TypedTask[PayloadT], CallP, ReturnT] | HasProcessTask[TypedTask[PayloadT], CallP, ReturnT]
)
TakesPayload: TypeAlias = Function[PayloadT, CallP, ReturnT] | HasProcessTask[PayloadT, CallP, ReturnT]


class Register(Protocol):
    """The decorator that `Registry.processor` returns."""

    @overload
    def __call__(self, handler: TakesTask[CallP, ReturnT], /) -> TaskHandler[CallP, ReturnT]: ...
    @overload
    def __call__(
        self, handler: TakesTypedTask[PayloadT, CallP, ReturnT], /
    ) -> FunctionHandler[PayloadT, CallP, ReturnT]: ...
    @overload
    def __call__(
        self, handler: TakesPayload[PayloadT, CallP, ReturnT], /
    ) -> FunctionHandler[PayloadT, CallP, ReturnT]: ...
    def __call__(self, handler: Any, /) -> Any:
        """Register a handler."""
