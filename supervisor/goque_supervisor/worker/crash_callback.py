"""A short-lived process for the user's functions about a crash: crash_handler and next_attempt_at.

These functions may crash or block this process. The root kills it after a few seconds, and the default delay applies.
"""

from __future__ import annotations

import logging
from typing import Any

import msgspec

from goque.crash import WorkerCrash
from goque.errors import GoqueError
from goque.handlers.processor_table import processors_of
from goque.retry import delay_of
from goque.task import Task
from goque.task_row import TaskRow, TaskStatus
from goque.task_rules.crash_evidence import CrashEvidence
from goque_supervisor.ipc.channel import Channel
from goque_supervisor.ipc.control import CallbackDone
from goque_supervisor.ipc.crash_report import CrashReport, decode_crash

log = logging.getLogger("goque.callback")


def run(boot: dict[str, Any], channel: Channel) -> None:
    """Call the user's functions and answer with the delay until the next attempt, if they chose one."""
    from goque_supervisor.nursery.app_registry import registry_of_this_process  # noqa: PLC0415 - it may import the app

    report = decode_crash(boot["crash"])
    registry = registry_of_this_process(boot["app"], boot["registry_fd"])
    callbacks = processors_of(registry).get(boot["task_type"]).callbacks
    extra = {"task_id": report.row.id if report.row else None, "task_type": boot["task_type"]}
    if callbacks.crash_handler is not None:
        try:
            callbacks.crash_handler(_crash(boot["task_type"], report))
        except Exception:
            log.exception("crash_handler failed; the task is not affected", extra=extra)
    delay = None
    if callbacks.next_attempt_at is not None and report.row is not None:
        try:
            delay = delay_of(callbacks.next_attempt_at(report.attempt))
        except Exception:
            log.exception("next_attempt_at failed; the default delay applies", extra=extra)
    channel.send(CallbackDone(boot["call"], delay))


def _as_it_ran(row: TaskRow) -> TaskRow:
    return msgspec.structs.replace(row, status=TaskStatus.PROCESSING)


def _crash(task_type: str, report: CrashReport) -> WorkerCrash:
    try:
        task = None if report.row is None else Task.from_row(_as_it_ran(report.row))
    except GoqueError as error:
        log.warning("crash_handler gets no task, because the crashed one cannot be decoded: %s", error)
        task = None
    outcome = report.outcome
    evidence = outcome.crash or CrashEvidence()
    return WorkerCrash(
        task_type,
        task,
        outcome.pid,
        evidence.exit_code,
        evidence.signal,
        evidence.stack,
        evidence.max_rss,
        cause=outcome.error,
        attempt=report.attempt,
        duration=outcome.duration,
        oom=evidence.oom,
        stderr=evidence.stderr,
        follows=report.follows,
    )
