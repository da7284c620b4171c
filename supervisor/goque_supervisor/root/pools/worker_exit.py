"""What the end of a worker means: the notice for its fetcher, and why another one takes its place."""

from __future__ import annotations

import signal

from goque_supervisor.ipc import os_process
from goque_supervisor.ipc.control import WorkerExited
from goque_supervisor.ipc.exit_cause import ExitCause
from goque_supervisor.root.child import Child


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
    return f"the kernel killed {kills} process(es) for memory while this one lived" if kills > 0 else None
