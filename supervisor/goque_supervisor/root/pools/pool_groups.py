"""All pool groups of a tree, by the name of the pool."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

from goque_supervisor.ipc.run_directory import RunDirectory
from goque_supervisor.root.node import NodeView
from goque_supervisor.root.pools.group_context import GroupContext
from goque_supervisor.root.pools.pool_group import PoolGroup
from goque_supervisor.root.processes import Processes
from goque_supervisor.root.timers import Timers
from goque_supervisor.root.tree import PoolGroupSpec

log = logging.getLogger("goque.supervisor")


class PoolGroups:
    """The pool groups; `on_no_type_can_boot` is called when no type has ever booted and all have tried enough."""

    def __init__(
        self,
        processes: Processes,
        timers: Timers,
        *,
        node: Callable[[], NodeView],
        run_directory: RunDirectory,
        child_restarts: Counter[str],
        on_no_type_can_boot: Callable[[], None],
    ) -> None:
        self._node = node
        self._on_no_type_can_boot = on_no_type_can_boot
        self._by_name: dict[str, PoolGroup] = {}
        self._wanted: dict[str, PoolGroupSpec] = {}
        self._generation = 0
        self._context = GroupContext(
            processes,
            timers,
            node=node,
            run_directory=run_directory,
            child_restarts=child_restarts,
            on_held=self._on_held,
            on_gone=self._on_gone,
        )

    def __iter__(self) -> Iterator[PoolGroup]:
        return iter(list(self._by_name.values()))

    def __len__(self) -> int:
        return len(self._by_name)

    def find(self, pool: str) -> PoolGroup | None:
        """Return the group of a pool."""
        return self._by_name.get(pool)

    @property
    def are_gone(self) -> bool:
        """Whether every group has drained and ended."""
        return all(group.is_gone for group in self)

    @property
    def are_reporting(self) -> bool:
        """Whether a crash or a failed attempt of any pool is not reported yet."""
        return any(group.functions.are_called for group in self)

    @property
    def held(self) -> list[str]:
        """The pools whose workers cannot boot, so that they claim nothing; a title for each."""
        return [group.spec.title for group in self if group.boot.held]

    def lay_out(self, specs: Iterable[PoolGroupSpec]) -> None:
        """Add a group for each pool that has none; nothing is started yet."""
        for spec in specs:
            if spec.name not in self._by_name:
                self._by_name[spec.name] = PoolGroup(spec, self._context)

    def reload(self, specs: Iterable[PoolGroupSpec], generation: int) -> None:
        """Follow a newer import: drain the pools that are gone, replace the workers of others, add new pools."""
        self._wanted = {spec.name: spec for spec in specs}
        self._generation = generation
        for group in self:
            if group.spec.name not in self._wanted:
                log.info(
                    "the app has no pool %r any more: its running tasks end in the old workers",
                    group.spec.name,
                )
                group.drain()
        self._tell_who_stays()
        self._follow()

    def _follow(self) -> None:
        """Give each pool the types that it may have by now.

        Two pools must not have one type at a time, because each would take the tasks of the other for lost ones.
        """
        specs = self._without_types_of_others()
        for group in self:
            if group.spec.name in specs and not group.draining:
                group.reload(specs[group.spec.name], self._generation)
        self.lay_out(spec for spec in specs.values() if spec.processors)
        self.start_missing()

    def _without_types_of_others(self) -> dict[str, PoolGroupSpec]:
        """Return the wanted pools. A type stays where it is until its pool is gone."""
        holder = self._holders()
        processors: dict[str, list[dict[str, Any]]] = {name: [] for name in self._wanted}
        for spec in self._wanted.values():
            for processor in spec.processors:
                pool = holder.get(processor["type"], spec.name)
                if pool not in processors:
                    continue  # its pool drains: it follows when that is gone
                processors[pool].append(processor)
        return {
            name: replace(spec, processors=tuple(processors[name])) for name, spec in self._wanted.items()
        }

    def _holders(self) -> dict[str, str]:
        """Return the pool that each type is in now."""
        return {name: group.spec.name for group in self for name in group.spec.types}

    def _tell_who_stays(self) -> None:
        holder = self._holders()
        for spec in self._wanted.values():
            for name in spec.types:
                pool = holder.get(name, spec.name)
                if pool != spec.name and pool in self._wanted:
                    log.warning(
                        "type %r stays in pool %r until you restart this supervisor; then it moves to pool %r",
                        name,
                        pool,
                        spec.name,
                    )

    def start_missing(self) -> None:
        """Start what is missing in each group."""
        for group in self:
            group.start_missing()

    def new_owner(self, owner: str) -> None:
        """Tell all fetchers the name to claim under; empty to claim nothing."""
        for group in self:
            group.new_owner(owner)

    def send_pause(self) -> None:
        """Tell each fetcher whether it may claim."""
        for group in self:
            group.send_pause()

    def kill_workers(self, reason: str) -> None:
        """Kill all workers; their running tasks are requeued."""
        for group in self:
            group.kill_workers(reason)

    def end_user_functions(self) -> None:
        """Kill all processes that call the app's functions about crashes and failures."""
        for group in self:
            group.end_user_functions()

    def drain(self) -> None:
        """Claim nothing more, let running handlers end, requeue the rest."""
        for group in self:
            group.drain()

    def _on_held(self) -> None:
        if all(group.boot.held and not group.boot.ever_booted for group in self):
            self._on_no_type_can_boot()

    def _on_gone(self, pool: str) -> None:
        if not self._node().is_stopping:
            self._by_name.pop(pool, None)
            self._follow()
