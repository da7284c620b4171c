"""Context variables: values, the caller's transaction, and the running task.

Each thread and each asyncio task has its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import Context, ContextVar, Token
from types import MappingProxyType
from typing import Any, Final

from goque.errors import ConfigurationError
from goque.task import Task

_NO_VALUES: Final[Mapping[str, Any]] = MappingProxyType({})
_values: ContextVar[Mapping[str, Any]] = ContextVar("goque_values", default=_NO_VALUES)
_tx: ContextVar[Any] = ContextVar("goque_tx", default=None)
_task: ContextVar[Task | None] = ContextVar("goque_task", default=None)
_entered: ContextVar[tuple[tuple[_Scope, Token[Any]], ...]] = ContextVar("goque_entered", default=())


def with_value(key: str, value: Any) -> _Scope:
    """Set a context value in the block. Tasks enqueued in the block save it in their metadata.

    Args:
        key: its name; metadata with the same name, given at enqueue, wins.
        value: anything that msgspec encodes to JSON.
    """
    return with_values({key: value})


def with_values(new: Mapping[str, Any]) -> _Scope:
    """Set several context values in the block; see `with_value`."""
    if not isinstance(new, Mapping):
        raise ConfigurationError(f"with_values takes a mapping, not {new!r:.80}")
    for key in new:
        if not isinstance(key, str):
            raise ConfigurationError(f"keys of values are text, not {key!r:.80}")
    return _Scope(_values, {**_values.get(), **new})


def value_by_key(key: str, default: Any = None) -> Any:
    """Return a context value of the surrounding blocks, or of the running task's metadata."""
    return _values.get().get(key, default)


def values() -> dict[str, Any]:
    """Return a copy of all context values as a dict."""
    return dict(_values.get())


def with_tx(conn: Any) -> _Scope:
    """Use the caller's transaction for all enqueues, reads, cancels and resets in the block.

    Args:
        conn: a connection of the database's driver, or SQLAlchemy's or Django's around one; for an
            `AsyncTaskQueueManager` one of asyncio's, too. The caller commits or rolls back.

    Raises:
        TypeError: conn is None.
    """
    if conn is None:
        raise TypeError("with_tx needs a connection, not None; without_tx() leaves a transaction")
    return _Scope(_tx, conn)


def tx_from_context() -> Any:
    """Return the connection of the innermost `with_tx`, or None."""
    return _tx.get()


def without_tx() -> _Scope:
    """Leave the surrounding `with_tx` in the block."""
    return _Scope(_tx, None)


def current_task() -> Task | None:
    """Return the task whose handler runs here, or None outside of a handler."""
    return _task.get()


def task_in(context: Context) -> Task | None:
    """Return the task that runs in a context, which may be entered at this moment."""
    return context.get(_task)


class task_context:  # noqa: N801 - used as a function
    """Set the current task, its metadata as context values, and no transaction, for the handler's run.

    It is entered once, and in one context. So it needs none of what `_Scope` does; a worker enters one for each task.
    """

    __slots__ = ("_outer_task", "_outer_tx", "_outer_values", "_task")

    def __init__(self, task: Task) -> None:
        self._task = task

    def __enter__(self) -> None:
        task = self._task
        self._outer_task = _task.set(task)
        self._outer_values = _values.set(
            MappingProxyType(dict(task.metadata)) if task.metadata else _NO_VALUES
        )
        self._outer_tx = _tx.set(None)

    def __exit__(self, *_: object) -> None:
        _tx.reset(self._outer_tx)
        _values.reset(self._outer_values)
        _task.reset(self._outer_task)


class _Scope:
    """Sets a context variable in a block; one scope may be entered again, and nested.

    The entered scopes are a context variable too, so several threads and asyncio tasks can share one scope.
    """

    __slots__ = ("_value", "_variable")

    def __init__(self, variable: ContextVar[Any], value: Any) -> None:
        self._variable = variable
        self._value = value

    def __enter__(self) -> None:
        _entered.set((*_entered.get(), (self, self._variable.set(self._value))))

    def __exit__(self, *_: object) -> None:
        entered = _entered.get()
        index = max(place for place, (scope, _token) in enumerate(entered) if scope is self)
        _entered.set(entered[:index] + entered[index + 1 :])
        self._variable.reset(entered[index][1])
