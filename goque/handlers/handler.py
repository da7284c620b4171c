"""The handle of a task type: enqueue its tasks, and call its function as before.

`Registry.processor`, `Registry.add_processor` and `Registry.declare` return one.
"""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any, Final, Generic, NoReturn, ParamSpec, Protocol, TypeVar, Unpack

from goque.errors import ConfigurationError
from goque.handlers.processor import named
from goque.task import NO_TASK_PAYLOAD, Task, TaskOptions
from goque.task_rules.uniqueness import OnConflict

if TYPE_CHECKING:
    import msgspec

PayloadT = TypeVar("PayloadT")
CallP = ParamSpec("CallP")
ReturnT = TypeVar("ReturnT")

_OF_FUNCTIONS: Final = (*functools.WRAPPER_ASSIGNMENTS, "__code__", "__defaults__", "__kwdefaults__")
"""With the last three, `inspect` takes the handler of an `async def` for a coroutine function, on each Python."""


class Queue(Protocol):
    """A manager, as far as a handler needs it."""

    def add_task(self, task: Task, *, on_conflict: OnConflict = "raise", conn: Any = None) -> Task:
        """Insert a task."""


class AsyncQueue(Protocol):
    """A manager for asyncio, as far as a handler needs it."""

    async def add_task(self, task: Task, *, on_conflict: OnConflict = "raise", conn: Any = None) -> Task:
        """Insert a task."""


class HasQueues(Protocol):
    """A registry, as far as a handler needs it: the registry imports this module."""

    @property
    def queue(self) -> Queue:
        """The manager."""

    @property
    def async_queue(self) -> AsyncQueue:
        """The manager for asyncio."""


class Handler(Generic[PayloadT]):
    """Enqueues the tasks of one type; `Handler[Email]` takes an Email.

    A handler of a function is callable as the function is. One that `Registry.declare` returned cannot be called:
    its tasks run elsewhere.
    """

    def __init__(self, registry: HasQueues, task_type: str, wrapped: Any = None) -> None:
        self._registry = registry
        self._type = task_type
        self.__wrapped__ = wrapped
        self._call = self._refuse if wrapped is None else getattr(wrapped, "process_task", wrapped)
        if wrapped is not None:
            _look_like(self, wrapped)

    @property
    def type(self) -> str:
        """The type of its tasks."""
        return self._type

    def enqueue(
        self,
        payload: PayloadT | msgspec.Raw,
        *,
        on_conflict: OnConflict = "raise",
        conn: Any = None,
        **options: Unpack[TaskOptions],
    ) -> Task:
        """Insert one task of this type on the registry's queue, and return it.

        Args:
            payload: the payload that the handler takes; `msgspec.Raw` for JSON text encoded before. A handler of a
                whole Task needs none.
            on_conflict: what to do if a task has the external id, or holds the unique key, as of `add_task`.
            conn: the caller's own connection, whose transaction the task is to share.
            options: `external_id`, `metadata`, `delay` in seconds, `run_at`, `priority`, `unique` and the others of
                `Task`.

        Raises:
            InvalidPayloadFormatError: the handler would not decode the payload, or no database could store it.
            DuplicateTaskError: the external id or the unique key is taken.
            ConfigurationError, PayloadEncodeError: see `Task`.
        """
        return self._registry.queue.add_task(
            Task(self._type, payload, **options), on_conflict=on_conflict, conn=conn
        )

    async def aenqueue(
        self,
        payload: PayloadT | msgspec.Raw,
        *,
        on_conflict: OnConflict = "raise",
        conn: Any = None,
        **options: Unpack[TaskOptions],
    ) -> Task:
        """Insert one task of this type on the registry's `async_queue`; see `enqueue`."""
        return await self._registry.async_queue.add_task(
            Task(self._type, payload, **options), on_conflict=on_conflict, conn=conn
        )

    def task(self, payload: PayloadT | msgspec.Raw, **options: Unpack[TaskOptions]) -> Task:
        """Make a task of this type, for `add_task`, `add_tasks` and periodic jobs; see `Task`."""
        return Task(self._type, payload, **options)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function, not as a task: nothing is enqueued.

        Raises:
            TypeError: the type is only declared, so its function is elsewhere.
        """
        return self._call(*args, **kwargs)

    def _refuse(self, *args: Any, **kwargs: Any) -> NoReturn:
        del args, kwargs
        raise TypeError(
            f"type {self._type!r} is declared as one that runs elsewhere, so it has no function to call; "
            "enqueue a task with .enqueue(…)"
        )

    def __repr__(self) -> str:
        of = "" if self.__wrapped__ is None else f" of {self.__wrapped__!r}"
        return f"<goque.Handler {self._type!r}{of}>"

    def __getstate__(self) -> tuple[HasQueues, str, Any]:
        return self._registry, self._type, self.__wrapped__

    def __setstate__(self, state: tuple[HasQueues, str, Any]) -> None:
        Handler.__init__(self, *state)

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Pickle a handler that is a name of an importable module as this name, like a function."""
        name: str = getattr(self, "__qualname__", "")
        module = getattr(self, "__module__", "__main__")
        if module != "__main__" and named(module, name) is self:
            return name
        return super().__reduce_ex__(protocol)


class FunctionHandler(Handler[PayloadT], Generic[PayloadT, CallP, ReturnT]):
    """The handler of a function, a method, or an object with `process_task`; it is called as that is."""

    def __call__(self, *args: CallP.args, **kwargs: CallP.kwargs) -> ReturnT:
        """Call the function, not as a task: nothing is enqueued."""
        result: ReturnT = self._call(*args, **kwargs)
        return result


class TaskHandler(FunctionHandler[Any, CallP, ReturnT]):
    """A handler that takes the whole task, so that any payload is right, and none."""

    def enqueue(
        self,
        payload: Any = NO_TASK_PAYLOAD,
        *,
        on_conflict: OnConflict = "raise",
        conn: Any = None,
        **options: Unpack[TaskOptions],
    ) -> Task:
        """Insert one task of this type; see `Handler.enqueue`."""
        return super().enqueue(payload, on_conflict=on_conflict, conn=conn, **options)

    async def aenqueue(
        self,
        payload: Any = NO_TASK_PAYLOAD,
        *,
        on_conflict: OnConflict = "raise",
        conn: Any = None,
        **options: Unpack[TaskOptions],
    ) -> Task:
        """Insert one task of this type; see `Handler.aenqueue`."""
        return await super().aenqueue(payload, on_conflict=on_conflict, conn=conn, **options)

    def task(self, payload: Any = NO_TASK_PAYLOAD, **options: Unpack[TaskOptions]) -> Task:
        """Make a task of this type; see `Handler.task`."""
        return super().task(payload, **options)


def task_of(task: Task | Handler[Any] | str, payload: Any, options: TaskOptions) -> Task:
    """Return a task that was built before, or make one of a handler or a type with its payload and options.

    Raises:
        ConfigurationError: a task comes with a payload or options; or see `Task`.
    """
    if isinstance(task, Task):
        if payload is not NO_TASK_PAYLOAD or options:
            raise ConfigurationError("a Task has its payload and options already; give it alone")
        return task
    if isinstance(task, Handler):
        return task.task(payload, **options)
    return Task(task, payload, **options)


def _look_like(handler: Handler[Any], wrapped: Any) -> None:
    """Give a handler the name, text and attributes of a function; of an object it takes no attributes."""
    functools.update_wrapper(handler, wrapped, assigned=_OF_FUNCTIONS, updated=())
    if inspect.isroutine(wrapped):
        own = {
            name: value
            for name, value in getattr(wrapped, "__dict__", {}).items()
            if not hasattr(handler, name)
        }
        vars(handler).update(own)
