"""The options of a pool: how many processes run its tasks, and how they are fetched."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Final, TypedDict

import msgspec

from goque.cpus import available_cpus
from goque.errors import ConfigurationError
from goque.options import (
    ProcessorKeywords,
    check_count,
    check_duration,
    check_optional_count,
    check_optional_size,
)


class PoolOptions(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How the tasks of one pool are run; times are in seconds. Processes send it to each other as JSON.

    Attributes:
        workers: the most processes for `def` handlers; each runs one task at a time.
        min_workers: how many of the workers run even without work. None for one, and for all of them with
            `--start-method spawn`, where each start is an import of the app.
        idle_timeout: seconds without a task after which a worker above `min_workers` ends.
        async_workers: the most processes for `async def` handlers.
        concurrency: how many `async def` handlers run at a time in each process for them.
        max_memory: MiB of resident memory; a worker above it is replaced after its task. None for no limit.
        max_tasks: tasks after which a worker is replaced, None for no limit.
        fetch_tick: the longest time between two checks for due tasks.
        fetch_timeout: the longest time for one claim; a claim that takes longer is canceled and tried again later.
        fetch_max_tasks: the most tasks that one claim takes.
    """

    workers: int = 1
    min_workers: int | None = None
    idle_timeout: float = 60.0
    async_workers: int = 1
    concurrency: int = 100
    max_memory: float | None = None
    max_tasks: int | None = None
    fetch_tick: float = 1.0
    fetch_timeout: float = 30.0
    fetch_max_tasks: int = 100


class PoolKeywords(TypedDict, total=False):
    """The keywords of `Registry.pool`, for editors and type checkers.

    Attributes:
        workers: the most processes for `def` handlers; each runs one task at a time. By default as many as the CPUs
            that this process may use.
    """

    workers: int
    min_workers: int | None
    idle_timeout: float | timedelta
    async_workers: int
    concurrency: int
    max_memory: float | None
    max_tasks: int | None
    fetch_tick: float | timedelta
    fetch_timeout: float | timedelta
    fetch_max_tasks: int


class PoolSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What a tree needs to know of a pool, as plain data.

    Attributes:
        name: its name; a type with processes of its own has a pool that is named like the type.
        types: its task types.
        options: its options.
    """

    name: str
    types: tuple[str, ...]
    options: PoolOptions


def check_pool_options(options: Mapping[str, Any]) -> PoolOptions:
    """Check the options of one pool.

    Raises:
        ConfigurationError: an option is unknown, of the wrong type or out of range; the message names it.
    """
    for name in options:
        if name in ProcessorKeywords.__annotations__ and name not in _CHECKS:
            raise ConfigurationError(
                f"{name} belongs to the types of the pool: write registry.processor(…, {name}=…)"
            )
        if name not in _CHECKS:
            near = difflib.get_close_matches(name, sorted(_CHECKS), n=1)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(sorted(_CHECKS))}"
            raise ConfigurationError(f"unknown option {name!r}; {hint}")
    data = {name: _CHECKS[name](name, value) for name, value in options.items()}
    data.setdefault("workers", available_cpus())
    checked = PoolOptions(**data)
    if checked.min_workers is not None and checked.min_workers > checked.workers:
        raise ConfigurationError(
            f"min_workers is {checked.min_workers} and workers is {checked.workers}; give min_workers up to workers"
        )
    return checked


_CHECKS: Final[dict[str, Callable[[str, Any], Any]]] = {
    "workers": check_count,
    "min_workers": check_optional_count,
    "idle_timeout": check_duration,
    "async_workers": check_count,
    "concurrency": check_count,
    "max_memory": check_optional_size,
    "max_tasks": check_optional_count,
    "fetch_tick": check_duration,
    "fetch_timeout": check_duration,
    "fetch_max_tasks": check_count,
}
