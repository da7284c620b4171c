"""The pools of a registry, and which task type is in which."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final, Protocol

import msgspec

from goque.errors import ConfigurationError
from goque.options import Pool
from goque.pools.options import PoolOptions, PoolSpec, check_pool_options
from goque.task_rules.checks import check_name

DEFAULT_POOL: Final = "default"
"""The pool of the types that name none and have no processes of their own."""


class PoolTable:
    """The pools of one registry."""

    def __init__(self) -> None:
        self._declared: dict[str, PoolOptions] = {}
        self._own: dict[str, PoolOptions] = {}
        self._pool_of: dict[str, str] = {}

    def declare(self, name: str, options: Mapping[str, Any]) -> Pool:
        """Declare a pool.

        Raises:
            ConfigurationError: one of this name is declared already, or an option is wrong.
        """
        check_name("pool", name)
        if "," in name:
            raise ConfigurationError(
                f"the pool {name!r} has a comma in its name, which --pools takes for two pools"
            )
        if name in self._declared:
            raise ConfigurationError(f"pool {name!r} is declared already; declare each pool once")
        try:
            self._declared[name] = check_pool_options(options)
        except ConfigurationError as error:
            raise ConfigurationError(f"pool {name!r}: {error}") from None
        return Pool(name)

    def put(
        self, task_type: str, pool: str | Pool | None, process_options: Mapping[str, Any], *, is_async: bool
    ) -> None:
        """Put a type into a pool: the named one, one of its own if it has options of processes, or the default one.

        Raises:
            ConfigurationError: it has both, the name is no name, or an option is wrong.
        """
        if pool is not None and process_options:
            name = pool.name if isinstance(pool, Pool) else pool
            given = ", ".join(process_options)
            raise ConfigurationError(
                f"{given} belongs to the pool: write registry.pool({name!r}, {given}=…), or leave out pool="
            )
        self._own.pop(task_type, None)
        if process_options:
            self._own[task_type] = _own_pool(process_options, is_async=is_async)
            self._pool_of[task_type] = task_type
        else:
            name = pool.name if isinstance(pool, Pool) else DEFAULT_POOL if pool is None else pool
            check_name("pool", name)
            self._pool_of[task_type] = name

    def refuse_overlap(self, other: PoolTable) -> None:
        """Raise ConfigurationError, naming both, if two registries declare one pool."""
        for name, options in other._declared.items():
            if mine := self._declared.get(name):
                raise ConfigurationError(
                    f"pool {name!r} is declared by both registries: {_given(mine)} in the including one, and "
                    f"{_given(options)} in the included one; declare it in one of them"
                )

    def take(self, other: PoolTable) -> None:
        """Take the pools and the types of another registry."""
        self._declared |= other._declared
        self._own |= other._own
        self._pool_of |= other._pool_of

    @property
    def pool_of(self) -> Mapping[str, str]:
        """The pool of each type, in the order in which the types were added."""
        return self._pool_of

    def specs(self, *, default_workers: int | None = None) -> list[PoolSpec]:
        """Return the pools that have types, in the order in which their first types were added.

        Args:
            default_workers: the `workers` of the default pool, whatever is declared; None for what is declared.

        Raises:
            ConfigurationError: a type is in a pool that is not declared, or two pools have one name.
        """
        types: dict[str, list[str]] = {}
        for task_type, name in self._pool_of.items():
            if name in self._own and (name in self._declared or task_type != name):
                raise ConfigurationError(
                    f"type {name!r} has processes of its own, which are a pool of this name, so no other pool may be "
                    f"called {name!r}; rename the pool"
                )
            types.setdefault(name, []).append(task_type)
        return [
            PoolSpec(name=name, types=tuple(names), options=self._options(name, names, default_workers))
            for name, names in types.items()
        ]

    def _options(self, name: str, types: Collection[str], default_workers: int | None) -> PoolOptions:
        options = self._own.get(name) or self._declared.get(name)
        if options is None and name == DEFAULT_POOL:
            options = check_pool_options({})
        if options is None:
            known = ", ".join(repr(known) for known in self._declared) or "none but 'default'"
            raise ConfigurationError(
                f"type {next(iter(types))!r} is in the pool {name!r}, which is not declared; "
                f"add registry.pool({name!r}), or name one that is: {known}"
            )
        if name == DEFAULT_POOL and default_workers is not None:
            fewest = None if options.min_workers is None else min(options.min_workers, default_workers)
            options = msgspec.structs.replace(options, workers=default_workers, min_workers=fewest)
        return options


def _given(options: PoolOptions) -> str:
    """Return the options of a pool that are not the defaults."""
    values, defaults = msgspec.structs.asdict(options), msgspec.structs.asdict(PoolOptions())
    given = [f"{name}={value!r}" for name, value in values.items() if value != defaults[name]]
    return ", ".join(given) or "workers=1"


def _own_pool(process_options: Mapping[str, Any], *, is_async: bool) -> PoolOptions:
    """Return the pool of a type with processes of its own; `workers` are those for its kind of handler."""
    options = check_pool_options(process_options)
    return msgspec.structs.replace(options, async_workers=options.workers) if is_async else options


class HasPools(Protocol):
    """A registry, as far as a tree needs to know its pools."""

    @property
    def _pools(self) -> PoolTable:
        """The pools."""


def pools_of(registry: HasPools) -> PoolTable:
    """Return the pools of a registry."""
    return registry._pools  # noqa: SLF001 - private to goque, not to the class, as the processors are
