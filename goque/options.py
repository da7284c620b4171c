"""The options of a processor: checked at registration, and sent to every process as plain data."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, TypedDict

import msgspec

from goque.callbacks import CODE_OPTIONS, Callbacks, check_callbacks, strategy_of
from goque.crash import WorkerCrash
from goque.errors import ConfigurationError, TaskTimeout, length
from goque.retry import DEFAULT, MAX_ATTEMPTS, Strategy
from goque.task import Task
from goque.task_rules.checks import check_priority
from goque.task_rules.limits import (
    NO_LIMITS,
    LimitKey,
    Limits,
    Rate,
    check_limit,
    check_limit_key,
    check_rate,
)
from goque.task_rules.retry_policy import RetryPolicy
from goque.task_rules.uniqueness import Unique, UniqueKey, UniqueRule, check_unique


class ProcessorOptions(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How to run tasks of one type; times are in seconds. Processes send it to each other as JSON.

    Attributes:
        timeout: seconds until TaskTimeout is raised in the handler.
        timeout_grace: seconds from then until the process of the handler is killed.
        stall_timeout: seconds without the end of a step and without progress until TaskTimeout is raised in the
            handler, None for no limit.
        max_attempts: charged attempts until the task ends in attempts_left.
        max_running: how many tasks of the type run at a time on one node, None for no limit of its own.
        max_crashes: crashes until the task ends in attempts_left, None for no limit of its own.
        strategy: the wait between attempts; None if a function of the user decides.
        retry_timeouts: whether a timeout leads to another attempt, by `retry_on` and `no_retry_on`.
        cleaner_period: seconds between two rounds of the cleaner.
        cleaner_timeout: the longest time for one round.
        cleaner_updated_at_time_ago: the age at which done and canceled tasks are deleted.
        cleaner_keep_failed: the age at which tasks in attempts_left are deleted.
        healer_period: seconds between two searches for claims without an owner.
        healer_timeout: the longest time for one search.
        healer_updated_at_time_ago: the age at which a claim without an owner counts as abandoned.
        store_result: whether the return value of the handler is kept with the task.
        max_result: the largest result in bytes.
        priority: the default priority of tasks that `registry.queue` and the scheduler enqueue.
        cancel_on_decode_error: whether a task whose payload does not decode is canceled, instead of retried.
        verbose: whether the log also has a line for a task that is done (at level debug), requeued, or failed with
            attempts left. Crashes and tasks without attempts left are always logged.
        has_crash_handler: whether the processor has a `crash_handler`.
        limits: what bounds the tasks of the type over all nodes: the options `limit`, `limit_per_key` and `rate`.
        takes_turns: whether tasks of the type may have a `limit_key`, so that keys take turns.
    """

    timeout: float = 30.0
    timeout_grace: float = 2.0
    stall_timeout: float | None = None
    max_attempts: int = MAX_ATTEMPTS
    max_running: int | None = None
    max_crashes: int | None = None
    strategy: Strategy | None = DEFAULT
    retry_timeouts: bool = True
    cleaner_period: float = 300.0
    cleaner_timeout: float = 30.0
    cleaner_updated_at_time_ago: float = 10800.0
    cleaner_keep_failed: float = 604800.0
    healer_period: float = 300.0
    healer_timeout: float = 30.0
    healer_updated_at_time_ago: float = 3600.0
    store_result: bool = False
    max_result: int = 64 * 1024
    priority: int = 0
    cancel_on_decode_error: bool = False
    verbose: bool = True
    has_crash_handler: bool = False
    limits: Limits = NO_LIMITS
    takes_turns: bool = False

    @property
    def is_limited(self) -> bool:
        """Whether its tasks are claimed by limits or by turns."""
        return self.takes_turns or bool(self.limits)

    @property
    def retry_policy(self) -> RetryPolicy:
        """The options that decide what follows a failure."""
        return RetryPolicy(
            max_attempts=self.max_attempts,
            strategy=self.strategy,
            max_crashes=self.max_crashes,
            retry_timeouts=self.retry_timeouts,
            deletes_done=not self.cleaner_updated_at_time_ago,
        )


class Pool(msgspec.Struct, frozen=True):
    """A declared pool, as `Registry.pool` returns it, for the `pool=` of processors."""

    name: str


class ProcessorKeywords(TypedDict, total=False):
    """The keywords of `Registry.processor`, for editors and type checkers.

    Attributes:
        pool: the pool that runs the tasks of the type; by default the pool `default`. An option of pools, such as
            `workers`, gives the type a pool of its own instead.
        unique: keeps out a second task with the same key: "waiting" until the first claim, "active" until the task
            ends, or for a number of seconds.
        unique_key: the key, or a function of the payload that returns it; by default the JSON value of the payload.
        debounce: seconds by which each further call with the same key delays the waiting task. The last payload wins.
        max_wait: seconds after the first of these calls at which the task is due in any case.
        limit: how many tasks of the type run at once over all nodes.
        limit_key: a function of the payload that returns the key of the task, such as a tenant. Keys take turns.
        limit_per_key: how many tasks of each key run at once over all nodes.
        rate: how many tasks start in a time over all nodes.
        workers: as of `Registry.pool`; the type has a pool of its own then.
        retry: a short name of `next_attempt_at`.
        next_attempt_at: the wait after a failure: a strategy of `goque.retry`, or a function of the number of failures
            that returns seconds, a timedelta or an aware datetime. By default 10 s, 1 min, 6 min and 36 min.
        retry_on: the only exceptions that lead to another attempt; by default all do.
        no_retry_on: exceptions that never lead to another attempt. They win over `retry_on`.
        crash_handler: a function that is called with a `goque.WorkerCrash` when a worker has died.
        hooks_before: functions that are called with the task before the handler.
        hooks_after: functions that are called with the task and its error, or None, after the handler.
    """

    pool: str | Pool | None
    unique: Unique | None
    unique_key: UniqueKey | None
    debounce: float | timedelta | None
    max_wait: float | timedelta | None
    max_running: int | None
    limit: int | None
    limit_key: LimitKey | None
    limit_per_key: int | None
    rate: Rate | None
    workers: int
    min_workers: int | None
    idle_timeout: float | timedelta
    concurrency: int
    timeout: float | timedelta
    timeout_grace: float | timedelta
    stall_timeout: float | timedelta | None
    max_attempts: int
    max_crashes: int | None
    max_memory: float | None
    max_tasks: int | None
    fetch_tick: float | timedelta
    fetch_timeout: float | timedelta
    fetch_max_tasks: int
    cleaner_period: float | timedelta
    cleaner_timeout: float | timedelta
    cleaner_updated_at_time_ago: float | timedelta
    cleaner_keep_failed: float | timedelta
    healer_period: float | timedelta
    healer_timeout: float | timedelta
    healer_updated_at_time_ago: float | timedelta
    store_result: bool
    max_result: int
    priority: int
    cancel_on_decode_error: bool
    verbose: bool
    retry: Strategy | Callable[[int], float | timedelta | datetime]
    next_attempt_at: Strategy | Callable[[int], float | timedelta | datetime]
    retry_on: type[BaseException] | Iterable[type[BaseException]] | None
    no_retry_on: type[BaseException] | Iterable[type[BaseException]] | None
    crash_handler: Callable[[WorkerCrash], object] | None
    hooks_before: Callable[[Task], object] | Sequence[Callable[[Task], object]] | None
    hooks_after: (
        Callable[[Task, BaseException | None], object]
        | Sequence[Callable[[Task, BaseException | None], object]]
        | None
    )


class ProcessorSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What a tree needs to know of a processor, as plain data without functions.

    Attributes:
        type: the task type.
        is_async: whether the handler is `async def`.
        options: the options.
        functions: the paths of the functions that its tasks call; None if the handler is the only one.
    """

    type: str
    is_async: bool = False
    options: ProcessorOptions = ProcessorOptions()
    functions: tuple[str, ...] | None = None


PROCESS_OPTIONS: Final = frozenset(
    {
        "workers",
        "min_workers",
        "idle_timeout",
        "concurrency",
        "max_memory",
        "max_tasks",
        "fetch_tick",
        "fetch_timeout",
        "fetch_max_tasks",
    }
)
"""A processor that gives one of these has processes of its own: a pool with this type alone."""

UNIQUE_OPTIONS: Final = frozenset({"unique", "unique_key", "debounce", "max_wait"})

LIMIT_OPTIONS: Final = frozenset({"limit", "limit_key", "limit_per_key", "rate"})


def check_options(options: Mapping[str, Any]) -> tuple[ProcessorOptions, Callbacks]:
    """Check the options of one processor, without those of processes, and split them into data and functions.

    Raises:
        ConfigurationError: an option is unknown, of the wrong type or out of range; the message names it.
    """
    known = _CHECKS.keys() | CODE_OPTIONS | PROCESS_OPTIONS | UNIQUE_OPTIONS | LIMIT_OPTIONS | {"pool"}
    if "async_workers" in options:
        raise ConfigurationError("async_workers belongs to a pool: write registry.pool(…, async_workers=…)")
    for name in options:
        if name not in known:
            near = difflib.get_close_matches(name, sorted(known), n=1)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(sorted(known))}"
            raise ConfigurationError(f"unknown option {name!r}; {hint}")
    data = {name: _CHECKS[name](name, value) for name, value in options.items() if name in _CHECKS}
    callbacks = check_callbacks(options)
    data["strategy"] = strategy_of(options)
    data["has_crash_handler"] = callbacks.crash_handler is not None
    data["retry_timeouts"] = callbacks.retries(TaskTimeout)
    data["limits"] = _limits(options)
    data["takes_turns"] = options.get("limit_key") is not None
    checked = ProcessorOptions(**data)
    rule = unique_rule(options)
    if rule is not None and isinstance(rule.scope, float):  # a window lasts no longer than the task's row
        kept = max(rule.scope, checked.cleaner_updated_at_time_ago)
        checked = msgspec.structs.replace(checked, cleaner_updated_at_time_ago=kept)
    return checked, callbacks


def _limits(options: Mapping[str, Any]) -> Limits:
    """Return the limits that a processor's options give.

    Raises:
        ConfigurationError: an option is wrong, or does not go with the others.
    """
    given = {name: options[name] for name in LIMIT_OPTIONS if options.get(name) is not None}
    check_limit_key(given.get("limit_key"))
    return Limits(
        limit=check_limit("limit", given["limit"]) if "limit" in given else None,
        per_key=check_limit("limit_per_key", given["limit_per_key"]) if "limit_per_key" in given else None,
        rate=check_rate("rate", given["rate"]) if "rate" in given else None,
    )


def unique_rule(options: Mapping[str, Any]) -> UniqueRule | None:
    """Return the rule of a processor's options for unique tasks, or None if it has none.

    Raises:
        ConfigurationError: an option is wrong, or does not go with the others.
    """
    given = {name: options[name] for name in UNIQUE_OPTIONS if options.get(name) is not None}
    if not given:
        return None
    rule = check_unique(*(given.get(name) for name in ("unique", "unique_key", "debounce", "max_wait")))
    rule.refuse_incomplete()
    return rule


def check_duration(name: str, value: Any) -> float:
    """Return a time in seconds, more than 0, or raise ConfigurationError naming it."""
    return length(value, name, positive=True)


def _duration_or_zero(name: str, value: Any) -> float:
    return length(value, name)


def _optional_duration(name: str, value: Any) -> float | None:
    return None if value is None else check_duration(name, value)


def check_count(name: str, value: Any) -> int:
    """Return a whole number from 1 up, or raise ConfigurationError naming it."""
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 1_000_000_000:
        raise ConfigurationError(f"{name} must be a whole number from 1 up, not {value!r}")
    return value


def check_optional_count(name: str, value: Any) -> int | None:
    """Return a whole number from 1 up or None, or raise ConfigurationError naming it."""
    return None if value is None else check_count(name, value)


def check_optional_size(name: str, value: Any) -> float | None:
    """Return a size in MiB or None, or raise ConfigurationError naming it."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e9:
        raise ConfigurationError(f"{name} must be MiB, more than 0, not {value!r}")
    return float(value)


def flag(name: str, value: Any) -> bool:
    """Return a flag, or raise ConfigurationError naming it."""
    if not isinstance(value, bool):
        raise ConfigurationError(f"{name} must be True or False, not {value!r}")
    return value


def _priority(name: str, value: Any) -> int:
    del name
    return check_priority(value)


_CHECKS: Final[dict[str, Callable[[str, Any], Any]]] = {
    "timeout": check_duration,
    "timeout_grace": _duration_or_zero,
    "stall_timeout": _optional_duration,
    "max_attempts": check_count,
    "max_running": check_optional_count,
    "max_crashes": check_optional_count,
    "cleaner_period": check_duration,
    "cleaner_timeout": check_duration,
    "cleaner_updated_at_time_ago": _duration_or_zero,
    "cleaner_keep_failed": _duration_or_zero,
    "healer_period": check_duration,
    "healer_timeout": check_duration,
    "healer_updated_at_time_ago": check_duration,
    "store_result": flag,
    "max_result": check_count,
    "priority": _priority,
    "cancel_on_decode_error": flag,
    "verbose": flag,
}
