"""The processes of the tree as the root starts, watches, ends and reaps them; others decide what an exit means."""

from __future__ import annotations

import itertools
import logging
import os
import resource  # noqa: F401 - os.wait4 imports it at its first call, which must not wait for a descriptor to be free
import selectors
import signal
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from goque_supervisor.ipc import os_process
from goque_supervisor.ipc.blackbox import BlackBox
from goque_supervisor.ipc.control import Channel, StartChild, Stop
from goque_supervisor.ipc.exit_cause import ExitCause
from goque_supervisor.ipc.run_directory import RunDirectory, remove_worker_files
from goque_supervisor.root.child import Child, Children
from goque_supervisor.root.guard import Guard
from goque_supervisor.root.tree import ChildSpec

if TYPE_CHECKING:
    from goque_supervisor.root.nursery_process import NurseryProcess
    from goque_supervisor.root.pool_group import PoolGroup

log = logging.getLogger("goque.supervisor")

HANG_AFTER = 15.0
BOOT_LIMIT = 120.0
STACK_TIME = 0.01
DEAF_FOR = 0.2
SWEEP_LIMIT = 5.0


class ProcessTable:
    """Every child of the root but the nurseries: the root, as subreaper, is the parent of them all.

    Args:
        run: where black boxes are made.
        selector: the root's; channels of children are registered in it with their Child.
        on_exit: called with each child that has ended, how, and its peak memory in bytes.
        on_stranger: called with the pid and the cause when a process ended that is no child known here.
        last_words: called before an unknown pid is taken for a stranger's, and with a child before its channel closes.
    """

    def __init__(
        self,
        run: RunDirectory,
        selector: selectors.BaseSelector,
        *,
        on_exit: Callable[[Child, ExitCause, int], None],
        on_stranger: Callable[[int, ExitCause], None],
        last_words: Callable[[Child | None], None],
    ) -> None:
        self.children = Children()
        self.guard = Guard()
        self._run = run
        self._selector = selector
        self._on_exit = on_exit
        self._on_stranger = on_stranger
        self._last_words = last_words
        self._keys = itertools.count(1)

    # -- starting ------------------------------------------------------------------------------------

    def start(
        self,
        spec: ChildSpec,
        boot: dict[str, Any],
        nursery: NurseryProcess,
        group: PoolGroup | None = None,
        slot: int = 0,
    ) -> Child:
        """Ask a nursery for a child. Raises OSError when the system has no descriptor or disk block left."""
        channel, theirs = Channel.pair()
        child = Child(
            spec,
            next(self._keys),
            channel,
            nursery.generation,
            time.monotonic(),
            task_type=group.spec.type if group else "",
            slot=slot,
            oom_before=os_process.oom_kills() if spec.role == "worker" else 0,
        )
        if spec.role == "worker" and group is not None:
            child.box = self._make_box(child, group)
            child.identity = f"{slot}.{child.key}.{os.urandom(6).hex()}"
            boot = {**boot, "box": str(child.box.path), "identity": child.identity}
        self.children.add(child)
        self._selector.register(channel, selectors.EVENT_READ, child)
        request = StartChild(child.key, {**boot, "incarnation": child.key})
        nursery.channel.send(request, descriptor=theirs.fileno())
        theirs.close()
        return child

    def _make_box(self, child: Child, group: PoolGroup) -> BlackBox:
        path = self._run.box(child.task_type, child.slot, child.key)
        BlackBox.create(path, jobs=group.spec.most_jobs)
        return BlackBox(path)

    def started(self, key: int, pid: int) -> Child | None:
        """Note the pid of a child that a nursery has forked; returns the child."""
        child = self.children.by_key(key)
        if child is not None:
            self.children.has_pid(child, pid)
            child.beat_at = time.monotonic()
            self.guard.add(pid)
            if child.killed_for is not None:
                self.kill(child, child.killed_for)
        return child

    def not_started(self, key: int) -> Child | None:
        """Forget a child that could not be forked; returns it."""
        child = self.children.by_key(key)
        if child is not None and child.pid:
            return None  # it was started before what started it ended: its own exit will tell
        if child is not None:
            self._drop(child)
            if child.box is not None:
                remove_worker_files(child.box.path)
                child.box.close()
        return child

    # -- ending --------------------------------------------------------------------------------------

    def kill(self, child: Child, reason: str) -> None:
        """Kill a child now; its exit will tell `reason` to whom it concerns."""
        child.killed_for = reason
        if child.pid:
            if reason in ("timeout", "canceled"):
                _ask_for_stack(child)
            os_process.kill_group(child.pid)
            os_process.kill(child.pid)

    def stop(self, child: Child) -> None:
        """Ask a child to end; it is killed when it takes longer than its specification allows."""
        if not child.stop_by:
            child.stop_by = time.monotonic() + child.spec.shutdown
            child.channel.send(Stop())

    def unwatch(self, child: Child) -> None:
        """Wait for a child's channel no longer."""
        if child.watched:
            self._selector.unregister(child.channel)
            child.watched = False

    def _drop(self, child: Child) -> None:
        self.unwatch(child)
        child.channel.close()
        self.children.remove(child)

    def reap(self) -> None:
        """Take note of every process that has ended."""
        while True:
            try:
                found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if found is None:
                return
            self._reap_one(found.si_pid)

    def _reap_one(self, pid: int) -> None:
        child = self.children.by_pid(pid)
        if child is None:
            self._last_words(None)  # its pid may be on the way from the nursery
            child = self.children.by_pid(pid)
        if child is not None:
            os_process.kill_group(pid)  # before the pid is reaped, so that it cannot name another group
            self.guard.discard(pid)
        _pid, status, usage = os.wait4(pid, 0)
        cause = ExitCause.from_status(os.waitstatus_to_exitcode(status))
        if child is None:
            self._on_stranger(pid, cause)
            return
        self._last_words(child)
        self._drop(child)
        self._on_exit(child, cause, usage.ru_maxrss * (1024 if os_process.IS_LINUX else 1))
        if child.box is not None:
            child.box.close()

    # -- watching ------------------------------------------------------------------------------------

    def scan(self, now: float) -> None:
        """Kill who is past its deadline, hangs, or hears no orders any more."""
        for child in self.children:
            child.channel.flush()
            if not child.pid or child.killed_for is not None:
                continue
            if child.stop_by and now >= child.stop_by:
                self.kill(child, "stop")
            elif not child.ready_at and now - child.beat_at > BOOT_LIMIT:
                log.error(
                    "%s (pid %d) is not ready after %gs: killing it", child.spec.name, child.pid, BOOT_LIMIT
                )
                self.kill(child, "boot")
            elif child.channel.closed and not (child.box and child.box.read().running):
                self._consider_deaf(child, now)
            elif child.box is not None:
                self._scan_worker(child, child.box, now)
            elif child.ready_at and now - child.beat_at > HANG_AFTER:
                log.error(
                    "%s (pid %d) has not moved for %gs: killing it", child.spec.name, child.pid, HANG_AFTER
                )
                self.kill(child, "hung")

    def _consider_deaf(self, child: Child, now: float) -> None:
        """Kill a child that closed its channel and lives on: one that has just died is no longer heard either."""
        if not child.deaf_since:
            child.deaf_since = now
        elif now - child.deaf_since >= DEAF_FOR:
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
        """Stop a running job politely; its worker is killed if the job still runs after the grace in seconds."""
        if child.box is None or not child.pid or child.killed_for is not None:
            return
        child.box.leave_interrupt(seq, reason)
        child.interrupts.setdefault(seq, (time.monotonic() + grace, reason))
        os.kill(child.pid, signal.SIGUSR1)

    def sweep(self) -> None:
        """Leave nothing behind: kill and reap whatever is still a child of this process."""
        deadline = time.monotonic() + SWEEP_LIMIT
        self.guard.dismiss()
        while _reap_all() and time.monotonic() < deadline:
            for pid in os_process.children():
                if pid != self.guard.pid:
                    os_process.kill_group(pid)
                    os_process.kill(pid)
            time.sleep(0.002)
        for child in self.children:
            self._drop(child)
            if child.box is not None:
                child.box.close()


def _ask_for_stack(worker: Child) -> None:
    """Have a worker write down where it hangs (worker_process.py), in the little time before it is killed."""
    try:
        os.kill(worker.pid, signal.SIGUSR2)
    except ProcessLookupError:
        return  # it has just ended by itself
    time.sleep(STACK_TIME)


def _reap_all() -> bool:
    """Reap what has ended; returns whether children are left."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True
