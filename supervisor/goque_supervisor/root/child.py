"""What the root knows of each of its processes: what it is, its state, and how to reach it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from goque_supervisor.ipc.blackbox import BlackBox
from goque_supervisor.ipc.channel import Channel
from goque_supervisor.ipc.control import WorkerStarted
from goque_supervisor.root.tree import ChildSpec


@dataclass
class Child:
    """One process, from the request to start it until it is reaped.

    Attributes:
        spec: what it is.
        key: its number, never used twice in a run; for a worker this is its incarnation.
        channel: our end of its control socket.
        generation: which import of the app it came from.
        app_version: the version of the app in that import.
        started_at: when its start was requested (CLOCK_MONOTONIC seconds, like all times here).
        pid: its process id, 0 until the nursery has sent it.
        ready_at: when it sent Ready, 0 before.
        beat_at: when it last showed that its loop turns.
        closed_since: when its channel was first found closed though it seemed to live, 0 for never.
        stop_by: when it is killed if it has not stopped by then, 0 while it may run.
        killed_for: why the root killed it, None while it has not.
        killed_seq: the job that it was killed for.
        retire_reason: why it is to be replaced once it is idle.
        identity: a worker's name on the wire.
        box: a worker's black box.
        oom_before: the kernel's count of OOM kills when it started.
        watched: whether the loop waits for its channel.
        interrupts: the jobs that were asked to stop, with the time at which their worker is killed, and why.
    """

    spec: ChildSpec
    key: int
    channel: Channel
    generation: int
    started_at: float
    app_version: str | None = None
    pid: int = 0
    ready_at: float = 0.0
    beat_at: float = 0.0
    closed_since: float = 0.0
    stop_by: float = 0.0
    killed_for: str | None = None
    killed_seq: int = 0
    retire_reason: str | None = None
    identity: str = ""
    box: BlackBox | None = None
    oom_before: int = 0
    watched: bool = True
    interrupts: dict[int, tuple[float, str]] = field(default_factory=dict)

    @property
    def pool(self) -> str:
        """The pool that it works for, empty for a service."""
        return self.spec.pool

    @property
    def slot(self) -> int:
        """The worker slot that it fills."""
        return self.spec.slot

    @property
    def ready(self) -> bool:
        """Whether it has booted and no order to end was sent."""
        return self.ready_at > 0 and not self.stop_by and self.killed_for is None

    def as_worker(self) -> WorkerStarted:
        """Describe a worker to its fetcher."""
        assert self.box is not None
        return WorkerStarted(
            self.slot,
            self.key,
            self.pid,
            self.identity,
            str(self.box.path),
            self.spec.is_async,
            self.app_version,
        )


class Children:
    """All living children, by number, by pid and by name."""

    def __init__(self) -> None:
        self._by_key: dict[int, Child] = {}
        self._by_pid: dict[int, Child] = {}

    def __iter__(self) -> Iterator[Child]:
        return iter(list(self._by_key.values()))

    def __len__(self) -> int:
        return len(self._by_key)

    def add(self, child: Child) -> None:
        """Add a child whose start was requested."""
        self._by_key[child.key] = child

    def set_pid(self, child: Child, pid: int) -> None:
        """Set a child's pid."""
        child.pid = pid
        self._by_pid[pid] = child

    def remove(self, child: Child) -> None:
        """Forget a child that is gone."""
        self._by_key.pop(child.key, None)
        self._by_pid.pop(child.pid, None)

    def by_key(self, key: int) -> Child | None:
        """Return the child with this number."""
        return self._by_key.get(key)

    def by_pid(self, pid: int) -> Child | None:
        """Return the child with this pid."""
        return self._by_pid.get(pid)

    def named(self, name: str) -> Child | None:
        """Return the newest child of this name."""
        found = [child for child in self._by_key.values() if child.spec.name == name]
        return found[-1] if found else None

    def workers(self, pool: str) -> list[Child]:
        """Return the workers of a type."""
        return [
            child for child in self._by_key.values() if child.pool == pool and child.spec.role == "worker"
        ]
