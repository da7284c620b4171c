"""The loop of the root: one thread and one blocking wait for signals, child exits, messages and timers.

It makes the processes, in this order: the guard, the two nurseries, and through them all others. What happens to them
is handed to `Root`, which decides. When the tree has ended, the loop kills and reaps whatever is left.
"""

from __future__ import annotations

import gc
import logging
import os
import selectors
import signal
import time
from typing import Any, Final

from goque.telemetry.logs import format_here
from goque_supervisor.ipc import os_process
from goque_supervisor.ipc.control import DatabaseAway, DatabaseBack
from goque_supervisor.ipc.exit_cause import ExitCause
from goque_supervisor.ipc.run_directory import RunDirectory
from goque_supervisor.root.box_space import why_boxes_cannot_fit
from goque_supervisor.root.child import Child
from goque_supervisor.root.database_outage import DatabaseOutage
from goque_supervisor.root.nurseries import Nurseries
from goque_supervisor.root.nursery_process import NurseryProcess
from goque_supervisor.root.process_table import HANG_AFTER, ProcessTable
from goque_supervisor.root.services import METRICS_DIRECTORY
from goque_supervisor.root.supervisor import Root
from goque_supervisor.root.timers import Timers
from goque_supervisor.root.tree import ChildSpec, build_tree
from goque_supervisor.settings import SuperviseOptions

log = logging.getLogger("goque.supervisor")

SCAN_PERIOD: Final = 0.25
STATE_PERIOD: Final = 1.0
REFUSED_PAUSE: Final = 0.1
SIGNALS: Final = (
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGHUP,
    signal.SIGCHLD,
    signal.SIGUSR1,
    signal.SIGUSR2,
)


class EventLoop:
    """Runs a tree; `run` returns the exit code of `goque supervise`."""

    def __init__(
        self, options: SuperviseOptions, run_directory: RunDirectory, *, registry_fd: int | None = None
    ) -> None:
        self._options = options
        self._run_directory = run_directory
        self._registry_fd = registry_fd
        self._timers = Timers()
        self._outage = DatabaseOutage()
        self._selector = selectors.DefaultSelector()
        self._nurseries = Nurseries(
            options,
            os.getpid(),
            self._selector,
            self._timers,
            registry_fd,
            on_ready=self._on_nurseries_ready,
            on_failed=lambda *what: self._root.give_up(*what),  # noqa: PLW0108 - the root is made after its nurseries
            on_child_started=self._on_child_started,
            on_child_failed=self._on_child_failed,
            on_reloaded=lambda *what: self._root.on_reloaded(*what),  # noqa: PLW0108 - the same
            on_ended=self._on_nursery_ended,
        )
        self._processes = ProcessTable(
            run_directory,
            self._selector,
            nursery=self._nurseries.find_ready,
            common_boot=self._common_boot,
            on_exit=lambda *what: self._root.on_exit(*what),  # noqa: PLW0108 - the same
            on_unknown_exit=self._on_unknown_exit,
            drain_channel=self._drain_channel,
        )
        self._root = Root(options, run_directory, self._processes, self._nurseries, self._timers)

    def run(self) -> int:
        """Run the tree until it has ended; returns the exit code."""
        inbox = self._catch_signals()
        os_process.become_subreaper()
        os_process.set_name("goque:root")
        gc.freeze()  # what is loaded by now stays; collecting it again would unshare its pages with the children
        try:
            if self._options.http:
                os.environ[METRICS_DIRECTORY] = str(self._run_directory.metrics)
            self._processes.guard.start()
            self._nurseries.open()
            self._timers.every(SCAN_PERIOD, self._scan)
            self._timers.after(SCAN_PERIOD, self._check_lease)
            self._timers.every(STATE_PERIOD, self._root.send_state)
            while self._root.end is None:
                self._turn_unless_refused(inbox)
            return self._root.end.exit_code
        finally:
            self._clean_up()

    def _clean_up(self) -> None:
        signal.set_wakeup_fd(-1)
        self._processes.sweep()
        self._nurseries.close()
        self._selector.close()
        if self._root.end is not None and self._root.end.keep_black_boxes:
            self._run_directory.leave_black_boxes()
        else:
            self._run_directory.remove()

    def _turn_unless_refused(self, inbox: int) -> None:
        """Wait once and handle what came; the tree goes on when the system has no descriptor, memory or disk left."""
        try:
            self._turn(inbox)
        except OSError:
            log.exception("a system call failed: the tree continues")
            time.sleep(REFUSED_PAUSE)

    def _turn(self, inbox: int) -> None:
        for key, _events in self._selector.select(self._timers.seconds_left()):
            match key.data:
                case None:
                    for number in sorted(os.read(inbox, 512), key=signal.SIGCHLD.__eq__):  # orders come first
                        self._on_signal(signal.Signals(number))
                case NurseryProcess() as nursery:
                    self._nurseries.read(nursery)
                case Child() as child:
                    self._read_child(child)
        self._timers.run_due()

    def _check_lease(self) -> None:
        """Check the lease at the moment when it can be lost, and each `SCAN_PERIOD`, because heartbeats put it off."""
        self._timers.after(min(SCAN_PERIOD, self._root.check_lease()), self._check_lease)

    def _scan(self) -> None:
        now = self._timers.now()
        self._processes.reap()  # as well as at each SIGCHLD: one reaping may have been broken off
        self._processes.scan(now)
        for child in self._processes.living():
            if not child.pid and now - child.started_at > HANG_AFTER:
                self._nurseries.replace_stuck(child.spec.nursery)

    # -- signals ---------------------------------------------------------------------------------------

    def _catch_signals(self) -> int:
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        os.set_blocking(writer, False)
        for number in SIGNALS:
            signal.signal(number, lambda *_: None)  # the wake-up descriptor carries it to the loop
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        signal.pthread_sigmask(
            signal.SIG_UNBLOCK, SIGNALS
        )  # those sent while the interpreter started are pending
        self._selector.register(reader, selectors.EVENT_READ)
        return reader

    def _on_signal(self, number: signal.Signals) -> None:
        if number is signal.SIGCHLD:
            self._processes.reap()
        else:
            self._root.on_signal(number)

    # -- nurseries and children --------------------------------------------------------------------------------------

    def _common_boot(self, spec: ChildSpec) -> dict[str, Any]:
        """Return what every child is told at its start."""
        return {
            "name": spec.name,
            "role": spec.role,
            "app": self._options.app,
            "registry_fd": self._registry_fd,
            "database_url": self._nurseries.app["database_url"],
            "log_format": format_here(self._options.log_format),
            "log_level": self._options.log_level,
            "node_is_up": self._root.node.is_up,
        }

    def _read_child(self, child: Child) -> None:
        for message in child.channel.receive():
            match message:
                case DatabaseAway(text):
                    self._outage.on_away(child.spec.name, text, self._timers.now())
                case DatabaseBack():
                    self._outage.on_back(self._timers.now())
                case _:
                    self._root.on_message(child, message)
        if child.channel.closed:
            self._processes.unwatch(child)

    def _drain_channel(self, child: Child | None) -> None:
        if child is None:
            self._nurseries.read_all()
        else:
            self._read_child(child)

    def _on_child_started(self, key: int, pid: int) -> None:
        child = self._processes.started(key, pid)
        if child is not None:
            self._root.on_child_started(child)

    def _on_child_failed(self, key: int, why: str, died: bool) -> None:  # noqa: FBT001 - as the message has it
        child = self._processes.not_started(key)
        if child is not None:
            self._root.on_child_not_started(child, why, died=died)

    def _on_nurseries_ready(self) -> None:
        too_small = why_boxes_cannot_fit(self._run_directory, build_tree(self._options, self._nurseries.app))
        if too_small is None:
            self._root.on_nurseries_ready()
        else:
            self._root.give_up(too_small, 2)

    def _on_nursery_ended(self, nursery: NurseryProcess) -> None:
        if self._root.end is not None:
            return
        self._root.on_nursery_ended()
        for child in self._processes.living():
            if not child.pid and child.spec.nursery is nursery.kind:
                self._on_child_failed(child.key, "its nursery ended", False)

    def _on_unknown_exit(self, pid: int, cause: ExitCause) -> None:
        is_ending = self._root.end is not None or self._root.node.is_stopping
        if pid == self._processes.guard_pid and not is_ending:
            log.warning("the guard (pid %d) ended by %s: starting another", pid, cause)
            self._root.child_restarts["guard"] += 1
            self._processes.guard.start()
        else:
            self._nurseries.on_exit(pid, cause, final=is_ending)
