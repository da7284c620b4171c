"""The processes of the tree: the root starts, watches, ends and reaps them here. Others decide what an exit means."""

from __future__ import annotations

import itertools
import logging
import os
import resource  # noqa: F401 - os.wait4 imports it at its first call, which must not wait for a descriptor to be free
import selectors
import signal
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from goque_supervisor.ipc import os_process
from goque_supervisor.ipc.blackbox import BlackBox
from goque_supervisor.ipc.channel import Channel
from goque_supervisor.ipc.control import StartChild, Stop
from goque_supervisor.ipc.exit_cause import ExitCause
from goque_supervisor.ipc.run_directory import RunDirectory, remove_worker_files
from goque_supervisor.root.child import Child, Children
from goque_supervisor.root.guard import Guard
from goque_supervisor.root.last_stacks import LEAVE_STACKS, await_last_stacks
from goque_supervisor.root.nursery_process import NurseryProcess
from goque_supervisor.root.tree import ChildSpec, NurseryKind

log = logging.getLogger("goque.supervisor")

HANG_AFTER: Final = 15.0
BOOT_LIMIT: Final = 120.0
CLOSED_LIMIT: Final = 0.2
SWEEP_LIMIT: Final = 5.0


class ProcessTable:
    """Every child of the root but the nurseries: the root, as subreaper, is the parent of them all.

    Args:
        run_directory: where black boxes are made.
        selector: the root's; channels of children are registered in it with their Child.
        nursery: returns the nursery of a kind if it can fork children.
        common_boot: returns what every child is told at its start.
        on_exit: called with each child that has ended, how, and its peak memory in bytes.
        on_unknown_exit: called with the pid and the cause when a process ended that is no child in this table.
        drain_channel: called to read what was sent before an exit: by a child, or by the nurseries if it is None.
    """

    def __init__(
        self,
        run_directory: RunDirectory,
        selector: selectors.BaseSelector,
        *,
        nursery: Callable[[NurseryKind], NurseryProcess | None],
        common_boot: Callable[[ChildSpec], dict[str, Any]],
        on_exit: Callable[[Child, ExitCause, int], None],
        on_unknown_exit: Callable[[int, ExitCause], None],
        drain_channel: Callable[[Child | None], None],
    ) -> None:
        self.guard = Guard()
        self._children = Children()
        self._run_directory = run_directory
        self._selector = selector
        self._nursery = nursery
        self._common_boot = common_boot
        self._on_exit = on_exit
        self._on_unknown_exit = on_unknown_exit
        self._drain_channel = drain_channel
        self._keys = itertools.count(1)

    # -- finding -------------------------------------------------------------------------------------

    @property
    def guard_pid(self) -> int:
        """The pid of the guard."""
        return self.guard.pid

    def find(self, name: str) -> Child | None:
        """Return the newest living child of this name."""
        return self._children.named(name)

    def workers(self, pool: str) -> list[Child]:
        """Return the living workers of a type."""
        return self._children.workers(pool)

    def living(self) -> list[Child]:
        """Return every child from the request to start it until it is reaped."""
        return list(self._children)

    # -- starting ------------------------------------------------------------------------------------

    def start(self, spec: ChildSpec, boot: dict[str, Any]) -> Child | None:
        """Ask a nursery for a child; None while the nursery is not up, which asks again when it is.

        Raises:
            OSError: the system has no descriptor or disk block left.
        """
        nursery = self._nursery(spec.nursery)
        if nursery is None:
            return None
        channel, theirs = Channel.pair()
        version = nursery.app.get("app_version")
        child = Child(spec, next(self._keys), channel, nursery.generation, time.monotonic(), version)
        boot = {**self._common_boot(spec), **boot, "incarnation": child.key}
        if spec.role == "worker":
            child.oom_before = os_process.oom_kills()
            child.box = self._make_box(child)
            child.identity = f"{child.slot}.{child.key}.{os.urandom(6).hex()}"
            boot |= {"box": str(child.box.path), "identity": child.identity}
        self._children.add(child)
        self._selector.register(channel, selectors.EVENT_READ, child)
        nursery.channel.send(StartChild(child.key, boot), descriptor=theirs.fileno())
        theirs.close()
        return child

    def _make_box(self, worker: Child) -> BlackBox:
        path = self._run_directory.box(worker.pool, worker.slot, worker.key)
        try:
            BlackBox.create(path, jobs=worker.spec.max_jobs)
            return BlackBox(path)
        except OSError as error:  # one of the disk has no file name of its own
            raise OSError(error.errno, error.strerror, str(self._run_directory.base)) from error

    def started(self, key: int, pid: int) -> Child | None:
        """Set the pid of a child that a nursery has forked; returns the child."""
        child = self._children.by_key(key)
        if child is not None:
            self._children.set_pid(child, pid)
            child.beat_at = time.monotonic()
            self.guard.add(pid)
            if child.killed_for is not None:
                self.kill(child, child.killed_for)
        return child

    def not_started(self, key: int) -> Child | None:
        """Forget a child that could not be forked; returns it."""
        child = self._children.by_key(key)
        if child is not None and child.pid:
            return None  # it was forked before its nursery ended: its own exit is handled
        if child is not None:
            self._drop(child)
            if child.box is not None:
                remove_worker_files(child.box.path)
                child.box.close()
        return child

    # -- ending --------------------------------------------------------------------------------------

    def kill(self, child: Child, reason: str) -> None:
        """Kill a child now; `reason` is read when its exit is handled."""
        self.kill_all([child], reason)

    def kill_all(self, children: Sequence[Child], reason: str) -> None:
        """Kill children now. Handlers that have not stopped in time leave their stacks before."""
        for child in children:
            child.killed_for = reason
        living = [child for child in children if child.pid]
        if reason in LEAVE_STACKS:
            await_last_stacks(living)
        for child in living:
            os_process.kill_group(child.pid)
            os_process.kill(child.pid)

    def stop(self, child: Child) -> None:
        """Ask a child to end; it is killed when it takes longer than its specification allows."""
        if not child.stop_by:
            child.stop_by = time.monotonic() + child.spec.shutdown
            child.channel.send(Stop())

    def unwatch(self, child: Child) -> None:
        """Stop waiting for a child's channel."""
        if child.watched:
            self._selector.unregister(child.channel)
            child.watched = False

    def _drop(self, child: Child) -> None:
        self.unwatch(child)
        child.channel.close()
        self._children.remove(child)

    def reap(self) -> None:
        """Handle every process that has ended."""
        while True:
            try:
                found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if found is None:
                return
            self._reap_one(found.si_pid)

    def _reap_one(self, pid: int) -> None:
        child = self._children.by_pid(pid)
        if child is None:
            self._drain_channel(None)  # its pid may be on the way from the nursery
            child = self._children.by_pid(pid)
        if child is not None:
            os_process.kill_group(pid)  # before the pid is reaped, so that it cannot name another group
            self.guard.discard(pid)
        _pid, status, usage = os.wait4(pid, 0)
        cause = ExitCause.from_status(os.waitstatus_to_exitcode(status))
        if child is None:
            self._on_unknown_exit(pid, cause)
            return
        self._drain_channel(child)
        self._drop(child)
        self._on_exit(child, cause, usage.ru_maxrss * (1024 if os_process.IS_LINUX else 1))
        if child.box is not None:
            child.box.close()

    # -- watching ------------------------------------------------------------------------------------

    def scan(self, now: float) -> None:
        """Kill each child that is past its deadline, hangs, or has closed its channel."""
        for child in self._children:
            child.channel.flush()
            if not child.pid or child.killed_for is not None:
                continue
            if child.stop_by and now >= child.stop_by:
                log.warning("%s (pid %d) did not stop in time: killing it", child.spec.name, child.pid)
                self.kill(child, "stop")
            elif not child.ready_at and now - child.beat_at > BOOT_LIMIT:
                log.error(
                    "%s (pid %d) is not ready after %gs: killing it", child.spec.name, child.pid, BOOT_LIMIT
                )
                self.kill(child, "boot")
            elif child.channel.closed and not (child.box and child.box.read().running):
                self._consider_closed(child, now)
            elif child.box is not None:
                self._scan_worker(child, child.box, now)
            elif child.ready_at and now - child.beat_at > HANG_AFTER:
                log.error(
                    "%s (pid %d) has not responded for %gs: killing it",
                    child.spec.name,
                    child.pid,
                    HANG_AFTER,
                )
                self.kill(child, "hung")

    def _consider_closed(self, child: Child, now: float) -> None:
        """Kill a child that closed its channel and lives on; the channel of one that has just died is closed too."""
        if not child.closed_since:
            child.closed_since = now
        elif now - child.closed_since >= CLOSED_LIMIT:
            self.kill(child, "deaf")

    def _scan_worker(self, child: Child, box: BlackBox, now: float) -> None:
        kill_at = box.kill_at  # read once: the worker clears it as soon as its handler ends
        if kill_at and now >= kill_at:
            self.kill(child, "timeout")
            return
        for seq, (deadline, reason) in list(child.interrupts.items()):
            if seq not in box.read().running:
                del child.interrupts[seq]
            elif now >= deadline:
                child.killed_seq = seq
                self.kill(child, reason)
                return

    def interrupt(self, child: Child, seq: int, reason: str, grace: float) -> None:
        """Ask a worker to stop a job; the worker is killed if the job still runs after the grace in seconds."""
        if child.box is None or not child.pid or child.killed_for is not None:
            return
        child.box.leave_interrupt(seq, reason)
        child.interrupts.setdefault(seq, (time.monotonic() + grace, reason))
        os.kill(child.pid, signal.SIGUSR1)

    def ask_for_stack(self, child: Child) -> None:
        """Ask a worker to write its stack to its file. One that does not catch the signal would be ended by it."""
        if child.pid and child.killed_for is None and os_process.catches(child.pid, signal.SIGUSR2):
            os.kill(child.pid, signal.SIGUSR2)

    def sweep(self) -> None:
        """Kill and reap whatever is still a child of this process."""
        deadline = time.monotonic() + SWEEP_LIMIT
        self.guard.dismiss()
        while _reap_all() and time.monotonic() < deadline:
            for pid in os_process.children():
                if pid != self.guard.pid:
                    os_process.kill_group(pid)
                    os_process.kill(pid)
            time.sleep(0.002)
        for child in self._children:
            self._drop(child)
            if child.box is not None:
                child.box.close()


def _reap_all() -> bool:
    """Reap what has ended; returns whether children are left."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True
