"""A root whose processes, nurseries and clock are simulated, so that a test is a history of events.

`history` lists what the root did since it was last read: "start NAME", "stop NAME", "kill NAME (reason)",
"interrupt NAME job SEQ (reason)" and "NAME <- message".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from goque_supervisor.ipc import os_process
from goque_supervisor.ipc.control import (
    Drained,
    LeaseRenewed,
    Message,
    Ready,
    TakeOver,
    TreeState,
    WorkerExited,
    WorkerStarted,
)
from goque_supervisor.ipc.exit_cause import ExitCause
from goque_supervisor.ipc.run_directory import RunDirectory
from goque_supervisor.root.child import Child
from goque_supervisor.root.pools.pool_group import PoolGroup
from goque_supervisor.root.supervisor import Root
from goque_supervisor.root.timers import Timers
from goque_supervisor.root.tree import ChildSpec
from goque_supervisor.settings import SuperviseOptions

BEGIN = 1000.0


def describe_app(
    *types: str,
    workers: int = 2,
    jobs: int = 0,
    pool: str | None = None,
    fewest: int | None = None,
    start_method: str = "forkserver",
    **options: Any,
) -> dict[str, Any]:
    """Return what the app's nursery reports of an app with these types, in one pool or each in a pool of its own."""
    pools = dict.fromkeys([pool] if pool else types)
    return {
        "types": [
            {
                "type": name,
                "pool": pool or name,
                "is_async": False,
                "options": {"timeout": 30.0, "max_attempts": 5, **options},
            }
            for name in types
        ],
        "pools": {
            name: {
                "workers": workers,
                "min_workers": workers if fewest is None else fewest,
                "async_workers": 1,
                "concurrency": 100,
            }
            for name in pools
        },
        "keys": dict.fromkeys(pools, ("public", "secret")),
        "traces": False,
        "start_method": start_method,
        "jobs": jobs,
        "job_names": [f"job{number}" for number in range(jobs)],
        "sources": ["/srv/shop"],
        "import_began": 1,
        "service_name": "shop",
        "database": "sqlite:////srv/shop.db",
        "database_url": "sqlite:////srv/shop.db",
        "database_fingerprint": "0123",
    }


class SimulatedChannel:
    def __init__(self, name: str, history: list[str]) -> None:
        self.closed = False
        self.sent: list[Message] = []
        self._name = name
        self._history = history

    def send(self, message: Message) -> None:
        self.sent.append(message)
        if isinstance(message, TakeOver | WorkerStarted | WorkerExited):
            self._history.append(f"{self._name} <- {type(message).__name__}")
        elif not isinstance(message, TreeState):
            self._history.append(f"{self._name} <- {message}")


class SimulatedBox:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.running: dict[int, Any] = {}

    def read(self) -> SimpleNamespace:
        return SimpleNamespace(running=self.running, finished={})


class SimulatedProcesses:
    """Processes that exist only here; each ends when the test says so."""

    def __init__(self, directory: Path, timers: Timers, history: list[str]) -> None:
        self.guard_pid = 99
        self.generation = 1
        self.are_refused = False
        self.nurseries_are_up = True
        self._directory = directory
        self._timers = timers
        self._history = history
        self.boots: dict[str, dict[str, Any]] = {}
        self._children: dict[int, Child] = {}
        self._last_key = 0

    def start(self, spec: ChildSpec, boot: dict[str, Any]) -> Child | None:
        if self.are_refused:
            raise OSError("no process left")
        if not self.nurseries_are_up:
            return None
        self._last_key += 1
        channel: Any = SimulatedChannel(spec.name, self._history)
        child = Child(spec, self._last_key, channel, self.generation, self._timers.now())
        self.boots[spec.name] = boot
        if spec.role == "worker":
            child.oom_before = os_process.oom_kills()
            box: Any = SimulatedBox(self._directory / f"{child.key}.box")
            box.path.touch()
            child.box = box
        self._children[child.key] = child
        self._history.append(f"start {spec.name}")
        return child

    def stop(self, child: Child) -> None:
        if not child.stop_by:
            child.stop_by = self._timers.now() + child.spec.shutdown
            self._history.append(f"stop {child.spec.name}")

    def kill(self, child: Child, reason: str) -> None:
        child.killed_for = reason
        self._history.append(f"kill {child.spec.name} ({reason})")

    def kill_all(self, children: Sequence[Child], reason: str) -> None:
        for child in children:
            self.kill(child, reason)

    def ask_for_stack(self, child: Child) -> None:
        self._history.append(f"ask {child.spec.name} for its stack")

    def interrupt(self, child: Child, seq: int, reason: str, grace: float) -> None:
        self._history.append(f"interrupt {child.spec.name} job {seq} ({reason}, {grace:g}s)")

    def find(self, name: str) -> Child | None:
        found = [child for child in self._children.values() if child.spec.name == name]
        return found[-1] if found else None

    def workers(self, pool: str) -> list[Child]:
        return [child for child in self.living() if child.pool == pool and child.spec.role == "worker"]

    def living(self) -> list[Child]:
        return list(self._children.values())

    def remove(self, child: Child) -> None:
        del self._children[child.key]


class SimulatedNurseries:
    def __init__(self, app: dict[str, Any]) -> None:
        self.app = app
        self.imports = 0

    def __iter__(self) -> Iterator[SimpleNamespace]:
        for pid, kind in ((97, "actors"), (98, "app")):
            yield SimpleNamespace(kind=kind, pid=pid, generation=1, ready=True, started_at=BEGIN)

    def reload(self) -> None:
        self.imports += 1


class SimulatedTree:
    """A root, and the means to make things happen to it."""

    def __init__(self, directory: Path, app: dict[str, Any], **options: Any) -> None:
        self.now = BEGIN
        self.history: list[str] = []
        self.timers = Timers(lambda: self.now)
        self.processes: Any = SimulatedProcesses(directory, self.timers, self.history)
        self.nurseries: Any = SimulatedNurseries(app)
        self.options = SuperviseOptions(**{"http": "127.0.0.1:9100"} | options)
        self.run_directory = RunDirectory(directory, ())
        self.root = Root(self.options, self.run_directory, self.processes, self.nurseries, self.timers)

    # -- what the test reads -------------------------------------------------------------------------

    def did(self, *only: str) -> list[str]:
        """Return what the root did since the last call; of `only` these words, if some are given."""
        entries = list(self.history)
        self.history.clear()
        return [entry for entry in entries if not only or any(word in entry for word in only)]

    def group(self, pool: str = "mail") -> PoolGroup:
        found = self.root._groups.find(pool)
        assert found is not None
        return found

    def child(self, name: str) -> Child:
        found: Child | None = self.processes.find(name)
        assert found is not None, name
        return found

    def names(self) -> list[str]:
        return [child.spec.name for child in self.processes.living()]

    def sent(self, name: str, kind: type[Message]) -> list[Any]:
        channel: Any = self.child(name).channel
        return [message for message in channel.sent if isinstance(message, kind)]

    # -- what the test makes happen --------------------------------------------------------------------

    def pass_time(self, seconds: float) -> None:
        """Move the clock, and run each timer at its time; in a tree whose lease is held, nothing else happens."""
        end = self.now + seconds
        while (left := self.timers.seconds_left()) is not None and self.now + left <= end:
            self.now += left
            self.timers.run_due()
        self.now = end

    def comes_up(self, owner: str = "node-1") -> None:
        """Have everything start that starts, and let the lease be written."""
        self.root.on_nurseries_ready()
        self.all_become_ready()
        self.becomes_ready("lease", owner=owner, sent_at=self.now)
        self.all_become_ready()

    def all_become_ready(self) -> None:
        for child in self.processes.living():
            if not child.ready_at and child.spec.role not in ("lease", "callback"):
                self.becomes_ready(child.spec.name)

    def is_forked(self, name: str) -> None:
        child = self.child(name)
        if not child.pid:
            child.pid = 100 + child.key
            self.root.on_child_started(child)

    def becomes_ready(self, name: str, **info: Any) -> None:
        self.is_forked(name)
        self.sends(name, Ready(info))

    def sends(self, name: str, message: Message) -> None:
        self.root.on_message(self.child(name), message)

    def renews_lease(self) -> None:
        self.sends("lease", LeaseRenewed(self.now))

    def runs(self, name: str, *seqs: int) -> None:
        """Let a worker run jobs."""
        box: Any = self.child(name).box
        box.running.clear()
        box.running.update(dict.fromkeys(seqs))

    def ends(self, name: str, *, exit_code: int | None = None, by_signal: int | None = 9) -> Child:
        """Let a process end by a signal, SIGKILL if nothing else is said, or by an exit code."""
        child = self.child(name)
        self.processes.remove(child)
        cause = ExitCause(exit_code, None if exit_code is not None else by_signal)
        self.root.on_exit(child, cause, 1 << 20)
        return child

    def all_told_to_end_do_so(self) -> None:
        """Let every process end that was stopped or killed, until no more are."""
        while leaving := [child for child in self.processes.living() if child.stop_by or child.killed_for]:
            for child in leaving:
                if child in self.processes.living():
                    self.ends(child.spec.name, exit_code=0)

    def drains(self, pool: str, unwritten: int = 0) -> None:
        self.sends(f"fetcher[{pool}]", Drained(unwritten))
