"""What a `crash_handler` gets: the report of a worker that died."""

from __future__ import annotations

import msgspec

from goque.task import Task


class WorkerCrash(msgspec.Struct, frozen=True):
    """The report of a worker process that died.

    Attributes:
        type: its task type.
        task: the task that it was running, None if it was idle.
        pid: its process id.
        exit_code: its exit code, None if a signal ended it.
        signal: the number of the signal that ended it, None if it exited.
        traceback: the last Python stack that the interpreter could write.
        max_rss: its peak memory in bytes, 0 where the system does not say.
        cause: how it ended, as in the task's errors: `worker crashed: signal 11 (SIGSEGV)`, or
            `worker crashed in step page-17: signal 11 (SIGSEGV)`.
        attempt: the number of the attempt that it cost the task, 0 if it was idle.
        duration: seconds that the handler had run.
        oom: what suggests that the kernel killed it for its memory, None if nothing does.
        stderr: the last lines that it wrote to its standard error.
        follows: a text that says what happens to the task next; empty if the worker was idle.
    """

    type: str
    task: Task | None
    pid: int
    exit_code: int | None
    signal: int | None
    traceback: str | None
    max_rss: int
    cause: str = ""
    attempt: int = 0
    duration: float = 0.0
    oom: str | None = None
    stderr: str | None = None
    follows: str = ""
