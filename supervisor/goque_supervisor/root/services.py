"""What keeps the services of a tree running: lease, monitor, healer, cleaner, scheduler and reloader."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from goque_supervisor.ipc.control import AttemptsFailed, FailureTold, Message
from goque_supervisor.ipc.exit_cause import ExitCause
from goque_supervisor.ipc.run_directory import RunDirectory
from goque_supervisor.root.child import Child
from goque_supervisor.root.node import NodeView
from goque_supervisor.root.pools.failure_reporter import FailureReporter
from goque_supervisor.root.processes import Processes, StartRetries
from goque_supervisor.root.restart_policy import Backoff
from goque_supervisor.root.timers import Timers
from goque_supervisor.root.tree import ChildSpec, HealedTasks, Tree
from goque_supervisor.settings import SuperviseOptions

log = logging.getLogger("goque.supervisor")

UNREGISTERED: Final = "unregistered"
METRICS_DIRECTORY: Final = "PROMETHEUS_MULTIPROC_DIR"
"""The variable by which prometheus-client keeps a process's values in files of a directory; the monitor reads them."""
KNOW_THE_APP: Final = ("scheduler", "cleaner", "healer")
"""The services that a reload replaces, so that they know the new app."""


class Services:
    """The services of a tree, each started again by its backoff.

    Args:
        options: what the tree was started with.
        run_directory: where counters and metrics are.
        processes: the processes of the tree.
        timers: the root's timers and clock.
        node: returns the node as it is now.
        app: returns how the newest import describes the app.
        child_restarts: the tree's count of restarts by role.

    Attributes:
        failures: the process that calls the app's functions about what the healer has charged.
    """

    def __init__(
        self,
        options: SuperviseOptions,
        run_directory: RunDirectory,
        processes: Processes,
        timers: Timers,
        *,
        node: Callable[[], NodeView],
        app: Callable[[], dict[str, Any]],
        child_restarts: Counter[str],
    ) -> None:
        self.failures = FailureReporter(processes, timers)
        self._options = options
        self._run_directory = run_directory
        self._processes = processes
        self._timers = timers
        self._node = node
        self._app = app
        self._child_restarts = child_restarts
        self._specs: list[ChildSpec] = []
        self._backoffs: dict[str, Backoff] = {}
        self._retries = StartRetries(timers)

    def lay_out(self, tree: Tree) -> None:
        """Take the services of a tree as the ones to keep running; nothing is started yet."""
        self._specs = [spec for spec in (tree.lease, tree.monitor, *tree.services) if spec is not None]

    @property
    def roles(self) -> list[str]:
        """The roles that run here, without lease and monitor."""
        return [
            spec.role for spec in self._specs if spec.role in self._options.roles and spec.role != "monitor"
        ]

    def start_missing(self) -> None:
        """Start the services that are missing: lease and monitor at once, the others when the node is up."""
        for spec in self._specs:
            if spec.role in ("lease", "monitor") or self._node().is_up:
                self._start(spec)

    def send(self, name: str, message: Message) -> None:
        """Send a service a message, if it runs."""
        child = self._processes.find(name)
        if child is not None:
            child.channel.send(message)

    def replace(self) -> None:
        """Replace the services that know the app; they hold nothing, so they are killed."""
        for name in KNOW_THE_APP:
            child = self._processes.find(name)
            if child is not None:
                self._processes.kill(child, "reload")

    def on_message(self, child: Child, message: Message) -> bool:
        """Have the attempts reported that the healer has charged; returns whether the message is about that."""
        match message:
            case AttemptsFailed(failures):
                self.failures.add(HealedTasks(), failures)
            case FailureTold():
                self.failures.on_told(child)
            case _:
                return False
        return True

    def on_not_started(self, child: Child, why: str) -> None:
        """Try again in a while to start a service that could not be started."""
        if child.spec.role == "reporter":
            self.failures.on_not_started(child, why)
        elif not self._node().is_stopping:
            self._retries.plan(child.spec.name, why, lambda: self._start(child.spec))

    def on_exit(self, child: Child, cause: ExitCause) -> None:
        """Start another service in the place of one that has ended, after its backoff."""
        if child.spec.role == "reporter":
            self.failures.on_ended(child)
            return
        if child.stop_by or self._node().is_stopping:
            return
        if child.killed_for == "reload":
            self._start(child.spec)
            return
        backoff = self._backoffs.setdefault(child.spec.name, Backoff())
        delay = backoff.after_exit(self._timers.now() - child.started_at)
        self._child_restarts[child.spec.role] += 1
        when = f"in {delay:g}s" if delay else "now"
        log.warning("%s (pid %d) ended by %s: restarting %s", child.spec.name, child.pid, cause, when)
        self._timers.after(delay, lambda: self._start(child.spec))

    def _start(self, spec: ChildSpec) -> None:
        if self._node().is_stopping or self._processes.find(spec.name):
            return
        try:
            self._processes.start(spec, self._boot(spec))
        except OSError as error:
            self._retries.plan(spec.name, str(error), lambda: self._start(spec))

    def _boot(self, spec: ChildSpec) -> dict[str, Any]:
        app = self._app()
        boot: dict[str, Any] = {"owner": self._node().owner, "node_timeout": self._options.node_timeout}
        if spec.role in ("lease", "monitor"):
            boot["run_directory"] = str(self._run_directory.path)
        if spec.role == "lease":
            boot["seq"] = self._node().seq
            boot["logs_summary"] = "monitor" in self._options.roles and not self._options.has_monitor
            boot["former_owners"] = [name for name in self._node().all_owners if name != boot["owner"]]
        if spec.role == "monitor":
            boot["http"] = self._options.http
            boot["service_name"] = app["service_name"]
            boot["metrics"] = os.environ.get(METRICS_DIRECTORY)
        if spec.role == "reloader":
            boot["places"] = [os.getcwd(), *app["sources"]]  # noqa: PTH109 - no need of pathlib here
            boot["import_began"] = app["import_began"]
        if spec.role in ("healer", "cleaner"):
            boot["types"] = app["types"]
            boot["own_types"] = [
                described["type"]
                for described in app["types"]
                if self._options.runs(described["type"], described["pool"])
            ]
            boot["heal_unpublished"] = self._options.heal_unpublished
            boot["counters"] = {
                name: str(self._run_directory.counters(spec.role, name))
                for name in (*(described["type"] for described in app["types"]), UNREGISTERED)
            }
            boot["run_base"] = str(self._run_directory.path.parent)
            boot["database_fingerprint"] = app["database_fingerprint"]
        return boot
