"""The state that a fetcher keeps about one living worker."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from goque_supervisor.fetcher.in_flight import ClaimedTask
from goque_supervisor.fetcher.schedule import INSPECT_PERIOD
from goque_supervisor.fetcher.stderr_relay import StderrRelay
from goque_supervisor.ipc.blackbox import BlackBox
from goque_supervisor.ipc.box_records import Running
from goque_supervisor.ipc.control import WorkerStarted
from goque_supervisor.ipc.run_directory import stderr_path

LOST_AFTER: Final = 0.1
"""Seconds after which the message of a result that is in the black box is lost. It comes within some milliseconds."""

LOOK_PERIOD: Final = 1.0

WAITS_BEHIND: Final = 0.1
"""Seconds for which a job may wait in a worker behind others, until another worker is to run it."""


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
        heard_at: when its last results came.
        read_at: when its black box was last inspected.
        finished_since: the jobs without an answer that the last inspection found finished, and when one first did.
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
    heard_at: float = -math.inf
    read_at: float = 0.0
    finished_since: dict[int, float] = field(default_factory=dict)

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

    def has_jobs_behind(self, now: float, concurrency: int) -> bool:
        """Return whether jobs have waited in it for `WAITS_BEHIND` because it runs as many as it can."""
        if len(self.jobs) <= concurrency:
            return False
        return now - next(iter(self.jobs.values())).sent_at > WAITS_BEHIND

    def is_due_for_inspection(self, now: float, received_at: float) -> bool:
        """Return whether its black box may say something that the fetcher does not know yet.

        A worker of `def` handlers sends results between two jobs. If some came just before the last messages were
        received, the job that it ran then had just begun. Its box is read each `LOOK_PERIOD` all the same, because the
        message of other results may be lost.
        """
        oldest = next(iter(self.jobs.values()), None)
        if oldest is None or now - oldest.sent_at < INSPECT_PERIOD:
            return False
        return (
            self.is_async
            or received_at - self.heard_at >= INSPECT_PERIOD
            or now - self.read_at >= LOOK_PERIOD
        )

    def lost_results(self, finished: Iterable[int], now: float) -> list[int]:
        """Return which of the finished jobs in its black box have been without an answer for too long."""
        since, self.finished_since = self.finished_since, {}
        for seq in finished:
            if seq in self.jobs:
                self.finished_since[seq] = since.get(seq, now)
        return [seq for seq, first in self.finished_since.items() if now - first > LOST_AFTER]


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
