"""One failed attempt of a task, as it is recorded: data only."""

from __future__ import annotations

import msgspec


class FailedAttempt(msgspec.Struct, frozen=True):
    """One row of `goque_attempt`: one failed attempt, with its error and its crash report."""

    attempt: int
    cause: str
    error: str
    traceback: str | None = None
    worker_pid: int | None = None
    duration: float | None = None
    exit_code: int | None = None
    signal: int | None = None
    max_rss: int | None = None
    oom: str | None = None
    stack: str | None = None
    stderr: str | None = None
    failure_group: str | None = None
    app_version: str | None = None
