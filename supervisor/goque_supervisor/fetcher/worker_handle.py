"""A fetcher's notes on one living worker."""

from __future__ import annotations

from dataclasses import dataclass, field

from goque_supervisor.fetcher.in_flight import ClaimedTask
from goque_supervisor.fetcher.stderr_relay import StderrRelay
from goque_supervisor.ipc.blackbox import BlackBox
from goque_supervisor.ipc.control import WorkerStarted
from goque_supervisor.ipc.run_directory import stderr_path


@dataclass(slots=True, eq=False)
class WorkerHandle:
    """One worker of the pool.

    Attributes:
        started: what the root said of it.
        box: its black box, read-only for us but for the revocation word.
        stderr_relay: its way to our standard error.
        identity: its name on the wire.
        jobs: what it was sent and has not answered, oldest first.
        acknowledged: committed results that it may forget, not sent yet.
        ready: whether it has said Hello, or outlived an earlier fetcher.
        not_before: when it may be sent to again, after it could not be reached.
        retiring: why it gets nothing more, None while it works.
        revoked_at: when we began to take back what it has not begun, 0 for not.
        replace_asked: whether the root was asked to replace it.
    """

    started: WorkerStarted
    box: BlackBox
    stderr_relay: StderrRelay
    identity: bytes
    jobs: dict[int, ClaimedTask] = field(default_factory=dict)
    acknowledged: list[int] = field(default_factory=list)
    ready: bool = False
    not_before: float = 0.0
    retiring: str | None = None
    revoked_at: float = 0.0
    replace_asked: bool = False

    @classmethod
    def of(cls, started: WorkerStarted, *, taken_over: bool) -> WorkerHandle:
        """Open the notes on a worker that has just started, or that outlived another fetcher."""
        return cls(
            started,
            BlackBox(started.box),
            StderrRelay(stderr_path(started.box), from_now=taken_over),
            started.identity.encode("ascii"),
            ready=taken_over,
        )

    def capacity(self, window: int, now: float) -> int:
        """Return how many more jobs it takes now."""
        if not self.ready or self.retiring or self.revoked_at or now < self.not_before:
            return 0
        return max(0, window - len(self.jobs))
