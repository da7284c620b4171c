"""The state that a fetcher keeps about one living worker."""

from __future__ import annotations

from dataclasses import dataclass, field

from goque_supervisor.fetcher.in_flight import ClaimedTask
from goque_supervisor.fetcher.stderr_relay import StderrRelay
from goque_supervisor.ipc.blackbox import BlackBox
from goque_supervisor.ipc.box_records import Running
from goque_supervisor.ipc.control import WorkerStarted
from goque_supervisor.ipc.run_directory import stderr_path


@dataclass(slots=True, eq=False)
class WorkerHandle:
    """One worker of the pool.

    Attributes:
        started: the root's message about its start.
        box: its black box; the fetcher writes only the revocation word.
        stderr_relay: forwards its standard error to ours.
        identity: its name on the wire.
        jobs: the jobs that it was sent and has not answered, oldest first.
        acknowledged: committed results that it may forget, not sent to it yet.
        ready: whether it has said Hello, or has outlived an earlier fetcher.
        not_before: when to send to it again, after it could not be reached.
        retiring: why it gets no more jobs, None while it gets some.
        revoked_at: when its unstarted jobs were revoked, 0 if no revocation is under way.
        replace_asked: whether the root was asked to replace it.
        idle_job: its oldest job at the last inspection that found none of its jobs running, 0 while one runs.
        idle_since: when an inspection first found this.
        busy_at: when it was last seen with a job, or first seen ready.
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
    idle_job: int = 0
    idle_since: float = 0.0
    busy_at: float = 0.0

    @classmethod
    def of(cls, started: WorkerStarted, *, taken_over: bool) -> WorkerHandle:
        """Create the handle of a worker that has just started, or that has outlived another fetcher."""
        return cls(
            started,
            BlackBox(started.box),
            StderrRelay(stderr_path(started.box)),
            started.identity.encode("ascii"),
            ready=taken_over,
        )

    @property
    def is_async(self) -> bool:
        """Whether it runs `async def` handlers."""
        return self.started.is_async

    @property
    def incarnation(self) -> int:
        """The number of this worker among all that the tree has started."""
        return self.started.incarnation

    def takes_jobs(self, now: float) -> bool:
        """Return whether it may be sent jobs now."""
        return bool(self.ready and not self.retiring and not self.revoked_at and now >= self.not_before)


@dataclass(slots=True)
class Inspected:
    """What the black boxes of the workers say.

    Attributes:
        unmarked: running tasks that are not marked as `processing`.
        lost: outcomes whose message was lost: the worker, the number of the job, and the outcome.
        reported: running tasks that have reported progress, with their records.
    """

    unmarked: list[ClaimedTask] = field(default_factory=list)
    lost: list[tuple[WorkerHandle, int, bytes]] = field(default_factory=list)
    reported: list[tuple[ClaimedTask, Running]] = field(default_factory=list)
