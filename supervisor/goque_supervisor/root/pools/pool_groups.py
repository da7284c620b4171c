"""All pool groups of a tree, by task type."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from goque_supervisor.ipc.run_directory import RunDirectory
from goque_supervisor.root.node import NodeView
from goque_supervisor.root.pools.group_context import GroupContext
from goque_supervisor.root.pools.pool_group import PoolGroup
from goque_supervisor.root.processes import Processes
from goque_supervisor.root.timers import Timers
from goque_supervisor.root.tree import PoolGroupSpec


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
        self._by_type: dict[str, PoolGroup] = {}
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
        return iter(list(self._by_type.values()))

    def __len__(self) -> int:
        return len(self._by_type)

    def find(self, task_type: str) -> PoolGroup | None:
        """Return the group of a type."""
        return self._by_type.get(task_type)

    @property
    def are_gone(self) -> bool:
        """Whether every group has drained and ended."""
        return all(group.is_gone for group in self)

    def lay_out(self, specs: Iterable[PoolGroupSpec]) -> None:
        """Add a group for each type that has none; nothing is started yet."""
        for spec in specs:
            if spec.type not in self._by_type:
                self._by_type[spec.type] = PoolGroup(spec, self._context)

    def reload(self, specs: Iterable[PoolGroupSpec], generation: int) -> None:
        """Follow a newer import: drain the types that are gone, replace the workers of others, add new types."""
        wanted = {spec.type: spec for spec in specs}
        for group in self:
            if group.spec.type in wanted:
                group.reload(wanted[group.spec.type], generation)
            else:
                group.drain()
        self.lay_out(wanted.values())
        self.start_missing()

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

    def _on_gone(self, task_type: str) -> None:
        if not self._node().is_stopping:
            self._by_type.pop(task_type, None)
