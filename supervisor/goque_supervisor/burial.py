"""What a dead worker's black box says of each task that it had: exact blame, without I/O."""

from __future__ import annotations

from goque.options import ProcessorOptions
from goque.outcome import CrashEvidence, Outcome, OutcomeKind, crash_cause
from goque_supervisor.blackbox import Running
from goque_supervisor.control import WorkerExited
from goque_supervisor.handling import timeout_text
from goque_supervisor.spec import signal_name


def outcome_of_death(
    running: Running,
    notice: WorkerExited,
    evidence: CrashEvidence,
    options: ProcessorOptions,
    *,
    now: float,
) -> Outcome:
    """Decide what the end of a worker means for one task whose handler was running.

    A worker that died by itself charges what it ran. One that was ended because of one task charges that task
    alone; the others, and what a shutdown interrupted, are given back.

    Args:
        running: what the black box says of the task.
        notice: how the worker ended, and whether the root ended it.
        evidence: what it left behind.
        options: the processor's.
        now: CLOCK_MONOTONIC seconds at its end.
    """
    duration = max(0.0, now - running.started)
    match notice.killed_for:
        case None:
            text = crash_cause(evidence, None if evidence.signal is None else signal_name(evidence.signal))
            return _outcome(OutcomeKind.CRASHED, text, duration, notice, evidence)
        case "timeout" if running.deadline + options.timeout_grace <= now:
            text = timeout_text(options.timeout)
            return _outcome(OutcomeKind.TIMED_OUT, text, duration, notice, evidence)
        case "canceled" if running.seq == notice.killed_seq:
            return _outcome(OutcomeKind.CANCELED, "stopped from outside: canceled", duration, notice, None)
    return _outcome(OutcomeKind.INTERRUPTED, "", duration, notice, None)


def _outcome(
    kind: OutcomeKind, text: str, duration: float, notice: WorkerExited, evidence: CrashEvidence | None
) -> Outcome:
    return Outcome(kind, text, duration=duration, pid=notice.pid, crash=evidence)
