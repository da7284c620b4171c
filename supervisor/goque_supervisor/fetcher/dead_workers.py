"""Settle the tasks of a dead worker. Its black box records which tasks ran and which had ended."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Final

import msgspec

from goque.describe.run_end import describe_retry
from goque.execution.timeout_text import timeout_text
from goque.options import ProcessorOptions
from goque.outcome import Outcome, OutcomeKind, settle
from goque.steps.question import Progress
from goque.task_rules.crash_evidence import CrashEvidence, crash_cause
from goque_supervisor.fetcher.in_flight import ClaimedTask, InFlight
from goque_supervisor.fetcher.pool_types import PoolTypes
from goque_supervisor.fetcher.stderr_relay import tail
from goque_supervisor.ipc import messages
from goque_supervisor.ipc.blackbox import BlackBox, is_shortage
from goque_supervisor.ipc.box_records import Contents, Running
from goque_supervisor.ipc.control import CallbackWanted, CrashSettled, Message, WorkerExited
from goque_supervisor.ipc.crash_report import CrashReport, encode_crash
from goque_supervisor.ipc.exit_cause import signal_name
from goque_supervisor.ipc.run_directory import stack_path, stderr_path

log = logging.getLogger("goque.fetcher")

_CALLERS = (
    "goque_supervisor",
    "goque/execution/run_handler.py",
)  # in the path of the frame that called a handler


MAX_STACK: Final = 32 * 1024
"""Bytes of the last stacks that are kept: a hundred calls, and those of a coroutine."""

KILLED_AT_SHUTDOWN: Final = "its process was killed, because it still ran at the end of the shutdown"


class DeadWorkers:
    """Decides how the tasks of dead workers ended; the root deletes a worker's files when all is committed."""

    def __init__(self, in_flight: InFlight, types: PoolTypes, tell_root: Callable[[Message], None]) -> None:
        self._in_flight = in_flight
        self._types = types
        self._tell_root = tell_root
        self._unsettled: dict[int, set[str]] = {}
        self._calls: dict[int, tuple[ClaimedTask, Outcome]] = {}
        self._last_call = 0

    @property
    def is_pending(self) -> bool:
        """Whether an outcome of a dead worker is not committed yet."""
        return bool(self._unsettled)

    def settle_dead_worker(
        self,
        notice: WorkerExited,
        jobs: dict[int, ClaimedTask],
        contents: Contents,
        unwritten: Iterable[ClaimedTask] = (),
    ) -> None:
        """Settle the jobs of a dead worker: keep the outcomes, decide about running jobs, requeue the others.

        Args:
            notice: how the worker ended.
            jobs: the jobs that it was sent and has not answered.
            contents: the contents of its black box.
            unwritten: tasks whose outcome it has sent and that are not committed; its box must be kept for them.
        """
        evidence = evidence_of(notice, contents)
        task_ids = self._unsettled[notice.incarnation] = {task.row.id for task in unwritten}
        for seq, task in jobs.items():
            if seq in contents.finished:
                task_ids.add(task.row.id)
                self._in_flight.end(task, messages.decode_outcome(contents.finished[seq][1]))
            elif seq in contents.running:
                task_ids.add(task.row.id)
                running = contents.running[seq]
                options = self._types.options(task.row.type)
                self._end_or_call_back(
                    task, outcome_of_death(running, notice, evidence, options, time.monotonic())
                )
            else:
                self._in_flight.requeue(task)
        if not contents.running and notice.killed_for is None and (notice.signal or notice.exit_code):
            self._report_idle_crash(notice, evidence)
        self._close_if_empty(notice.incarnation)

    def committed(self, tasks: Iterable[ClaimedTask]) -> None:
        """Record that the outcomes of tasks are in the database."""
        if not self._unsettled:
            return
        ids = {task.row.id for task in tasks}
        for incarnation, task_ids in list(self._unsettled.items()):
            task_ids.difference_update(ids)
            self._close_if_empty(incarnation)

    def callback_done(self, call: int, delay: float | None) -> None:
        """End a task whose user's functions have answered or failed."""
        waiting = self._calls.pop(call, None)
        if waiting is not None:
            task, outcome = waiting
            self._in_flight.end(task, msgspec.structs.replace(outcome, delay=delay))

    def _end_or_call_back(self, task: ClaimedTask, outcome: Outcome) -> None:
        options = self._types.options(task.row.type)
        crashed = outcome.kind is OutcomeKind.CRASHED
        wants_delay = options.strategy is None and outcome.kind is OutcomeKind.TIMED_OUT
        if wants_delay or (crashed and (options.has_crash_handler or options.strategy is None)):
            report = CrashReport(task.row, outcome, self._follows(task, outcome))
            self._calls[self._call_back(task.row.type, report)] = task, outcome
        else:
            self._in_flight.end(task, outcome)

    def _report_idle_crash(self, notice: WorkerExited, evidence: CrashEvidence) -> None:
        text = crash_cause(evidence, _signal_of(evidence))
        for task_type in self._types.with_crash_handler():
            outcome = Outcome(OutcomeKind.CRASHED, text, pid=notice.pid, crash=evidence)
            self._call_back(task_type, CrashReport(None, outcome))

    def _call_back(self, task_type: str, report: CrashReport) -> int:
        """Ask the root to call the user's functions in a separate process. Returns the number of the call."""
        self._last_call += 1
        self._tell_root(CallbackWanted(self._last_call, task_type, encode_crash(report)))
        return self._last_call

    def _follows(self, task: ClaimedTask, outcome: Outcome) -> str:
        options = self._types.options(task.row.type)
        change = settle(outcome, task.row, options.retry_policy)
        if options.strategy is None and not change.status.is_terminal:
            return "next_attempt_at decides when it runs next"
        return describe_retry(outcome, change, options)

    def _close_if_empty(self, incarnation: int) -> None:
        if not self._unsettled[incarnation]:
            del self._unsettled[incarnation]
            self._tell_root(CrashSettled(incarnation))


def outcome_of_death(
    running: Running, notice: WorkerExited, evidence: CrashEvidence, options: ProcessorOptions, now: float
) -> Outcome:
    """Decide the outcome of one task whose handler was running when its worker ended.

    If the worker died by itself, each task that it ran loses an attempt. If the root ended it because of one task, only
    that task loses one. The others are released, and so are tasks that a shutdown interrupted.

    Args:
        running: the task's record in the black box.
        notice: how the worker ended, and whether the root ended it.
        evidence: what is known about the crash.
        options: the options of the processor.
        now: CLOCK_MONOTONIC seconds at the end of the worker.
    """
    duration = max(0.0, now - running.started)
    match notice.killed_for:
        case None:
            kind, text = OutcomeKind.CRASHED, crash_cause(evidence, _signal_of(evidence), running.step)
        case "timeout" if running.due + options.timeout_grace <= now:
            kind = OutcomeKind.TIMED_OUT
            text = timeout_text(options, has_stalled=running.has_stalled, step=running.step)
        case "canceled" if running.seq == notice.killed_seq:
            kind, text = OutcomeKind.CANCELED, "the task was canceled while it ran"
        case "shutdown":
            kind, text = OutcomeKind.INTERRUPTED, KILLED_AT_SHUTDOWN
        case _:
            kind, text = OutcomeKind.INTERRUPTED, ""
    seen = running.progress
    progress = None if seen is None else Progress(seen.fraction, seen.note)
    return Outcome(kind, text, duration=duration, pid=notice.pid, crash=evidence, progress=progress)


def read_box(path: str) -> Contents:
    """Read a dead worker's black box; a missing or broken one is logged, and counts as empty.

    Raises:
        OSError: this process has no descriptor or memory for it; the next fetcher will have.
    """
    try:
        box = BlackBox(path)
    except (OSError, ValueError) as error:
        if is_shortage(error):
            raise
        log.error("cannot read the black box of a dead worker (%s): its tasks count as not started", error)  # noqa: TRY400 - the line has the error
        return Contents({}, {})
    contents = replace(box.read(), stderr_from=box.stderr_from)
    box.close()
    if contents.broken:
        log.error(
            "the black box of a dead worker is damaged (%s): its later records are lost", contents.broken
        )
    return contents


def handlers_part(stack: str | None) -> str | None:
    """Remove the frames below the handler from an interpreter's last stack: they are always goque's."""
    if stack is None:
        return None
    lines = stack.splitlines()
    ours = [
        number
        for number, line in enumerate(lines)
        if line.startswith("  File ") and any(place in line for place in _CALLERS)
    ]
    if not ours:
        return stack
    end = next(
        (number for number in range(ours[0], len(lines)) if not lines[number].startswith("  File ")),
        len(lines),
    )
    return "\n".join(
        [*lines[: ours[0]], f"  and {end - ours[0]} frames of goque, which called the handler", *lines[end:]]
    )


def _signal_of(evidence: CrashEvidence) -> str | None:
    return None if evidence.signal is None else signal_name(evidence.signal)


def evidence_of(notice: WorkerExited, contents: Contents) -> CrashEvidence:
    """Read what a dead worker has left: its last stack, and the end of its standard error since its tasks began."""
    return CrashEvidence(
        notice.exit_code,
        notice.signal,
        notice.max_rss,
        notice.oom,
        handlers_part(tail(stack_path(notice.box), MAX_STACK)),
        tail(stderr_path(notice.box), since=contents.stderr_from),
    )
