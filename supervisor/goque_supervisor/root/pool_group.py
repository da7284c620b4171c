"""The root's care for one task type: its fetcher, its worker slots, and who must hear of whose end."""

from __future__ import annotations

import logging
import signal
import time
from typing import TYPE_CHECKING, Any

from goque_supervisor.ipc import os_process
from goque_supervisor.ipc.control import (
    CallbackDone,
    CallbackWanted,
    CheckIdle,
    CrashSettled,
    Drain,
    Drained,
    Interrupt,
    Message,
    NewOwner,
    PauseClaiming,
    Replace,
    Retire,
    WorkerExited,
)
from goque_supervisor.ipc.exit_cause import ExitCause
from goque_supervisor.ipc.run_directory import remove_worker_files
from goque_supervisor.root.child import Child
from goque_supervisor.root.restart_policy import Backoff, BootWatch, Intensity
from goque_supervisor.root.tree import ChildSpec, NurseryKind, PoolGroupSpec

if TYPE_CHECKING:
    from goque_supervisor.root.supervisor import Root

log = logging.getLogger("goque.supervisor")

CALLBACK_LIMIT = 5.0


class PoolGroup:
    """One task type of the tree."""

    def __init__(self, root: Root, spec: PoolGroupSpec) -> None:
        self.root = root
        self.spec = spec
        self.epoch = 0
        self.generation = 0
        self.boot = BootWatch()
        self.unburied: dict[int, WorkerExited] = {}
        self.idle = False
        self.idle_check = 0
        self.draining = False
        self.drained: Drained | None = None
        self._boxes: dict[int, str] = {}
        self._fetcher_backoff = Backoff()
        self._fetcher_not_before = 0.0
        self._intensity = Intensity()
        self._slot_backoffs: dict[int, Backoff] = {}
        self._slot_not_before: dict[int, float] = {}
        self.restarts: dict[str, int] = {}
        self._calls: dict[int, int] = {}

    # -- keeping it complete -------------------------------------------------------------------------

    @property
    def fetcher(self) -> Child | None:
        """The living fetcher."""
        return self.root.family.children.named(self.spec.fetcher.name)

    @property
    def workers(self) -> list[Child]:
        """The living workers."""
        return self.root.family.children.workers(self.spec.type)

    def fill(self) -> None:
        """Start what is missing: the fetcher once the node has a lease, and a worker in each empty slot."""
        try:
            self._start_fetcher()
            self._start_workers()
        except OSError as error:
            self.root.start_failed(f"a process of type {self.spec.type!r}", str(error), self.fill)

    def _start_fetcher(self) -> None:
        now = time.monotonic()
        if self.fetcher or not self.root.tenure.owner or now < self._fetcher_not_before or self._is_over:
            return
        boot = {
            "task_type": self.spec.type,
            "processor": self.spec.processor,
            "endpoint": self.root.run_directory.endpoint(self.spec.type),
            "secret_key": self.spec.keys[1],
            "counters": str(self.root.run_directory.counters("fetcher", self.spec.type)),
            "drain": self.root.options.drain,
        }
        self.epoch += 1
        fetcher = self.root.start(self.spec.fetcher, boot, group=self)
        if fetcher is None:
            return
        fetcher.channel.send(self.root.adopt_order(self))
        if self._holds:
            fetcher.channel.send(PauseClaiming(hold=True))
        if self.draining:
            fetcher.channel.send(Drain())
        for worker in self.workers:
            if worker.retire_reason:
                fetcher.channel.send(Retire(worker.key, worker.retire_reason))

    def _start_workers(self) -> None:
        if self.draining:
            return
        taken = {worker.slot for worker in self.workers}
        slots = [slot for slot in range(self.spec.workers) if slot not in taken]
        if self.boot.held:
            slots = slots[:1] if not taken else []  # the canary
        now = time.monotonic()
        for slot in slots:
            if now >= self._slot_not_before.get(slot, 0.0):
                self._start_worker(slot)

    def _start_worker(self, slot: int) -> None:
        boot = {
            "task_type": self.spec.type,
            "slot": slot,
            "endpoint": self.root.run_directory.endpoint(self.spec.type),
            "server_key": self.spec.keys[0],
        }
        self.root.start(self.spec.worker(slot), boot, group=self, slot=slot)

    @property
    def _is_over(self) -> bool:
        return self.drained is not None and not self.workers

    # -- what happens to its processes ---------------------------------------------------------------

    def on_started(self, child: Child) -> None:
        """Tell the fetcher of a new worker."""
        if child.spec.role == "worker":
            self._tell_fetcher(child.as_worker())

    def on_ready(self, child: Child) -> None:
        """Note that a process came up."""
        if child.spec.role != "worker":
            return
        was_held = self.boot.held
        self.boot.booted()
        if was_held:
            log.info("workers of type %r boot again: claiming goes on", self.spec.type)
            self.tell_hold()
            self._slot_not_before.clear()
            self.fill()
        self.advance_reload()

    def on_exit(self, child: Child, cause: ExitCause, max_rss: int) -> None:
        """Tell whom it concerns, and start another."""
        if child.spec.role == "fetcher":
            self._on_fetcher_exit(child, cause)
        else:
            self._on_worker_exit(child, cause, max_rss)
        if self.draining:
            self._advance_draining()

    def _on_fetcher_exit(self, child: Child, cause: ExitCause) -> None:
        self.idle = False
        if self._is_over:
            return
        if child.killed_for != "reload":
            log.warning(
                "%s (pid %d) ended by %s: another adopts its workers", child.spec.name, child.pid, cause
            )
            self.root.restarts["fetcher"] += 1
            delay = self._fetcher_backoff.after_exit(time.monotonic() - child.started_at)
            if self._intensity.too_many(time.monotonic()):
                log.error("the fetcher of type %r keeps dying: its workers are restarted too", self.spec.type)
                self.kill_workers("group")
            if delay:
                self._fetcher_not_before = time.monotonic() + delay
                self.root.timers.after(delay, self.fill)
        self.fill()

    def _on_worker_exit(self, child: Child, cause: ExitCause, max_rss: int) -> None:
        assert child.box is not None
        contents = child.box.read()
        notice = WorkerExited(
            child.key,
            child.pid,
            str(child.box.path),
            cause.exit_code,
            cause.signal,
            child.killed_for,
            child.killed_seq,
            max_rss,
            _oom_evidence(child, cause),
        )
        self.unburied[child.key] = notice
        self._tell_fetcher(notice)
        if self.draining:
            return
        delay = self._delay_before_next(child, cause, crashed=bool(contents.running))
        if delay:
            self._slot_not_before[child.slot] = time.monotonic() + delay
            self.root.timers.after(delay, self.fill)
        self.fill()

    def _delay_before_next(self, child: Child, cause: ExitCause, *, crashed: bool) -> float:
        reason = _restart_reason(child)
        self.restarts[reason] = self.restarts.get(reason, 0) + 1
        if not child.ready_at and child.killed_for in (None, "boot"):
            ended = f"{child.spec.name} (pid {child.pid}) ended by {cause} before it could take a task"
            return self._on_boot_failure(ended)
        if crashed or child.killed_for is not None or child.retire_reason:
            return 0.0
        log.warning("%s (pid %d) ended by %s while it was idle", child.spec.name, child.pid, cause)
        backoff = self._slot_backoffs.setdefault(child.slot, Backoff())
        return backoff.after_exit(time.monotonic() - child.started_at)

    def on_unstarted(self, child: Child, why: str) -> None:
        """Try again in a while to start what could not be started; a type that ends needs no worker."""
        if self.draining and child.spec.role == "worker":
            self._advance_draining()
        else:
            self.root.start_failed(child.spec.name, why, self.fill)

    def on_stillborn(self, child: Child, why: str) -> None:
        """Note that a worker died before the root had heard of its process."""
        delay = self._on_boot_failure(f"{child.spec.name} cannot be started: {why}")
        if not self.draining:
            self._slot_not_before[child.slot] = time.monotonic() + delay
            self.root.timers.after(delay, self.fill)
        else:
            self._advance_draining()

    def _on_boot_failure(self, what: str) -> float:
        delay = self.boot.failed()
        log.error("%s", what)
        if self.boot.held:
            self.tell_hold()
            if self.root.no_type_can_boot():
                self.root.stop_for_want_of_workers()
            log.error(
                "workers of type %r cannot boot: its tasks wait, one worker is tried every 30s",
                self.spec.type,
            )
        return delay

    def kill_workers(self, reason: str) -> None:
        """Kill all workers of the type; what they ran is given back."""
        for worker in self.workers:
            if worker.killed_for is None:
                self.root.family.kill(worker, reason)

    # -- what its processes say ------------------------------------------------------------------------

    def on_message(self, child: Child, message: Message) -> None:
        """Do what the fetcher, or the child that runs a callback, asks for."""
        match message:
            case Interrupt(incarnation, seq, reason):
                self._interrupt(incarnation, seq, reason)
            case Replace(incarnation, reason):
                self._replace(incarnation, reason)
            case CrashSettled(incarnation):
                notice = self.unburied.pop(incarnation, None)
                if notice is not None:
                    remove_worker_files(notice.box)
            case Drained():
                self.drained = message
                self._advance_draining()
            case CallbackWanted(call, crash):
                self._start_callback(call, crash)
            case CallbackDone():
                self._calls.pop(child.key, None)
                self._tell_fetcher(message)

    def _interrupt(self, incarnation: int, seq: int, reason: str) -> None:
        worker = self.root.family.children.by_key(incarnation)
        if worker is not None:
            self.root.family.interrupt(worker, seq, reason, self.spec.grace)

    def _replace(self, incarnation: int, reason: str) -> None:
        worker = self.root.family.children.by_key(incarnation)
        if worker is None:
            return
        worker.retire_reason = reason
        if reason == "unresponsive":
            log.error("%s (pid %d) takes no tasks: replacing it", worker.spec.name, worker.pid)
            self.root.family.kill(worker, reason)
        else:
            log.info("%s (pid %d) is replaced: %s", worker.spec.name, worker.pid, reason)
            self.root.family.stop(worker)

    def _start_callback(self, call: int, crash: str) -> None:
        spec = ChildSpec(f"callback[{self.spec.type}:{call}]", "callback", NurseryKind.APP)
        try:
            child = self.root.start(
                spec, {"task_type": self.spec.type, "crash": crash, "call": call}, group=self
            )
        except OSError as error:
            log.error("the crash handler of type %r cannot be started: %s", self.spec.type, error)  # noqa: TRY400 - the sentence tells all
            child = None
        if child is None:
            self._tell_fetcher(CallbackDone(call))
            return
        self._calls[child.key] = call
        self.root.timers.after(CALLBACK_LIMIT, lambda: self._end_slow_callback(child))

    def _end_slow_callback(self, child: Child) -> None:
        if child.key in self._calls and self.root.family.children.by_key(child.key):
            log.error("the crash handler of type %r takes over %gs: killed", self.spec.type, CALLBACK_LIMIT)
            self.root.family.kill(child, "callback")

    def callback_ended(self, key: int) -> None:
        """Answer for a callback that ended without an answer."""
        call = self._calls.pop(key, None)
        if call is not None:
            self._tell_fetcher(CallbackDone(call))

    # -- orders from above ------------------------------------------------------------------------------

    def new_owner(self, owner: str) -> None:
        """Tell the fetcher the name to claim under; empty to claim nothing."""
        self._tell_fetcher(NewOwner(owner))

    def tell_hold(self) -> None:
        """Tell the fetcher whether it is to leave the table alone."""
        self._tell_fetcher(PauseClaiming(hold=self._holds))

    @property
    def _holds(self) -> bool:
        return self.boot.held or self.root.is_quiet

    def ask_idle(self, check: int) -> None:
        """Have the fetcher look once more whether anything is left."""
        self._tell_fetcher(CheckIdle(check))

    def reload(self, spec: PoolGroupSpec, generation: int) -> None:
        """Replace the workers one by one by those of a newer import, and the fetcher if the options changed."""
        changed = spec.processor != self.spec.processor
        self.spec = spec
        self.generation = generation
        self._slot_not_before.clear()  # new code deserves a new try at once
        fetcher = self.fetcher
        if changed and fetcher:
            self.root.family.kill(fetcher, "reload")  # the next one adopts: nothing is lost by it
        self.advance_reload()
        self.fill()

    def advance_reload(self) -> None:
        """Retire the next worker of an older import, once the one before has a ready successor."""
        workers = self.workers
        if self.draining or not all(worker.ready and not worker.retire_reason for worker in workers):
            return
        if len(workers) < self.spec.workers:
            return
        for worker in workers:
            if worker.generation < self.generation or worker.slot >= self.spec.workers:
                worker.retire_reason = "reload"
                self._tell_fetcher(Retire(worker.key, "reload"))
                return

    def drain(self) -> None:
        """Claim nothing more, let running handlers end, give back the rest."""
        if not self.draining:
            self.draining = True
            self._tell_fetcher(Drain())
            for worker in self.workers:
                if not worker.ready_at:
                    self.root.family.kill(worker, "shutdown")
            if self.fetcher is None and not self.root.tenure.owner:
                self.drained = Drained()  # it never claimed anything
                self._advance_draining()

    @property
    def is_gone(self) -> bool:
        """Whether nothing of this type runs here any more."""
        return self.draining and not self.workers and self.fetcher is None

    def _advance_draining(self) -> None:
        if self.drained is None:
            return
        for worker in self.workers:
            self.root.family.stop(worker)
        fetcher = self.fetcher
        if not self.workers and fetcher is not None:
            self.root.family.stop(fetcher)
        if self.is_gone and self.root.stopping is None:
            self.root.groups.pop(self.spec.type, None)

    def state(self) -> dict[str, Any]:
        """Describe the group for monitor and lease."""
        workers = self.workers
        return {
            "slots": self.spec.workers,
            "workers": len(workers),
            "ready": sum(worker.ready for worker in workers),
            "fetcher": bool(self.fetcher and self.fetcher.ready_at),
            "held": self.boot.held,
            "restarts": self.restarts,
        }

    def _tell_fetcher(self, message: Message) -> None:
        fetcher = self.fetcher
        if fetcher is not None:
            fetcher.channel.send(message)


def _restart_reason(child: Child) -> str:
    """Say why a worker is replaced, in the few words that metrics know: who was stopped for a task had a timeout."""
    if child.retire_reason in ("memory", "tasks", "reload"):
        return child.retire_reason
    return "timeout" if child.killed_for in ("timeout", "canceled") else "crash"


def _oom_evidence(child: Child, cause: ExitCause) -> str | None:
    if cause.signal != signal.SIGKILL or child.killed_for is not None:
        return None
    kills = os_process.oom_kills() - child.oom_before
    return f"the kernel killed {kills} process(es) for memory while this one lived" if kills > 0 else None
