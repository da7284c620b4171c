"""A short-lived process for the user's functions about a crash: crash_handler and next_attempt_at.

They may do to their process what they like: the root gives it a few seconds, and the default holds if it fails.
"""

from __future__ import annotations

import logging
from typing import Any

import msgspec

from goque.crash import WorkerCrash
from goque.errors import GoqueError
from goque.outcome import CrashEvidence, Outcome
from goque.processor_table import processors_of
from goque.retry import delay_of
from goque.task import Task, TaskRow, TaskStatus
from goque_supervisor.ipc.control import CallbackDone, Channel

log = logging.getLogger("goque.callback")


class CrashReport(msgspec.Struct, frozen=True):
    """A WorkerCrash as it crosses processes.

    Attributes:
        row: the task as it was claimed, None if the worker was idle.
        outcome: how its run ended; of an idle worker, how the process did.
        follows: what happens to the task next, in words.
    """

    row: TaskRow | None
    outcome: Outcome
    follows: str = ""

    @property
    def attempt(self) -> int:
        """The attempt that is charged, 0 for none."""
        return self.row.attempts + 1 if self.row else 0


def run(boot: dict[str, Any], channel: Channel) -> None:
    """Call the user's functions and answer with the delay until the next attempt, if they chose one."""
    from goque_supervisor.nursery.preload import registry_of_this_process  # noqa: PLC0415 - it may import the app

    report = msgspec.json.decode(boot["crash"], type=CrashReport)
    registry = registry_of_this_process(boot["app"], boot["registry_fd"])
    callbacks = processors_of(registry).get(boot["task_type"]).callbacks
    extra = {"task_id": report.row.id if report.row else None, "task_type": boot["task_type"]}
    if callbacks.crash_handler is not None:
        try:
            callbacks.crash_handler(_crash(boot["task_type"], report))
        except Exception:
            log.exception("crash_handler failed; the task goes on", extra=extra)
    delay = None
    if callbacks.next_attempt_at is not None and report.row is not None:
        try:
            delay = delay_of(callbacks.next_attempt_at(report.attempt))
        except Exception:
            log.exception("next_attempt_at failed: the default holds", extra=extra)
    channel.send(CallbackDone(boot["call"], delay))


def _as_it_ran(row: TaskRow) -> TaskRow:
    return msgspec.structs.replace(row, status=TaskStatus.PROCESSING)


def _crash(task_type: str, report: CrashReport) -> WorkerCrash:
    try:
        task = None if report.row is None else Task.from_row(_as_it_ran(report.row))
    except GoqueError as error:
        log.warning("the crashed task cannot be shown to crash_handler: %s", error)
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
