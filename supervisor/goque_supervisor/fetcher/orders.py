"""The orders of the root to a fetcher, and how the fetcher obeys them."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from typing import Final

from goque_supervisor.fetcher.dead_workers import DeadWorkers, read_box
from goque_supervisor.fetcher.in_flight import ClaimedTask, InFlight
from goque_supervisor.fetcher.schedule import Schedule
from goque_supervisor.fetcher.worker_handle import WorkerHandle
from goque_supervisor.fetcher.worker_pool import WorkerPool
from goque_supervisor.ipc.control import (
    CallbackDone,
    CheckIdle,
    Drain,
    Message,
    NewOwner,
    PauseClaiming,
    Retire,
    Stop,
    WorkerExited,
    WorkerStarted,
)

log = logging.getLogger("goque.fetcher")

MAX_OWNERS: Final = 8
"""How many names of the node a fetcher compares with the table. Healers return the tasks of older names."""


@dataclass
class Orders:
    """The current orders.

    Attributes:
        owner: the name under which to claim, empty while the node has no lease.
        all_owners: every name under which this node may hold tasks, the newest last.
        is_renamed: whether to move the tasks in flight to the new name, and to publish the type's policy again.
        stopping: whether to end the loop.
        draining: whether to finish running tasks and claim no more.
        paused: whether to claim no tasks, because workers cannot boot.
        idle_check: the number of a CheckIdle that is not answered, 0 for none.
    """

    owner: str = ""
    stopping: bool = False
    draining: bool = False
    paused: bool = False
    idle_check: int = 0
    all_owners: list[str] = field(default_factory=list)
    is_renamed: bool = False

    def claim_as(self, owner: str) -> None:
        """Claim under this name from now on, and remember it. An empty name means not to claim."""
        self.owner = owner
        if owner and owner not in self.all_owners:
            self.all_owners = [*self.all_owners, owner][-MAX_OWNERS:]

    @property
    def may_claim(self) -> bool:
        """Whether the fetcher may claim tasks now."""
        return bool(self.owner) and not self.draining and not self.paused

    def may_run(self, task: ClaimedTask) -> bool:
        """Return whether a task that has not started may still start here."""
        return self.may_claim and task.row.claimed_by == self.owner


class OrderHandler:
    """Obeys the messages of the root, one by one.

    Args:
        orders: where the orders are kept.
        in_flight: the tasks in flight.
        worker_pool: the living workers.
        dead_workers: settles the tasks of dead workers.
        schedule: the next times of the loop.
    """

    def __init__(
        self,
        orders: Orders,
        in_flight: InFlight,
        worker_pool: WorkerPool,
        dead_workers: DeadWorkers,
        schedule: Schedule,
    ) -> None:
        self._orders = orders
        self._in_flight = in_flight
        self._worker_pool = worker_pool
        self._dead_workers = dead_workers
        self._schedule = schedule

    def obey(self, message: Message) -> None:
        """Obey one message. Each message may make tasks claimable, so the next turn claims."""
        self._schedule.claim_now()
        match message:
            case WorkerStarted():
                self._worker_pool.add(WorkerHandle.of(message, taken_over=False))
            case WorkerExited():
                self._on_worker_exited(message)
            case Retire(incarnation, reason):
                self._retire(incarnation, reason)
            case NewOwner(owner):
                self._change_owner(owner)
            case PauseClaiming(hold):
                self._pause_claiming(paused=hold)
            case CheckIdle(check):
                self._orders.idle_check = check
            case CallbackDone(call, delay):
                self._dead_workers.callback_done(call, delay)
            case Drain():
                self._orders.draining = True
                self._release_unstarted()
            case Stop():
                self._orders.stopping = True
            case _:
                log.error("dropped an unexpected %s from the root", type(message).__name__)

    def _on_worker_exited(self, notice: WorkerExited) -> None:
        worker = self._worker_pool.remove(notice.incarnation)
        contents = read_box(notice.box)
        if worker is None:
            self._dead_workers.settle_dead_worker(notice, {}, contents)
            return
        worker.stderr_relay.forward(rest=True)
        worker.box.close()
        unwritten = [task for task in self._in_flight.ended if task.incarnation == notice.incarnation]
        self._dead_workers.settle_dead_worker(notice, worker.jobs, contents, unwritten)

    def _retire(self, incarnation: int, reason: str) -> None:
        worker = self._worker_pool.by_incarnation(incarnation)
        if worker is not None:
            self._worker_pool.retire(worker, reason, time.monotonic())
            self._schedule.inspect_now()

    def _pause_claiming(self, *, paused: bool) -> None:
        self._orders.paused = paused
        if paused:
            self._in_flight.release_waiting()

    def _change_owner(self, owner: str) -> None:
        if owner != self._orders.owner:
            self._orders.claim_as(owner)
            self._orders.is_renamed = bool(owner)
            self._schedule.reconcile_now()
            self._release_unstarted()  # another node may have healed the claims of the former name by now

    def _release_unstarted(self) -> None:
        """Release waiting tasks now, and tasks that workers have not started as soon as they are revoked."""
        self._in_flight.release_waiting()
        for worker in self._worker_pool:
            self._worker_pool.revoke_unstarted(worker, time.monotonic())
        self._schedule.inspect_now()
