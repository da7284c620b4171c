"""One task in one worker of a replay, from the request to start the worker until its files are read."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any, Final

import msgspec

from goque.execution.inline_steps import MemorySteps
from goque.flows.withheld_writes import Withheld
from goque.options import ProcessorSpec
from goque.outcome import Outcome, OutcomeKind
from goque.task_row import TaskRow
from goque_supervisor.fetcher.dead_workers import evidence_of, outcome_of_death, read_box
from goque_supervisor.fetcher.stderr_relay import StderrRelay
from goque_supervisor.ipc import messages, os_process
from goque_supervisor.ipc.blackbox import BlackBox
from goque_supervisor.ipc.channel import Channel
from goque_supervisor.ipc.control import BootFailed, Stop, WorkerExited
from goque_supervisor.ipc.exit_cause import ExitCause
from goque_supervisor.ipc.messages import Answered, Asking, FromWorker, Hello, Job, Jobs, Results, Retiring
from goque_supervisor.ipc.run_directory import remove_worker_files, stderr_path, withheld_path
from goque_supervisor.ipc.sockets import FetcherSocket
from goque_supervisor.replay.answers import ReplaySteps
from goque_supervisor.replay.result import Replayed

SEQ: Final = 1 << messages.EPOCH_BITS
STACK_TIME: Final = 0.01
BOOT_LIMIT: Final = 120.0
EXIT_LIMIT: Final = 10.0
"""Seconds that a worker may take to end after its task: functions registered with `atexit` run."""


class WorkerRun:
    """The worker of one task.

    Args:
        key: the number of this run.
        row: the task, as a claim would give it.
        steps: answers what the run asks about its steps.
        spec: the type's processor.
        box: the path of the black box, which is made here.
        shows_output: whether what the worker writes to standard error is shown.
    """

    def __init__(
        self,
        key: int,
        row: TaskRow,
        steps: MemorySteps,
        spec: ProcessorSpec,
        box: Path,
        *,
        shows_output: bool,
    ) -> None:
        self.row = row
        self.key = key
        self.identity = f"replay.{key}.{os.urandom(6).hex()}"
        self.pid = 0
        BlackBox.create(box, jobs=1)
        self.box = BlackBox(box)
        self.channel, self.theirs = Channel.pair()
        self._steps = steps
        self._answers = ReplaySteps(steps)
        self._known_steps = frozenset(steps.steps)
        self._spec = spec
        self._started_at = time.monotonic()
        self._relay = StderrRelay(stderr_path(box)) if shows_output else None
        self._oom_before = os_process.oom_kills()
        self._pending: list[bytes] = []
        self._outcome: Outcome | None = None
        self._boot_error = ""
        self._killed_for: str | None = None
        self._ends_by = 0.0
        self._retiring = ""
        self._is_ready = False

    # -- what arrives ------------------------------------------------------------------------------------------------

    def on_message(self, message: FromWorker) -> None:
        """Do what a fetcher would do, but for the writing."""
        match message:
            case Hello():
                self._is_ready = True
                self._pending.append(messages.encode(Jobs([Job(SEQ, self.row)], [])))
            case Asking(number, _seq, question):
                self._pending.append(
                    messages.encode(Jobs([], [], [Answered(number, self._answers.ask(question))]))
                )
            case Results(results):
                self._outcome = results[0].outcome
                self._stop()
            case Retiring(reason):
                self._retiring = reason

    def on_not_started(self, why: str) -> None:
        """Take that there is no process."""
        self._boot_error = f"the worker cannot be started: {why}"

    def _stop(self) -> None:
        self.channel.send(Stop())
        self._ends_by = time.monotonic() + EXIT_LIMIT

    # -- each turn of the loop -----------------------------------------------------------------------------------------

    def advance(self, socket: FetcherSocket) -> Replayed | None:
        """Send what waits, end the worker if its time is over, and return the result once it has ended."""
        while self._pending and socket.send(self.identity.encode(), self._pending[0]):
            self._pending.pop(0)
        for message in self.channel.receive():
            if isinstance(message, BootFailed):
                self._boot_error = message.message
        if self._relay is not None:
            self._relay.forward()
        if not self.pid:
            return self._not_started() if self._boot_error else None
        self._kill_if_due(time.monotonic())
        return self._reap()

    def _kill_if_due(self, now: float) -> None:
        if self._killed_for is not None:
            return
        kill_at = self.box.kill_at
        if kill_at and now >= kill_at:
            self._kill("timeout")
        elif self._ends_by and now >= self._ends_by:
            self._kill("stop")
        elif not self._is_ready and now - self._started_at > BOOT_LIMIT:
            self._boot_error = f"the worker is not ready after {BOOT_LIMIT:g}s"
            self._kill("boot")

    def _kill(self, reason: str) -> None:
        self._killed_for = reason
        if reason == "timeout":
            os.kill(self.pid, signal.SIGUSR2)  # not reaped yet, so the pid is its own: it writes its stack
            time.sleep(STACK_TIME)
        self.kill()

    def kill(self) -> None:
        """Kill the worker and what its handler has started."""
        if self.pid:
            os_process.kill_group(self.pid)
            os_process.kill(self.pid)

    def _reap(self) -> Replayed | None:
        try:
            found = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return None  # the process between the two forks has not ended yet: see nursery/forker.py
        if found is None:
            return None
        os_process.kill_group(self.pid)  # before the pid is reaped, so that it cannot name another group
        _pid, status, usage = os.wait4(self.pid, 0)
        cause = ExitCause.from_status(os.waitstatus_to_exitcode(status))
        max_rss = usage.ru_maxrss * (1024 if os_process.IS_LINUX else 1)
        outcome = self._outcome or self._outcome_of_exit(cause, max_rss)
        return self._result(outcome, max_rss)

    # -- the end -----------------------------------------------------------------------------------------------------

    def _outcome_of_exit(self, cause: ExitCause, max_rss: int) -> Outcome:
        """Decide how a task ended whose worker has sent no outcome: its black box tells."""
        notice = WorkerExited(
            self.key,
            self.pid,
            str(self.box.path),
            cause.exit_code,
            cause.signal,
            self._killed_for,
            SEQ,
            max_rss,
            self._oom_evidence(cause),
        )
        contents = read_box(str(self.box.path))
        if SEQ in contents.finished:
            return messages.decode_outcome(contents.finished[SEQ][1])
        if SEQ in contents.running:
            running = contents.running[SEQ]
            return outcome_of_death(
                running, notice, evidence_of(notice, contents), self._spec.options, time.monotonic()
            )
        text = self._boot_error or f"the worker ended by {cause} before it could take the task"
        return Outcome(OutcomeKind.UNSTARTED, text, pid=self.pid, crash=evidence_of(notice, contents))

    def _oom_evidence(self, cause: ExitCause) -> str | None:
        kills = os_process.oom_kills() - self._oom_before
        if cause.signal != signal.SIGKILL or self._killed_for is not None or kills <= 0:
            return None
        return f"the kernel killed {kills} process(es) for memory while this one lived"

    def _not_started(self) -> Replayed:
        return self._result(Outcome(OutcomeKind.UNSTARTED, self._boot_error), 0)

    def _result(self, outcome: Outcome, max_rss: int) -> Replayed:
        if self._relay is not None:
            self._relay.forward(rest=True)
        return Replayed(
            row=self.row,
            outcome=outcome,
            options=self._spec.options,
            max_rss=max_rss,
            withheld=_read_withheld(withheld_path(self.box.path)),
            known_steps=len(self._known_steps),
            new_steps=tuple(name for name in self._steps.steps if name not in self._known_steps),
            retiring=self._retiring,
        )

    def close(self) -> None:
        """Delete the files of this run."""
        self.channel.close()
        self.theirs.close()
        self.box.close()
        remove_worker_files(self.box.path)


def _read_withheld(path: Path) -> tuple[Withheld, ...]:
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return ()  # the worker ended before it could make the file
    found: list[Withheld] = []
    for line in lines:
        try:
            found.append(msgspec.json.decode(line, type=Withheld))
        except msgspec.DecodeError:
            break  # the worker died while it wrote the last line
    return tuple(found)


def boot_of(run: WorkerRun, common: dict[str, Any]) -> dict[str, Any]:
    """Return what the worker of a run is told at its start."""
    return {
        **common,
        "name": f"replay of {run.row.type}",
        "role": "worker",
        "slot": run.key,
        "box": str(run.box.path),
        "identity": run.identity,
        "incarnation": run.key,
        "task_type": run.row.type,
        "replays": True,
    }
