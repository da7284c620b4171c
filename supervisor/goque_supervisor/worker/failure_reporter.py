"""A short-lived process that calls the app's `on_failure`, once for each failed attempt that it is given.

Each call has a time of its own. What it raises is logged and changes nothing.
"""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable
from typing import Any, Final

from goque.failure import Failure
from goque.task import Task
from goque_supervisor.ipc.channel import Channel
from goque_supervisor.ipc.control import FailureTold
from goque_supervisor.ipc.failure_report import decode_failure

log = logging.getLogger("goque.callback")

TIME_LIMIT: Final = 10.0
"""Seconds that one call of `on_failure` may take."""


class _TooSlowError(BaseException):
    """Raised in a call that takes too long; no handler for Exception catches it."""


def run(boot: dict[str, Any], channel: Channel) -> None:
    """Call `on_failure` with each report, and tell the root after each."""
    from goque_supervisor.nursery.app_registry import registry_of_this_process  # noqa: PLC0415 - it may import the app

    on_failure = registry_of_this_process(boot["app"], boot["registry_fd"]).on_failure
    signal.signal(signal.SIGALRM, _on_alarm)
    for text in boot["failures"]:
        if on_failure is not None:  # a reload may have taken it away
            _call(on_failure, _failure(text))
        channel.send(FailureTold())


def _call(on_failure: Callable[[Failure], object], failure: Failure) -> None:
    extra = {"task_id": failure.task.id, "task_type": failure.type, "attempt": failure.attempt}
    try:
        try:
            signal.setitimer(signal.ITIMER_REAL, TIME_LIMIT)
            on_failure(failure)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0.0)
    except _TooSlowError:
        log.error("on_failure takes over %gs: ended", TIME_LIMIT, extra=extra)  # noqa: TRY400 - the sentence tells all
    except BaseException:
        log.exception("on_failure failed; the task is not affected", extra=extra)


def _failure(text: str) -> Failure:
    report = decode_failure(text)
    failed = report.failed
    return Failure(
        Task.from_any_row(report.row),
        report.row.type,
        failed.attempt,
        failed.cause,
        failed.error,
        failed.traceback or failed.stack,
        report.final,
    )


def _on_alarm(number: int, frame: object) -> None:
    del number, frame
    raise _TooSlowError
