"""The fetcher of a pool group: when it is started, what it takes over, and when it is started again."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

from goque_supervisor.ipc.control import Message, TakeOver, WorkerExited
from goque_supervisor.ipc.exit_cause import ExitCause
from goque_supervisor.ipc.run_directory import RunDirectory, name_key
from goque_supervisor.root.child import Child
from goque_supervisor.root.pools.group_context import GroupContext
from goque_supervisor.root.restart_policy import Backoff, Intensity
from goque_supervisor.root.tree import PoolGroupSpec

log = logging.getLogger("goque.supervisor")

UNREGISTERED: Final = "unregistered"


class GroupFetcher:
    """One fetcher after another; each takes over from the one before, so a fetcher that dies loses nothing.

    Attributes:
        epoch: how many fetchers this group has had.
    """

    def __init__(self, name: str, context: GroupContext) -> None:
        self.epoch = 0
        self._name = name
        self._context = context
        self._backoff = Backoff()
        self._intensity = Intensity()
        self._not_before = 0.0

    @property
    def child(self) -> Child | None:
        """The living fetcher."""
        return self._context.processes.find(self._name)

    def send(self, message: Message) -> None:
        """Send the living fetcher a message; without a fetcher it is dropped, since the next one is told anew."""
        child = self.child
        if child is not None:
            child.channel.send(message)

    def start_if_missing(
        self, spec: PoolGroupSpec, workers: Sequence[Child], dead: list[WorkerExited], orders: list[Message]
    ) -> None:
        """Start a fetcher once the node has a lease, and hand over to it.

        Args:
            spec: the group's.
            workers: the living workers, which it takes over.
            dead: the workers whose black boxes are not settled yet.
            orders: what the last fetcher was told and still holds.
        """
        node = self._context.node()
        if self.child or not node.owner or self._context.timers.now() < self._not_before:
            return
        run_directory = self._context.run_directory
        boot = {
            "pool": spec.name,
            "task_type": spec.only_type,
            "processors": spec.processors,
            "leaving": spec.leaving,
            "options": spec.options,
            "workers": {
                "plain": [spec.fewest(is_async=False), len(spec.slots(is_async=False))],
                "asynchronous": [spec.fewest(is_async=True), len(spec.slots(is_async=True))],
            },
            "endpoint": run_directory.endpoint(spec.name),
            "secret_key": spec.keys[1],
            "counters": _counters(run_directory, spec),
            "drain": node.ends_when_idle,
            "node_timeout": node.node_timeout,
        }
        self.epoch += 1
        child = self._context.processes.start(spec.fetcher, boot)
        if child is None:
            return
        live = [worker.as_worker() for worker in workers if worker.pid]
        child.channel.send(TakeOver(self.epoch, node.may_claim_as, node.former_owners, live, dead))
        for order in orders:
            child.channel.send(order)

    def on_exit(self, child: Child, cause: ExitCause) -> tuple[float, bool]:
        """Count the end of a fetcher.

        Returns:
            The seconds until another may start, and whether fetchers end so often that the workers may be the cause.
        """
        log.warning(
            "%s (pid %d) ended by %s: a new fetcher takes over its workers", child.spec.name, child.pid, cause
        )
        self._context.child_restarts["fetcher"] += 1
        now = self._context.timers.now()
        delay = self._backoff.after_exit(now - child.started_at)
        self._not_before = now + delay
        return delay, self._intensity.too_many(now)


def _counters(run_directory: RunDirectory, spec: PoolGroupSpec) -> dict[str, str]:
    """Return the file of each type's counters, and one for what belongs to no type if there are several."""
    paths = {name: run_directory.counters("fetcher", name) for name in spec.types}
    if len(paths) > 1:
        paths[UNREGISTERED] = run_directory.counters(f"fetcher-{name_key(spec.name)}", UNREGISTERED)
    return {name: str(path) for name, path in paths.items()}
