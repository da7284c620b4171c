"""One pool group of the tree: a fetcher, its workers, and the processes that call the app's functions.

1. `start_missing` keeps the group complete: a fetcher once the node has a lease, and a worker in each slot;
2. `on_exit` reports a dead worker to the fetcher, and starts another process after its backoff;
3. `on_message` does what the fetcher asks for: interrupt a task, replace a worker, run a crash callback;
4. `reload` replaces the workers one by one, `drain` ends the group.

A group knows the rest of the tree by its arguments only, so unit tests drive it with a history of events.
"""

from __future__ import annotations

import logging
from collections import Counter

from goque_supervisor.ipc.control import (
    CheckIdle,
    CrashSettled,
    Drain,
    Drained,
    Idle,
    Interrupt,
    Message,
    NewOwner,
    PauseClaiming,
    Replace,
    Retire,
    StackWanted,
    WorkerExited,
    WorkersWanted,
)
from goque_supervisor.ipc.exit_cause import ExitCause
from goque_supervisor.ipc.run_directory import remove_worker_files
from goque_supervisor.root.child import Child
from goque_supervisor.root.pools.group_context import GroupContext
from goque_supervisor.root.pools.group_fetcher import GroupFetcher
from goque_supervisor.root.pools.rolling_reload import PATIENCE, RollingReload
from goque_supervisor.root.pools.user_functions import ROLES, UserFunctions
from goque_supervisor.root.pools.worker_exit import IDLE, describe_exit, end_worker, restart_reason
from goque_supervisor.root.pools.worker_signals import signal_worker
from goque_supervisor.root.pools.worker_slots import WorkerSlots
from goque_supervisor.root.processes import StartRetries
from goque_supervisor.root.restart_policy import BootWatch
from goque_supervisor.root.tree import PoolGroupSpec

log = logging.getLogger("goque.supervisor")


class PoolGroup:
    """One pool of the tree."""

    def __init__(self, spec: PoolGroupSpec, context: GroupContext) -> None:
        self.spec = spec
        self.generation = 0
        self.boot = BootWatch()
        self.unsettled_exits: dict[int, WorkerExited] = {}
        self.idle = False
        self.idle_check = 0
        self.draining = False
        self.drained: Drained | None = None
        self.restarts: Counter[str] = Counter()
        self._context = context
        self._processes = context.processes
        self._timers = context.timers
        self._fetcher = GroupFetcher(spec.fetcher.name, context)
        self.functions = UserFunctions(context.processes, context.timers, self._fetcher.send)
        self._slots = WorkerSlots()
        self._slots.want(spec, 0, 0)
        self._retries = StartRetries(context.timers)
        self._rolling = RollingReload()

    # -- keeping it complete -------------------------------------------------------------------------

    @property
    def fetcher(self) -> Child | None:
        """The living fetcher."""
        return self._fetcher.child

    @property
    def epoch(self) -> int:
        """How many fetchers this group has had."""
        return self._fetcher.epoch

    @property
    def workers(self) -> list[Child]:
        """The living workers."""
        return self._processes.workers(self.spec.name)

    @property
    def is_gone(self) -> bool:
        """Whether the group has drained and has no process left."""
        return self.draining and not (self.workers or self.fetcher or self.functions.is_reporting)

    @property
    def _has_drained(self) -> bool:
        return self.drained is not None and not self.workers

    @property
    def _is_paused(self) -> bool:
        return self.boot.held or self._context.node().is_quiet

    def start_missing(self) -> None:
        """Start what is missing: the fetcher once the node has a lease, and a worker in each empty slot."""
        try:
            self._start_fetcher()
            self._start_workers()
        except OSError as error:
            self._retries.plan(f"a process of {self.spec.title}", str(error), self.start_missing)

    def _start_fetcher(self) -> None:
        if self._has_drained:
            return
        workers = self.workers
        orders: list[Message] = []
        if self._is_paused:
            orders.append(PauseClaiming(hold=True))
        if self.draining:
            orders.append(Drain())
        orders += [Retire(worker.key, worker.retire_reason) for worker in workers if worker.retire_reason]
        self._fetcher.start_if_missing(self.spec, workers, list(self.unsettled_exits.values()), orders)

    def _start_workers(self) -> None:
        if self.draining:
            return
        taken = {worker.slot for worker in self.workers}
        now = self._timers.now()
        for slot in self._slots.to_fill(self.spec, taken, now, canary=self.boot.held):
            boot = {
                "pool": self.spec.name,
                "task_type": self.spec.only_type,
                "options": self.spec.options,
                "slot": slot,
                "endpoint": self._context.run_directory.endpoint(self.spec.name),
                "server_key": self.spec.keys[0],
            }
            spec = self.spec.worker(slot)
            self._processes.start(spec, {**boot, "is_async": spec.is_async})

    # -- what happens to its processes ---------------------------------------------------------------

    def on_started(self, child: Child) -> None:
        """Tell the fetcher that a worker exists."""
        if child.spec.role == "worker":
            self._fetcher.send(child.as_worker())

    def on_ready(self, child: Child) -> None:
        """Go on with a reload, and with claiming if the workers could not boot before."""
        if child.spec.role != "worker":
            return
        was_held = self.boot.held
        self.boot.booted()
        if was_held:
            log.info("workers of %s can boot again: its fetcher claims tasks again", self.spec.title)
            self.send_pause()
            self._slots.allow_all()
            self.start_missing()
        self._advance_reload()

    def on_not_started(self, child: Child, why: str, *, died: bool) -> None:
        """React to a process that could not be started, or that died before the root knew its pid."""
        if child.spec.role in ROLES:
            self.functions.on_not_started(child, why)
        elif died and child.spec.role == "worker":
            self._on_died_before_known(child, why)
        elif self.draining and child.spec.role == "worker":
            self._advance_draining()
        else:
            self._retries.plan(child.spec.name, why, self.start_missing)

    def on_exit(self, child: Child, cause: ExitCause, max_rss: int) -> None:
        """Report the end of a process to those that need to know, and start another."""
        match child.spec.role:
            case role if role in ROLES:
                self.functions.on_ended(child)
            case "fetcher":
                self._on_fetcher_exit(child, cause)
            case _:
                self._on_worker_exit(child, cause, max_rss)
        if self.draining:
            self._advance_draining()

    def _on_fetcher_exit(self, fetcher: Child, cause: ExitCause) -> None:
        self.idle = False
        if self._has_drained:
            return
        if fetcher.killed_for != "reload":
            delay, too_many = self._fetcher.on_exit(fetcher, cause)
            if too_many:
                log.error("the fetcher of %s keeps dying: its workers are restarted too", self.spec.title)
                self.kill_workers("group")
            if delay:
                self._timers.after(delay, self.start_missing)
        self.start_missing()

    def _on_worker_exit(self, worker: Child, cause: ExitCause, max_rss: int) -> None:
        assert worker.box is not None
        crashed = bool(worker.box.read().running)
        notice = describe_exit(worker, cause, max_rss)
        self.unsettled_exits[worker.key] = notice
        self._fetcher.send(notice)
        if self.draining:
            return
        delay = self._delay_before_next(worker, cause, crashed=crashed)
        if delay:
            self._put_off(worker.slot, delay)
        self.start_missing()
        self._advance_reload()

    def _delay_before_next(self, worker: Child, cause: ExitCause, *, crashed: bool) -> float:
        if worker.retire_reason != IDLE:
            self.restarts[restart_reason(worker)] += 1
        ended = f"{worker.spec.name} (pid {worker.pid}) ended by {cause}"
        if not worker.ready_at and worker.killed_for in (None, "boot"):
            return self._on_boot_failure(f"{ended} before it could take a task")
        if crashed or worker.killed_for is not None or worker.retire_reason:
            return 0.0
        log.warning("%s while it was idle", ended)
        return self._slots.after_idle_exit(worker.slot, self._timers.now() - worker.started_at)

    def _on_died_before_known(self, worker: Child, why: str) -> None:
        delay = self._on_boot_failure(f"{worker.spec.name} cannot be started: {why}")
        if self.draining:
            self._advance_draining()
        else:
            self._put_off(worker.slot, delay)

    def _put_off(self, slot: int, delay: float) -> None:
        self._slots.put_off(slot, self._timers.now() + delay)
        self._timers.after(delay, self.start_missing)

    def _on_boot_failure(self, what: str) -> float:
        delay = self.boot.failed()
        log.error("%s", what)
        if self.boot.held:
            self.send_pause()
            self._context.on_held()
            log.error(
                "workers of %s cannot boot: its tasks wait, and goque tries to start one worker every 30s",
                self.spec.title,
            )
        return delay

    # -- what its processes send -----------------------------------------------------------------------

    def on_message(self, child: Child, message: Message) -> bool:
        """Do what the fetcher, or a crash callback, asks for; returns whether this is a message for a group."""
        match message:
            case Idle(idle, check):
                self.idle, self.idle_check = idle, check
            case Interrupt(incarnation) | StackWanted(incarnation):
                signal_worker(self._processes, self._worker(incarnation), message)
            case Replace(incarnation, reason):
                self._replace(incarnation, reason)
            case WorkersWanted(plain, asynchronous):
                self._slots.want(self.spec, plain, asynchronous)
                self.start_missing()
            case CrashSettled(incarnation):
                notice = self.unsettled_exits.pop(incarnation, None)
                if notice is not None:
                    remove_worker_files(notice.box)
            case Drained():
                self.drained = message
                self._advance_draining()
            case _:
                return self.functions.on_message(self.spec, child, message)
        return True

    def _worker(self, incarnation: int) -> Child | None:
        return next((worker for worker in self.workers if worker.key == incarnation), None)

    def _replace(self, incarnation: int, reason: str) -> None:
        if worker := self._worker(incarnation):
            worker.retire_reason = reason
            end_worker(self._processes, worker, reason)

    # -- orders from above ------------------------------------------------------------------------------

    def new_owner(self, owner: str) -> None:
        """Tell the fetcher the name to claim under; empty to claim nothing."""
        self._fetcher.send(NewOwner(owner))

    def send_pause(self) -> None:
        """Tell the fetcher whether it may claim."""
        self._fetcher.send(PauseClaiming(hold=self._is_paused))

    def ask_idle(self, check: int) -> None:
        """Have the fetcher look once more whether anything is left."""
        self._fetcher.send(CheckIdle(check))

    def kill_workers(self, reason: str) -> None:
        """Kill all workers of the group; their running tasks are requeued."""
        self._processes.kill_all([worker for worker in self.workers if worker.killed_for is None], reason)

    def end_user_functions(self) -> None:
        """Kill the processes that call the app's functions about crashes and failures."""
        self.functions.end()

    def reload(self, spec: PoolGroupSpec, generation: int) -> None:
        """Replace the workers, all at once if there are new types, and the fetcher if the options changed."""
        changed = (spec.processors, spec.options) != (self.spec.processors, self.spec.options)
        if spec.has_handlers_beyond(self.spec):  # workers of an older import cannot run these
            self._rolling.retire_all(self.workers, generation, self._timers.now())
            self._timers.after(PATIENCE, self._advance_reload)
        self.spec = spec.after(self.spec)
        self._slots.want(spec, self._slots.wanted[False], self._slots.wanted[True])
        self.generation = generation
        self._slots.allow_all()  # new code deserves a new try at once
        fetcher = self.fetcher
        if changed and fetcher:
            self._processes.kill(fetcher, "reload")  # the next one takes over: nothing is lost by it
        self._advance_reload()
        self.start_missing()

    def _advance_reload(self) -> None:
        """Retire the next worker of an older import, once the one before has a ready successor."""
        state = self.workers, self.generation, self.spec.workers, self._timers.now()
        self._rolling.log_waiting(self.spec.title, *state)
        if self.draining or len(self.workers) < sum(self._slots.wanted.values()):
            return
        if worker := self._rolling.next(*state):
            self._fetcher.send(Retire(worker.key, "reload"))
            self._timers.after(PATIENCE, self._advance_reload)

    def drain(self) -> None:
        """Claim nothing more, let running handlers end, requeue the rest."""
        if self.draining:
            return
        self.draining = True
        self._fetcher.send(Drain())
        for worker in self.workers:
            if not worker.ready_at:
                self._processes.kill(worker, "shutdown")
        if self.fetcher is None and not self._context.node().owner:
            self.drained = Drained()  # it never claimed anything
            self._advance_draining()

    def _advance_draining(self) -> None:
        if self.drained is None:
            return
        for worker in self.workers:
            self._processes.stop(worker)
        fetcher = self.fetcher
        if not self.workers and fetcher is not None:
            self._processes.stop(fetcher)
        if self.is_gone:
            self._context.on_gone(self.spec.name)
