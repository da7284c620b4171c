"""What travels with the code that runs: values, the caller's transaction, and the task being handled.

All three are context variables: each thread and each asyncio task sees its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar, Token
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
    """Carry one value in the block: tasks enqueued in it save it in their metadata.

    Args:
        key: its name; metadata given at enqueue under the same name wins.
        value: anything that msgspec encodes to JSON.
    """
    return with_values({key: value})


def with_values(new: Mapping[str, Any]) -> _Scope:
    """Carry several values in the block, as `with_value` does one."""
    if not isinstance(new, Mapping):
        raise ConfigurationError(f"with_values takes a mapping, not {new!r:.80}")
    for key in new:
        if not isinstance(key, str):
            raise ConfigurationError(f"keys of values are text, not {key!r:.80}")
    return _Scope(_values, {**_values.get(), **new})


def value_by_key(key: str, default: Any = None) -> Any:
    """Return the value that the surrounding blocks, or the metadata of the running task, carry."""
    return _values.get().get(key, default)


def values() -> dict[str, Any]:
    """Return all values of the surrounding blocks as a dict of your own."""
    return dict(_values.get())


def with_tx(conn: Any) -> _Scope:
    """Enqueue, read, cancel and reset inside the caller's transaction for the length of the block.

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
    """Leave the surrounding `with_tx` for the length of the block."""
    return _Scope(_tx, None)


def current_task() -> Task | None:
    """Return the task whose handler runs here, or None outside of a handler."""
    return _task.get()


@contextmanager
def task_context(task: Task) -> Iterator[None]:
    """Run a handler's block with its task as the current one, its metadata as values, and no transaction."""
    outer_task = _task.set(task)
    try:
        with _Scope(_values, MappingProxyType(dict(task.metadata))), without_tx():
            yield
    finally:
        _task.reset(outer_task)


class _Scope:
    """Set a context variable for the length of a block; one scope may be entered again, and nested.

    What was entered is a context variable too: threads and asyncio tasks may be in one scope at the same time.
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
