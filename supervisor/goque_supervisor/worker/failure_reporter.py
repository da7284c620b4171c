"""A short-lived process that calls the app's functions about failures, once for each attempt that it is given.

These are the registry's `on_failure`, and a processor's own function for tasks that failed without their worker. The
calls for one attempt share a time limit. What they raise is logged and changes nothing.
"""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable, Iterator
from typing import Any, Final

from goque.failure import Failure
from goque.handlers.processor_table import processors_of
from goque.registry import Registry
from goque.task import Task
from goque_supervisor.ipc.channel import Channel
from goque_supervisor.ipc.control import FailureTold
from goque_supervisor.ipc.failure_report import FailureReport, decode_failure

log = logging.getLogger("goque.callback")

TIME_LIMIT: Final = 10.0
"""Seconds that the calls for one attempt may take."""


class _TooSlowError(BaseException):
    """Raised in a call that takes too long; no handler for Exception catches it."""


def run(boot: dict[str, Any], channel: Channel) -> None:
    """Call the functions with each report, and tell the root after each."""
    from goque_supervisor.nursery.app_registry import registry_of_this_process  # noqa: PLC0415 - it may import the app

    registry = registry_of_this_process(boot["app"], boot["registry_fd"])
    signal.signal(signal.SIGALRM, _on_alarm)
    for text in boot["failures"]:
        report = decode_failure(text)
        failure = _failure(report)
        extra = {"task_id": failure.task.id, "task_type": failure.type, "attempt": failure.attempt}
        try:
            _call_in_time(list(_functions(registry, report)), failure, extra)
        except _TooSlowError:
            log.error("on_failure ran for more than %gs: goque ended this call", TIME_LIMIT, extra=extra)  # noqa: TRY400 - the sentence tells all
        channel.send(FailureTold())


def _functions(registry: Registry, report: FailureReport) -> Iterator[Callable[[Failure], object]]:
    """Yield the functions that are called for a report; a reload may have taken them away."""
    if report.is_final_without_worker and report.row.type in registry.task_types:
        of_type = processors_of(registry).get(report.row.type).failed_without_worker
        if of_type is not None:
            yield of_type
    if registry.on_failure is not None:
        yield registry.on_failure


def _call_in_time(
    functions: list[Callable[[Failure], object]], failure: Failure, extra: dict[str, Any]
) -> None:
    try:
        signal.setitimer(signal.ITIMER_REAL, TIME_LIMIT)
        for function in functions:
            try:
                function(failure)
            except _TooSlowError:
                raise
            except BaseException:
                log.exception("on_failure failed; the task is not affected", extra=extra)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)


def _failure(report: FailureReport) -> Failure:
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
