"""The root supervisor: it decides what happens to the tree. It runs no user code, so nothing can take it down.

The event loop (event_loop.py) calls it for each signal, message, exit and timer. What it does with them:

1. the app's nursery has described the app: lay out the tree (tree.py), start lease and monitor (services.py) and the
   workers of each pool (pool_groups.py);
2. the node has its lease (node_lease.py): start the fetchers and the other services;
3. a process ends: its group or the services start another by its policy (restart_policy.py);
4. SIGTERM and SIGINT stop the tree in order (shutdown.py), SIGHUP replaces the app (reload.py), SIGUSR1 logs the
   state of the tree (status.py), SIGUSR2 pauses claiming and resumes it.
"""

from __future__ import annotations

import logging
import os
import signal
from collections import Counter
from typing import Any, Final

from goque.telemetry.log_output import say
from goque_supervisor.ipc import os_process
from goque_supervisor.ipc.control import (
    Beat,
    BootFailed,
    CommitsLost,
    Idle,
    LeaseRenewed,
    Message,
    ProtocolError,
    Ready,
    SourceChanged,
    TakeNewName,
    TreeState,
)
from goque_supervisor.ipc.exit_cause import ExitCause
from goque_supervisor.ipc.run_directory import RunDirectory
from goque_supervisor.root.banner import announce
from goque_supervisor.root.child import Child
from goque_supervisor.root.idle_check import IdleCheck
from goque_supervisor.root.lease_clock import LeaseClock
from goque_supervisor.root.node import Node
from goque_supervisor.root.node_lease import NodeLease
from goque_supervisor.root.nurseries import Nurseries
from goque_supervisor.root.pools.pool_groups import PoolGroups
from goque_supervisor.root.process_table import ProcessTable
from goque_supervisor.root.reload import Reload
from goque_supervisor.root.services import Services
from goque_supervisor.root.shutdown import TREE_GAVE_UP, Shutdown, TreeEnd
from goque_supervisor.root.status import Status
from goque_supervisor.root.timers import Timers
from goque_supervisor.root.tree import build_tree
from goque_supervisor.settings import SuperviseOptions

log = logging.getLogger("goque.supervisor")

DATABASE_UNAVAILABLE: Final = 3


class Root:
    """Keeps the tree alive until it is told to stop.

    Attributes:
        end: how the tree ended, None while it runs.
        node: the node's state.
        child_restarts: how often processes were started again, by role.
    """

    def __init__(
        self,
        options: SuperviseOptions,
        run_directory: RunDirectory,
        processes: ProcessTable,
        nurseries: Nurseries,
        timers: Timers,
    ) -> None:
        self.end: TreeEnd | None = None
        self.node = Node(LeaseClock(options.node_timeout), ends_when_idle=options.drain)
        self.child_restarts: Counter[str] = Counter()
        self._options = options
        self._run_directory = run_directory
        self._processes = processes
        self._nurseries = nurseries
        self._timers = timers
        self._is_laid_out = False
        self._shutdown: Shutdown | None = None
        self._were_ready: set[str] = set()
        self._boot_error = "the cause is in the lines above"
        view, restarts = self.node.view, self.child_restarts
        self._groups = PoolGroups(
            processes,
            timers,
            node=view,
            run_directory=run_directory,
            child_restarts=restarts,
            on_no_type_can_boot=self._on_no_type_can_boot,
        )
        self._services = Services(
            options,
            run_directory,
            processes,
            timers,
            node=view,
            app=lambda: nurseries.app,
            child_restarts=restarts,
        )
        kills = options.on_lost_lease == "kill"
        self._lease = NodeLease(
            self.node.lease_clock,
            self._groups,
            kills=kills,
            describe=self._describe_tree,
            ask_new_name=lambda owner: self._services.send("lease", TakeNewName(owner)),
        )
        self._idle_check = IdleCheck(
            self._groups, self._services.failures, self.stop, view, has_healer="healer" in options.roles
        )
        self._reload = Reload(options, nurseries, self._groups, self._services)
        self._status = Status(
            processes, nurseries, self._groups, node=view, child_restarts=restarts, started_at=timers.now()
        )

    # -- signals and timers ----------------------------------------------------------------------------

    def on_signal(self, number: signal.Signals) -> None:
        """Do what an operator's signal asks for."""
        match number:
            case signal.SIGHUP:
                self._begin_reload(number.name)
            case signal.SIGTERM | signal.SIGINT:
                self.stop(number.name)
            case signal.SIGUSR1:
                line, block = self._status.describe_tree(self._timers.now())
                log.info("%s", line, extra={"block": block})
            case signal.SIGUSR2:
                self._pause_or_resume()

    def check_lease(self) -> float:
        """Stop claiming once the lease is lost; returns the seconds until it can be."""
        return self._lease.check(self._timers.now())

    def send_state(self) -> None:
        """Tell monitor and lease how the tree is."""
        state = self._status.tree_state()
        self._services.send("monitor", TreeState(state))
        self._services.send("lease", TreeState({**state, "processes": self._status.list_processes()}))

    def _pause_or_resume(self) -> None:
        """Stop claiming, or go on; what has not started is requeued, what runs is not disturbed."""
        if self._options.drain or self._shutdown is not None:
            log.warning("ignored SIGUSR2, because the tree drains or stops")
            return
        self.node.is_quiet = not self.node.is_quiet
        if self.node.is_quiet:
            log.info("quiet: fetchers claim no tasks until the next SIGUSR2")
        else:
            log.info("no longer quiet: fetchers claim tasks again after SIGUSR2")
        self._groups.send_pause()

    def _begin_reload(self, why: str) -> None:
        if self._shutdown is None and self._is_laid_out:
            self._reload.begin(why)

    # -- the end ---------------------------------------------------------------------------------------

    def stop(self, reason: str, exit_code: int = 0) -> None:
        """Stop the tree in order; asked a second time, kill and requeue what still runs."""
        if self._shutdown is not None:
            self._shutdown.hurry(reason)
        elif not self._is_laid_out:
            log.info("stopping: %s before the tree was up", reason)
            self._end(TreeEnd(0))
        else:
            self._shutdown = Shutdown(
                reason,
                exit_code,
                self._options.shutdown_timeout,
                processes=self._processes,
                groups=self._groups,
                failures=self._services.failures,
                timers=self._timers,
                on_end=self._end,
            )
            self.node.is_stopping = True
            self._shutdown.begin()

    def give_up(self, message: str, exit_code: int) -> None:
        """End the tree at once because it cannot work: one line on stderr, and this exit code."""
        self._end(TreeEnd(exit_code, message))

    def _end(self, end: TreeEnd) -> None:
        if self.end is None:
            self.end = end
            if end.error:
                _say(end.error)

    def _on_no_type_can_boot(self) -> None:
        if self._shutdown is None:
            _say(f"no worker of any type can boot: {self._boot_error}")
            self.stop("no worker can boot", TREE_GAVE_UP)

    # -- what the nurseries report ---------------------------------------------------------------------

    def on_nurseries_ready(self) -> None:
        """Lay out the tree when the app is known, and start what is missing in it."""
        if not self._is_laid_out:
            self._is_laid_out = True
            tree = build_tree(self._options, self._nurseries.app)
            self._services.lay_out(tree)
            self._groups.lay_out(tree.groups)
        self._start_missing()

    def on_reloaded(self, app: dict[str, Any], generation: int) -> None:
        """Move the tree over to a new import of the app; a tree that stops needs none."""
        if self._shutdown is None:
            self._reload.finish(app, generation)

    def on_child_started(self, child: Child) -> None:
        """React to a child that has its pid now."""
        group = self._groups.find(child.pool)
        if group is not None:
            group.on_started(child)

    def on_child_not_started(self, child: Child, why: str, *, died: bool) -> None:
        """React to a child that could not be forked, or that died before its pid was known."""
        if died and child.spec.role == "worker":
            self._boot_error = why
        group = self._groups.find(child.pool)
        if group is not None:
            group.on_not_started(child, why, died=died)
        elif not child.pool:
            self._services.on_not_started(child, why)
        self._advance_shutdown()

    def on_nursery_ended(self) -> None:
        """Count the end of a nursery; the nurseries start another."""
        self.child_restarts["nursery"] += 1

    def _start_missing(self) -> None:
        self._services.start_missing()
        self._groups.start_missing()

    # -- what happens to children ----------------------------------------------------------------------

    def on_exit(self, child: Child, cause: ExitCause, max_rss: int) -> None:
        """React to the end of a child."""
        if self.end is not None:
            return  # the tree ends: nothing is started or sent any more
        group = self._groups.find(child.pool)
        if group is not None:
            group.on_exit(child, cause, max_rss)
        elif not child.pool:
            self._services.on_exit(child, cause)
        self._idle_check.look()
        self._advance_shutdown()

    def _advance_shutdown(self) -> None:
        if self._shutdown is not None:
            self._shutdown.advance()

    def on_message(self, child: Child, message: Message) -> None:
        """Do what a child asks for."""
        child.beat_at = self._timers.now()
        group = self._groups.find(child.pool) or self._services
        match message:
            case Beat():
                pass
            case Ready(info):
                self._on_ready(child, info)
            case BootFailed(text, exit_code):
                self._on_boot_failed(child, text, exit_code)
            case LeaseRenewed(sent_at, seq):
                self._lease.on_renewed(sent_at, seq)
            case CommitsLost(owner, what):
                self._lease.on_commits_lost(owner, what)
            case SourceChanged(paths, count):
                more = f" and {count - len(paths)} more" if count > len(paths) else ""
                self._begin_reload(f"{', '.join(paths)}{more} changed")
            case ProtocolError(why):
                self._on_protocol_error(child, why)
            case _ if group.on_message(child, message):
                if isinstance(message, Idle):
                    self._idle_check.look()
            case _:
                log.error("dropped an unexpected %s from %s", type(message).__name__, child.spec.name)

    def _on_ready(self, child: Child, info: dict[str, Any]) -> None:
        child.ready_at = child.ready_at or self._timers.now()
        self._were_ready.add(child.spec.name)
        group = self._groups.find(child.pool)
        if group is not None:
            group.on_ready(child)
        elif child.spec.role == "lease":
            self._lease.on_ready(info["owner"], info["sent_at"])
            self._come_up()
        elif info.get("recovered"):
            self._idle_check.on_recovered()

    def _on_boot_failed(self, child: Child, text: str, exit_code: int) -> None:
        if child.spec.role == "worker":
            log.error("%s cannot boot: %s", child.spec.name, text)  # its exit decides what follows
            self._boot_error = text
        elif child.spec.name in self._were_ready or self._shutdown is not None or self._may_pass(exit_code):
            log.error("%s cannot work: %s", child.spec.name, text)
        elif self.node.lease_clock.owner:  # in order, so that other nodes see this one leave
            _say(text)
            self.stop(f"{child.spec.name} cannot work", exit_code)
        else:
            self.give_up(text, exit_code)

    def _may_pass(self, exit_code: int) -> bool:
        """Return whether the database went away after the lease was written, so that the set-up is not the cause."""
        return self.node.is_up and exit_code == DATABASE_UNAVAILABLE

    def _on_protocol_error(self, child: Child, why: str) -> None:
        log.error("%s (pid %d) is killed: %s", child.spec.name, child.pid, why)
        if child.pid:
            # without a reason, as if it had crashed: its running task loses an attempt
            os_process.kill(child.pid)
        else:
            self._processes.kill(child, "protocol")

    # -- coming up -------------------------------------------------------------------------------------

    def _come_up(self) -> None:
        """Start what waited for the first lease."""
        if self.node.is_up:
            return
        self.node.is_up = True
        self._groups.start_missing()  # first, so that tasks do not wait for healer and cleaner
        self._services.start_missing()
        pools = [group.spec for group in self._groups]
        announce(self._options, self._nurseries.app, pools, self._services.roles)
        if self._options.drain and not len(self._groups):
            self.stop("nothing to drain")

    def _describe_tree(self, owners: list[str]) -> None:
        """Write down whose tasks this tree may hold, for the trees that find its run directory after a crash."""
        self._run_directory.describe_tree(
            {
                "owners": owners,
                "pid": os.getpid(),
                "boot": os_process.boot_id(),
                "database": self._nurseries.app["database_fingerprint"],
            }
        )


def _say(message: str) -> None:
    say(f"goque: {' '.join(message.split())}\n")
