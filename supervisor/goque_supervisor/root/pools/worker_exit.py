"""How a worker ends and what that means: the notice for its fetcher, and why another one takes its place."""

from __future__ import annotations

import logging
import signal
from typing import Final

from goque_supervisor.ipc import os_process
from goque_supervisor.ipc.control import WorkerExited
from goque_supervisor.ipc.exit_cause import ExitCause
from goque_supervisor.root.child import Child
from goque_supervisor.root.processes import Processes

log = logging.getLogger("goque.supervisor")

IDLE: Final = "idle"
"""Why a worker ends that the pool does not need; no other takes its place."""


def describe_exit(worker: Child, cause: ExitCause, max_rss: int) -> WorkerExited:
    """Describe the end of a worker to its fetcher; `max_rss` is its peak memory in bytes."""
    assert worker.box is not None
    return WorkerExited(
        worker.key,
        worker.pid,
        str(worker.box.path),
        cause.exit_code,
        cause.signal,
        worker.killed_for,
        worker.killed_seq,
        max_rss,
        _oom_evidence(worker, cause),
        worker.app_version,
    )


def restart_reason(worker: Child) -> str:
    """Name why a worker is replaced, in the few words of the metrics; a kill for one task counts as a timeout."""
    if worker.retire_reason in ("memory", "tasks", "reload"):
        return worker.retire_reason
    return "timeout" if worker.killed_for in ("timeout", "canceled") else "crash"


def _oom_evidence(worker: Child, cause: ExitCause) -> str | None:
    if cause.signal != signal.SIGKILL or worker.killed_for is not None:
        return None
    kills = os_process.oom_kills() - worker.oom_before
    return f"the kernel killed {kills} process(es) to free memory while this one ran" if kills > 0 else None


def end_worker(processes: Processes, worker: Child, reason: str) -> None:
    """End a worker, because its fetcher asks for it."""
    if reason == "unresponsive":
        log.error("%s (pid %d) does not accept tasks: replacing it", worker.spec.name, worker.pid)
        processes.kill(worker, reason)
    elif reason == IDLE:
        log.debug("%s (pid %d) ends, because it has nothing to do", worker.spec.name, worker.pid)
        processes.stop(worker)
    else:
        log.info("%s (pid %d) is replaced: %s", worker.spec.name, worker.pid, reason)
        processes.stop(worker)
