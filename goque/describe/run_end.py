"""Logs the end of a run as one line, with the task, the attempt and the duration."""

from __future__ import annotations

import logging
from typing import Any

import msgspec

from goque.errors import MAX_DELAY
from goque.options import ProcessorOptions
from goque.outcome import Change, Outcome, OutcomeKind
from goque.task_row import TaskRow, TaskStatus
from goque.task_rules.crash_evidence import CrashEvidence
from goque.task_rules.error_lines import first_line
from goque.task_rules.traceback_frames import failing_frame
from goque.telemetry.logs import shown_values

log = logging.getLogger("goque.fetcher")


def log_outcome(
    row: TaskRow, outcome: Outcome | None, change: Change, options: ProcessorOptions, *, written: bool
) -> None:
    """Log how a run ended: at level debug what went well, as a warning a failed attempt, as an error the last one.

    The error has the traceback, unless the payload did not decode: then all of its frames are goque's.

    Args:
        row: the claimed task.
        outcome: how the run ended.
        change: the change of its row.
        options: the options of its processor.
        written: whether the claim was still valid, so that the change was written.
    """
    if outcome is None or outcome.kind is OutcomeKind.UNSTARTED:
        return
    if not (options.verbose or outcome.crash or change.status is TaskStatus.ATTEMPTS_LEFT):
        return
    level, text = _sentence(outcome, row, change, options, written=written)
    traceback = outcome.traceback if level >= logging.ERROR and not outcome.undecodable else None
    log.log(level, "%s", text, extra={**_fields(outcome, row), "traceback": traceback})


def _sentence(
    outcome: Outcome, row: TaskRow, change: Change, options: ProcessorOptions, *, written: bool
) -> tuple[int, str]:
    said = first_line(outcome.error)
    if not written:
        return logging.INFO, _superseded(outcome, options)
    if change.attempts > row.attempts:
        failed = f"attempt {change.attempts} of {options.max_attempts} failed: {said}"
        if outcome.kind is OutcomeKind.TIMED_OUT and outcome.crash is not None:
            failed += f"; {_killed(outcome.crash, options)}"
        level = logging.ERROR if change.status is TaskStatus.ATTEMPTS_LEFT else logging.WARNING
        return level, f"{failed}; {describe_retry(outcome, change, options)}"
    match outcome.kind:
        case OutcomeKind.DONE:
            return logging.DEBUG, "done"
        case OutcomeKind.SNOOZED | OutcomeKind.WAITING | OutcomeKind.RATE_LIMITED:
            return _put_off(outcome, row)
        case OutcomeKind.CANCELED:
            return logging.INFO, f"canceled by its handler: {said}" if said else "canceled by its handler"
    why = f"; {said}{_place(outcome.crash)}" if said and outcome.crash is not None else ""
    return logging.INFO, f"interrupted and requeued without charging an attempt: now {change.status}{why}"


def _put_off(outcome: Outcome, row: TaskRow) -> tuple[int, str]:
    delay = f"{outcome.delay or 0.0:g}s"
    if outcome.kind is OutcomeKind.WAITING:
        is_endless = (outcome.delay or 0.0) >= MAX_DELAY
        return logging.DEBUG, outcome.error if is_endless else f"{outcome.error} for at most {delay}"
    if outcome.kind is OutcomeKind.SNOOZED and outcome.error:
        return logging.DEBUG, f"{outcome.error} for {delay}"
    if outcome.kind is OutcomeKind.SNOOZED:
        return logging.DEBUG, f"snoozed for {delay}"
    of = f"its key {row.limit_key!r:.80}" if row.limit_key else "its type"
    return logging.INFO, f"rate limited: no task of {of} starts for {delay}"


def _killed(crash: CrashEvidence, options: ProcessorOptions) -> str:
    """Say that a handler ignored its TaskTimeout, and where it was at the end of the grace."""
    return (
        f"the handler did not stop within timeout_grace={options.timeout_grace:g}, "
        f"so its process was killed{_place(crash)}"
    )


def _place(crash: CrashEvidence) -> str:
    """Name the last line of the user's own code in the stack of a killed process; empty if it left no stack."""
    frame = failing_frame(crash.stack or "")
    return "" if frame is None else f" in {frame.function} ({frame.path}, line {frame.line})"


def _superseded(outcome: Outcome, options: ProcessorOptions) -> str:
    if outcome.kind is OutcomeKind.CANCELED and outcome.crash is not None:
        return f"canceled while it ran: {_killed(outcome.crash, options)}"
    if outcome.kind is OutcomeKind.CANCELED:
        return "canceled while it ran: its handler was stopped"
    return f"another process changed its status during the run: this result ({outcome.kind}) is ignored"


def describe_retry(outcome: Outcome, change: Change, options: ProcessorOptions) -> str:
    """Say what follows a failed attempt."""
    if change.status is not TaskStatus.ATTEMPTS_LEFT:
        delay = change.delay or 0.0
        return f"next in {round(delay, 1) if delay > 1 else round(delay, 3):g}s"
    if change.attempts >= options.max_attempts:
        return "no attempt is left"
    if outcome.kind is OutcomeKind.CRASHED:
        return f"max_crashes={options.max_crashes} is reached: not retried"
    return "not retried, because of retry_on or no_retry_on"


def _fields(outcome: Outcome, row: TaskRow) -> dict[str, Any]:
    values = shown_values(_values_of(row))
    return {
        "task_type": row.type,
        "task_id": row.id,
        "attempt": max(row.attempts, 0) + 1,
        "duration": round(outcome.duration, 6),
        **({"values": values} if values else {}),
    }


def _values_of(row: TaskRow) -> dict[str, Any]:
    """Return the context values in the task's metadata; none if it is no JSON object."""
    try:
        return msgspec.json.decode(row.metadata or b"{}", type=dict[str, Any])
    except (ValueError, RecursionError, msgspec.MsgspecError):
        return {}
