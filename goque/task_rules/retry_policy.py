"""The options of a task type that decide what follows a run."""

from __future__ import annotations

import msgspec

from goque.retry import DEFAULT, MAX_ATTEMPTS, Strategy


class RetryPolicy(msgspec.Struct, frozen=True):
    """The options of a task type that decide what follows a run.

    Attributes:
        max_attempts: charged attempts until the task ends in attempts_left.
        strategy: the wait before the next attempt; None if a function of the user decides.
        max_crashes: crashes until the task ends in attempts_left; None sets no limit of its own.
        retry_timeouts: whether a timeout may be followed by another attempt.
        deletes_done: whether a success deletes its task, if it leaves nothing that somebody may read.
    """

    max_attempts: int = MAX_ATTEMPTS
    strategy: Strategy | None = DEFAULT
    max_crashes: int | None = None
    retry_timeouts: bool = True
    deletes_done: bool = False
