"""What the log says of the end of a run: one line, with the task, its attempt and how long it took."""

from __future__ import annotations

import logging
from typing import Any

import msgspec

from goque.options import ProcessorOptions
from goque.outcome import Change, Outcome, OutcomeKind, first_line
from goque.task import TaskRow, TaskStatus
from goque.telemetry.logs import shown_values

log = logging.getLogger("goque.fetcher")


def log_outcome(
    row: TaskRow, outcome: Outcome | None, change: Change, options: ProcessorOptions, *, written: bool
) -> None:
    """Say how a run ended; what went as it should is for those who debug.

    Args:
        row: the task as it was claimed.
        outcome: how the run ended.
        change: the move that follows from it.
        options: the processor's.
        written: whether the claim still held, so that the move was written.
    """
    if outcome is None or outcome.kind is OutcomeKind.UNSTARTED:
        return
    if not (options.verbose or outcome.crash or change.status is TaskStatus.ATTEMPTS_LEFT):
        return
    level, text = _sentence(outcome, row, change, options, written=written)
    log.log(level, "%s", text, extra=_fields(outcome, row))


def _sentence(
    outcome: Outcome, row: TaskRow, change: Change, options: ProcessorOptions, *, written: bool
) -> tuple[int, str]:
    said = first_line(outcome.error)
    if not written:
        return logging.INFO, _superseded(outcome)
    if change.attempts > row.attempts:
        failed = f"attempt {change.attempts} of {options.max_attempts} failed: {said}"
        return logging.WARNING, f"{failed}; {describe_retry(outcome, change, options)}"
    match outcome.kind:
        case OutcomeKind.DONE:
            return logging.DEBUG, "done"
        case OutcomeKind.SNOOZED:
            return logging.DEBUG, f"snoozed for {outcome.delay or 0.0:g}s"
        case OutcomeKind.CANCELED:
            return logging.INFO, f"canceled by its handler: {said}" if said else "canceled by its handler"
    return logging.INFO, f"stopped before its end and given back, uncharged: now {change.status}"


def _superseded(outcome: Outcome) -> str:
    if outcome.kind is OutcomeKind.CANCELED:
        return "canceled from outside: its handler was stopped"
    return f"somebody else has moved this task: its end ({outcome.kind}) changes nothing"


def describe_retry(outcome: Outcome, change: Change, options: ProcessorOptions) -> str:
    """Say what happens after a failed attempt."""
    if change.status is not TaskStatus.ATTEMPTS_LEFT:
        return f"next in {change.delay or 0.0:g}s"
    if change.attempts >= options.max_attempts:
        return "no attempt is left"
    if outcome.kind is OutcomeKind.CRASHED:
        return f"max_crashes={options.max_crashes} is reached: given up"
    return "not to be tried again, by retry_on or no_retry_on"


def _fields(outcome: Outcome, row: TaskRow) -> dict[str, Any]:
    values = shown_values(_values_of(row))
    return {
        "task_id": row.id,
        "attempt": row.attempts + 1,
        "duration": round(outcome.duration, 6),
        **({"values": values} if values else {}),
    }


def _values_of(row: TaskRow) -> dict[str, Any]:
    """Return the context values that the task was enqueued with; none where its metadata is no JSON object."""
    try:
        return msgspec.json.decode(row.metadata or b"{}", type=dict[str, Any])
    except msgspec.MsgspecError:
        return {}
