"""The options of a processor that are code: functions of the user, and exception classes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from goque import retry
from goque.errors import ConfigurationError, RateLimited, RetryTask, Snooze, TaskCanceled, WorkerCrashed
from goque.retry import DEFAULT, Strategy

CODE_OPTIONS: Final = frozenset(
    {"next_attempt_at", "retry", "retry_on", "no_retry_on", "crash_handler", "hooks_before", "hooks_after"}
)
_OWN_WAYS: Final = (RateLimited, RetryTask, Snooze, TaskCanceled)
_MAKERS: Final = (retry.static, retry.step, retry.round_step, retry.exponential)


class Callbacks(msgspec.Struct, frozen=True, kw_only=True):
    """The options of a processor that are code. Only processes that imported the app have them.

    Attributes:
        next_attempt_at: a function of the number of failures that says when to try again; None if a strategy decides.
        crash_handler: called with a WorkerCrash after a worker has died.
        hooks_before: called with the task before the handler.
        hooks_after: called with the task and the error, or None, after the handler.
        retry_on: the only exceptions that lead to another attempt, None for all.
        no_retry_on: exceptions without another attempt, also if `retry_on` has them.
    """

    next_attempt_at: Callable[..., Any] | None = None
    crash_handler: Callable[..., Any] | None = None
    hooks_before: tuple[Callable[..., Any], ...] = ()
    hooks_after: tuple[Callable[..., Any], ...] = ()
    retry_on: tuple[type[BaseException], ...] | None = None
    no_retry_on: tuple[type[BaseException], ...] = ()

    def retries(self, kind: type[BaseException]) -> bool:
        """Return whether another attempt may follow an exception of this class."""
        if issubclass(kind, self.no_retry_on):
            return False
        return self.retry_on is None or issubclass(kind, self.retry_on)


def check_callbacks(options: Mapping[str, Any]) -> Callbacks:
    """Check those options of a processor that are code.

    Raises:
        ConfigurationError: an option cannot be called with its arguments, or is no exception class.
    """
    name, next_attempt_at = _chosen_retry(options)
    if isinstance(next_attempt_at, Strategy):
        next_attempt_at = None
    crash_handler = options.get("crash_handler")
    return Callbacks(
        next_attempt_at=None
        if next_attempt_at is None
        else check_function(name, next_attempt_at, "failures"),
        crash_handler=None
        if crash_handler is None
        else check_function("crash_handler", crash_handler, "crash"),
        hooks_before=_functions("hooks_before", options.get("hooks_before"), "task"),
        hooks_after=_functions("hooks_after", options.get("hooks_after"), "task", "error"),
        retry_on=_exceptions("retry_on", options.get("retry_on")),
        no_retry_on=_exceptions("no_retry_on", options.get("no_retry_on")) or (),
    )


def strategy_of(options: Mapping[str, Any]) -> Strategy | None:
    """Return the strategy if it is data, None if a function of the user decides."""
    _, chosen = _chosen_retry(options)
    return chosen if isinstance(chosen, Strategy) else None


def _chosen_retry(options: Mapping[str, Any]) -> tuple[str, Any]:
    """Read `next_attempt_at`, or its shorter name `retry`."""
    if "retry" in options and "next_attempt_at" in options:
        raise ConfigurationError(
            f"retry is another name of next_attempt_at; give one of them, not both {options['retry']!r:.80} "
            f"and {options['next_attempt_at']!r:.80}"
        )
    name = "retry" if "retry" in options else "next_attempt_at"
    chosen = options.get(name, DEFAULT)
    if chosen in _MAKERS:
        raise ConfigurationError(
            f"{name} must be a strategy, not {chosen!r:.80}; call it: {chosen.__name__}(…)"
        )
    if not callable(chosen) or inspect.isclass(chosen):
        raise ConfigurationError(
            f"{name} must be a strategy, such as goque.retry.exponential(), or a function of failures, "
            f"not {chosen!r:.80}"
        )
    return name, chosen


def check_function(name: str, value: Any, *takes: str) -> Callable[..., Any]:
    """Check that a function of the user takes the arguments that goque gives.

    Args:
        name: the name of the option.
        value: its value.
        takes: the names of the arguments that goque gives.

    Raises:
        ConfigurationError: it does not take these arguments, or is async.
    """
    if not callable(value):
        raise ConfigurationError(f"{name} must be callable, not {value!r:.80}")
    if any(map(inspect.iscoroutinefunction, (value, inspect.getattr_static(type(value), "__call__", None)))):
        raise ConfigurationError(f"{name} must be a plain function, and {value!r:.80} is async def")
    try:
        inspect.signature(value).bind(*takes)
    except TypeError as error:
        raise ConfigurationError(
            f"{name} is called with ({', '.join(takes)}), which {value!r:.80} does not take: {error}"
        ) from None
    except ValueError:
        pass  # written in C, without a signature: the first call shows whether it fits
    function: Callable[..., Any] = value
    return function


def _functions(name: str, value: Any, *takes: str) -> tuple[Callable[..., Any], ...]:
    if value is None:
        return ()
    several = tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else (value,)
    return tuple(check_function(name, one, *takes) for one in several)


def _exceptions(name: str, value: Any) -> tuple[type[BaseException], ...] | None:
    """Check that these are exception classes, one or several, that a handler can raise."""
    if value is None:
        return None
    several: tuple[Any, ...] = (value,)
    if isinstance(value, Iterable) and not isinstance(value, str | bytes | type):
        several = tuple(value)
    for one in several:
        if not (isinstance(one, type) and issubclass(one, BaseException)):
            raise ConfigurationError(f"{name} must be an exception class, or several, not {one!r:.80}")
        if issubclass(one, _OWN_WAYS):
            raise ConfigurationError(
                f"{name} cannot be {one.__name__}, which already decides what happens to the task"
            )
        if issubclass(one, WorkerCrashed):
            raise ConfigurationError(
                f"{name} cannot be {one.__name__}: a dead worker raises nothing; give max_crashes=1"
            )
    return several
