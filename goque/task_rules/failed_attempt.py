"""A row of `goque_attempt`: how one attempt of a task failed, or when and where it went well."""

from __future__ import annotations

from typing import Final

import msgspec

WENT_WELL: Final = "done"
"""The cause in the row of a run that went well."""


class FailedAttempt(msgspec.Struct, frozen=True):
    """One row of `goque_attempt`: one failed attempt, with its error and its crash report.

    A run whose process was killed for a cancel or a shutdown has a row too, with its last stack. So has a long run that
    went well: when it began, and who ran it.
    """

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

    @property
    def is_failure(self) -> bool:
        """Whether the attempt has failed; False if its process was killed for a cancel or a shutdown."""
        return self.cause not in ("canceled", "interrupted", WENT_WELL)

    @property
    def went_well(self) -> bool:
        """Whether the handler returned."""
        return self.cause == WENT_WELL
