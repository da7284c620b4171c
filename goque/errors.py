"""The exceptions of goque. Each class is something that a caller can handle in its own way."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Final

MAX_DELAY: Final = 100 * 366 * 86400.0
"""The longest time in seconds that goque waits for anything."""


class GoqueError(Exception):
    """The base class of all errors of goque."""

    exit_code = 1
    """The exit code of a command that ends with this error: 1 failed, 2 usage, 3 database."""


class ConfigurationError(GoqueError):
    """An option, a URL or a registration is wrong; the message names it and says what to do."""

    exit_code = 2


class UnknownTypeError(ConfigurationError):
    """A task has a type that the registry has no processor for, and does not declare."""


class DatabaseUnavailableError(GoqueError):
    """The database cannot be reached, opened or written just now."""

    exit_code = 3


class SchemaError(DatabaseUnavailableError):
    """The database answers, but goque's tables are missing, too old, too new, or made by another program."""


class DuplicateTaskError(GoqueError):
    """A task with this type and external id exists already, or one that holds the same unique key.

    Attributes:
        task_type: the type of the refused task.
        external_id: its external id.
        unique_key: its column `unique_key`, if that is taken; else None.
        existing_id: the id of the task that is there; None if that was not to be found out.
        existing_status: its status; None for the same reason.
    """

    def __init__(
        self,
        task_type: str,
        external_id: str,
        *,
        unique_key: str | None = None,
        existing_id: str | None = None,
        existing_status: str | None = None,
        flow: str | None = None,
    ) -> None:
        if unique_key is None:
            key, other = f"external id {external_id!r}", "use another external id"
        else:
            scope, _, name = unique_key.partition(":")
            key = f"unique key {name!r}"
            other = "wait for the next window" if scope.startswith("t") else "wait for its end"
        there = "" if existing_id is None else f", with the id {existing_id} and the status {existing_status}"
        told = f"a task of type {task_type!r} with {key} exists already{there}; {other}"
        super().__init__(
            f"{told}, or on_conflict='skip'" if flow is None else f"flow {flow!r} is not inserted: {told}"
        )
        self.task_type = task_type
        self.external_id = external_id
        self.unique_key = unique_key
        self.existing_id = existing_id
        self.existing_status = existing_status

    def in_flow(self, name: str, *, is_there: bool) -> DuplicateTaskError:
        """Return the error of the flow that has the refused task; `is_there` if that whole flow is in the table."""
        error = DuplicateTaskError(
            self.task_type,
            self.external_id,
            unique_key=self.unique_key,
            existing_id=self.existing_id,
            existing_status=self.existing_status,
            flow=name,
        )
        if is_there:
            error.args = (f"flow {name!r} is enqueued already",)
        return error


class TaskNotFoundError(GoqueError):
    """No task, or no flow, has this id."""

    def __init__(self, task_id: str, what: str = "task") -> None:
        super().__init__(f"no {what} has the id {task_id!r}")
        self.task_id = task_id
        self.what = what


class TaskStateError(GoqueError):
    """The task's status forbids this move, such as resetting a task that is claimed."""


class WaitTimeoutError(GoqueError, TimeoutError):
    """`queue.wait` reached its timeout. The task goes on."""


class SignalTimeout(GoqueError, TimeoutError):
    """A handler's `wait_for` has reached its timeout, and its signal has not come."""


class TaskLost(GoqueError):
    """A run asked for a step, and its claim is gone: another node or a cancel has taken the task. Stop here.

    Nothing that this run does is recorded any more.
    """


class InvalidPayloadFormatError(GoqueError):
    """The payload is not JSON that every backend can store: it is malformed, too deep, too large, or has a NUL.

    A number with more digits than PostgreSQL's numeric holds is refused as well. So is a payload that the handler of
    its type would not decode, where the task is enqueued by `registry.queue` or a `Handler`.
    """


class PayloadEncodeError(GoqueError):
    """The payload object cannot be encoded to JSON."""


class PayloadDecodeError(GoqueError):
    """The stored payload does not decode to the handler's payload type."""


class WorkerCrashed(GoqueError):
    """The worker process died while it ran this task."""


class TaskTimeout(GoqueError):
    """Raised inside a handler that runs past its `timeout`.

    A handler that catches it has `timeout_grace` seconds to clean up before its process is killed;
    the attempt is charged as a timeout in any case.
    """


class TaskCanceled(GoqueError):
    """Raise it in a handler to end the task as canceled, without a retry.

    goque also raises it in a running handler whose task was canceled with `cancel_task`.
    """


class RetryTask(GoqueError):
    """Raise it in a handler to fail this attempt and choose the delay until the next one.

    Args:
        reason: the text for the task's errors.
        delay: seconds (or a timedelta) until the next attempt; None leaves it to the retry strategy.

    Raises:
        ConfigurationError: the delay is negative, 100 years or more, or no number.
    """

    def __init__(self, reason: str = "retry requested", *, delay: float | timedelta | None = None) -> None:
        super().__init__(reason)
        self.delay = None if delay is None else length(delay, "the delay of RetryTask")


class Snooze(GoqueError):
    """Raise it in a handler to try the same task later, without charging an attempt.

    Args:
        delay: seconds (or a timedelta) until the task is due again.

    Raises:
        ConfigurationError: the delay is negative, 100 years or more, or no number.
    """

    def __init__(self, delay: float | timedelta) -> None:
        self.delay = length(delay, "the delay of Snooze")
        super().__init__(f"snoozed for {self.delay:g}s")


class RateLimited(GoqueError):
    """Raise it in a handler when a service asks to be called later: nothing of the type starts before that, anywhere.

    The task itself is put off, without charging an attempt. If it has a `limit_key`, only the tasks with the same key
    are held back. This node holds them back at once, others within their `fetch_tick`; what runs already goes on.

    Args:
        retry_after: seconds (or a timedelta) until the next start.

    Raises:
        ConfigurationError: it is negative, 100 years or more, or no number.
    """

    def __init__(self, retry_after: float | timedelta) -> None:
        self.retry_after = length(retry_after, "retry_after of RateLimited")
        super().__init__(f"rate limited for {self.retry_after:g}s")


def seconds(duration: object, name: str) -> float:
    """Turn a duration into seconds.

    Raises:
        ConfigurationError: it is neither a number nor a timedelta.
    """
    if isinstance(duration, timedelta):
        return duration.total_seconds()
    if isinstance(duration, bool) or not isinstance(duration, int | float):
        raise ConfigurationError(f"{name} must be seconds or a timedelta, not {duration!r:.80}")
    try:
        return float(duration)
    except OverflowError:
        return math.inf if duration > 0 else -math.inf


def length(duration: object, name: str, *, positive: bool = False) -> float:
    """Turn a waiting time into seconds.

    Raises:
        ConfigurationError: it is no duration, is negative or 100 years or more, or is 0 where that is not allowed.
    """
    given = seconds(duration, name)
    if not 0 <= given <= MAX_DELAY or (positive and given == 0):
        least = "more than 0" if positive else "0 or more"
        raise ConfigurationError(f"{name} must be {least} seconds and under 100 years, not {duration!r:.80}")
    return given
