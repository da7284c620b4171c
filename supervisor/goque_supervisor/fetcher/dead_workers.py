"""What becomes of the tasks of a dead worker: its black box tells, and each is judged exactly."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable

import msgspec

from goque.describe.run_end import describe_retry
from goque.execution.run_handler import timeout_text
from goque.options import ProcessorOptions
from goque.outcome import CrashEvidence, Outcome, OutcomeKind, crash_cause, settle
from goque_supervisor.fetcher.in_flight import ClaimedTask, InFlight
from goque_supervisor.fetcher.stderr_relay import tail
from goque_supervisor.ipc import messages
from goque_supervisor.ipc.blackbox import BlackBox, Contents, Running, is_shortage
from goque_supervisor.ipc.control import CallbackWanted, CrashSettled, Message, WorkerExited
from goque_supervisor.ipc.run_directory import stack_path, stderr_path
from goque_supervisor.root.restart_policy import signal_name
from goque_supervisor.worker.crash_callback import CrashReport

log = logging.getLogger("goque.fetcher")

_CALLERS = (
    "goque_supervisor",
    "goque/execution/run_handler.py",
)  # in the path of the frame that called a handler


class DeadWorkers:
    """Judges what dead workers had; their files go when all of it is committed."""

    def __init__(
        self, holdings: InFlight, options: ProcessorOptions, tell_root: Callable[[Message], None]
    ) -> None:
        self._holdings = holdings
        self._options = options
        self._tell_root = tell_root
        self._graves: dict[int, set[str]] = {}
        self._calls: dict[int, tuple[ClaimedTask, Outcome]] = {}
        self._last_call = 0

    @property
    def is_pending(self) -> bool:
        """Whether something of a dead worker is not committed yet."""
        return bool(self._graves)

    def bury(
        self,
        notice: WorkerExited,
        jobs: dict[int, ClaimedTask],
        contents: Contents,
        unwritten: Iterable[ClaimedTask] = (),
    ) -> None:
        """Settle what a worker had: what had ended counts, what ran is judged, the rest runs elsewhere.

        Args:
            notice: how it ended.
            jobs: what it was sent and has not answered.
            contents: what its black box says.
            unwritten: what it has answered and is not committed: until then only its box outlives us too.
        """
        evidence = _evidence(notice)
        grave = self._graves[notice.incarnation] = {held.row.id for held in unwritten}
        for seq, held in jobs.items():
            if seq in contents.finished:
                grave.add(held.row.id)
                self._holdings.end(held, messages.decode_outcome(contents.finished[seq][1]))
            elif seq in contents.running:
                grave.add(held.row.id)
                running = contents.running[seq]
                self._judge(
                    held, outcome_of_death(running, notice, evidence, self._options, time.monotonic())
                )
            else:
                self._holdings.wait_again(held)
        if not contents.running and notice.killed_for is None and (notice.signal or notice.exit_code):
            self._tell_of_idle_crash(notice, evidence)
        self._close_if_empty(notice.incarnation)

    def committed(self, held: ClaimedTask) -> None:
        """Note that the end of a task is in the database."""
        for incarnation, grave in list(self._graves.items()):
            if held.row.id in grave:
                grave.remove(held.row.id)
                self._close_if_empty(incarnation)

    def callback_done(self, call: int, delay: float | None) -> None:
        """Go on with a task whose user's functions have answered, or have failed to."""
        waiting = self._calls.pop(call, None)
        if waiting is not None:
            held, outcome = waiting
            self._holdings.end(held, msgspec.structs.replace(outcome, delay=delay))

    def _judge(self, held: ClaimedTask, outcome: Outcome) -> None:
        crashed = outcome.kind is OutcomeKind.CRASHED
        wants_delay = self._options.strategy is None and outcome.kind is OutcomeKind.TIMED_OUT
        if wants_delay or (crashed and (self._options.has_crash_handler or self._options.strategy is None)):
            self._calls[self._call_back(held, outcome)] = held, outcome
        else:
            self._holdings.end(held, outcome)

    def _tell_of_idle_crash(self, notice: WorkerExited, evidence: CrashEvidence) -> None:
        if self._options.has_crash_handler:
            text = crash_cause(evidence, _signal_of(evidence))
            self._call_back(None, Outcome(OutcomeKind.CRASHED, text, pid=notice.pid, crash=evidence))

    def _call_back(self, held: ClaimedTask | None, outcome: Outcome) -> int:
        """Have the user's functions called in a process of their own; returns the number of the call."""
        self._last_call += 1
        report = (
            CrashReport(held.row, outcome, self._follows(held, outcome))
            if held
            else CrashReport(None, outcome)
        )
        self._tell_root(CallbackWanted(self._last_call, msgspec.json.encode(report).decode()))
        return self._last_call

    def _follows(self, held: ClaimedTask, outcome: Outcome) -> str:
        change = settle(outcome, held.row, self._options.retry_policy)
        if self._options.strategy is None and not change.status.is_terminal:
            return "next when next_attempt_at says"
        return describe_retry(outcome, change, self._options)

    def _close_if_empty(self, incarnation: int) -> None:
        if not self._graves[incarnation]:
            del self._graves[incarnation]
            self._tell_root(CrashSettled(incarnation))


def outcome_of_death(
    running: Running, notice: WorkerExited, evidence: CrashEvidence, options: ProcessorOptions, now: float
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
            kind, text = OutcomeKind.CRASHED, crash_cause(evidence, _signal_of(evidence))
        case "timeout" if running.deadline + options.timeout_grace <= now:
            kind, text = OutcomeKind.TIMED_OUT, timeout_text(options.timeout)
        case "canceled" if running.seq == notice.killed_seq:
            kind, text = OutcomeKind.CANCELED, "the task was canceled while it ran"
        case _:
            kind, text = OutcomeKind.INTERRUPTED, ""
    return Outcome(kind, text, duration=duration, pid=notice.pid, crash=evidence)


def read_box(path: str) -> Contents:
    """Read a dead worker's black box; one that is gone or broken counts as empty, and says so.

    Raises:
        OSError: this process has no descriptor or memory for it; the next fetcher will.
    """
    try:
        box = BlackBox(path)
    except (OSError, ValueError) as error:
        if is_shortage(error):
            raise
        log.error("a dead worker's black box cannot be read (%s): what it had counts as not begun", error)  # noqa: TRY400 - the sentence tells all
        return Contents({}, {})
    contents = box.read()
    box.close()
    return contents


def handlers_part(stack: str | None) -> str | None:
    """Leave out of an interpreter's last stack the frames below the handler, which are always ours."""
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
        [*lines[: ours[0]], f"  and {end - ours[0]} frames of goque, which called it", *lines[end:]]
    )


def _signal_of(evidence: CrashEvidence) -> str | None:
    return None if evidence.signal is None else signal_name(evidence.signal)


def _evidence(notice: WorkerExited) -> CrashEvidence:
    return CrashEvidence(
        notice.exit_code,
        notice.signal,
        notice.max_rss,
        notice.oom,
        handlers_part(tail(stack_path(notice.box))),
        tail(stderr_path(notice.box)),
    )
