"""A worker of `def` handlers: one at a time in the main thread, so that a signal can interrupt blocking calls.

SIGALRM raises TaskTimeout in a handler that runs too long. SIGUSR1 raises TaskCanceled in a handler whose task was
canceled. If the handler continues after that, the root kills the worker.
"""

from __future__ import annotations

import contextvars
import os
import signal
import threading
import time
from _signal import (  # type: ignore[import-not-found]  # as fast as it gets: that of `signal` makes an enum each time
    getsignal,
)
from typing import Any

from goque.errors import GoqueError, TaskCanceled, TaskTimeout
from goque.execution.open_ends import let_go
from goque.execution.run_handler import (
    charge_timeout,
    handle,
    outcome_of_run,
    with_duration,
    with_users_delay,
)
from goque.execution.transaction_steps import record_in
from goque.handlers.processor import Processor
from goque.handlers.processor_table import ProcessorTable
from goque.options import ProcessorOptions
from goque.outcome import Outcome
from goque.steps.question import Answer, Question
from goque.steps.run import StepRun
from goque.task import Task
from goque_supervisor.ipc.channel import Channel
from goque_supervisor.ipc.messages import Job
from goque_supervisor.worker.questions import ASK_AGAIN
from goque_supervisor.worker.worker import Worker


class SyncWorker(Worker):
    """Runs `def` handlers one at a time in the main thread, so that a signal can interrupt blocking calls."""

    def __init__(self, boot: dict[str, Any], channel: Channel, processors: ProcessorTable) -> None:
        super().__init__(boot, channel, processors)
        self.running_options = ProcessorOptions()
        self.deadline = 0.0
        self.running_seq = 0
        self.interruptible = False
        self.awaits_answer = False
        self.timed_out = ""
        self.canceled = False
        self.child_error: BaseException | None = None

    def run(self) -> None:
        """Run jobs until the root stops this worker."""
        self._handlers = {signal.SIGALRM: self._on_alarm, signal.SIGUSR1: self._on_interrupt}
        for number, ours in self._handlers.items():
            signal.signal(number, ours)
        self.introduce()
        while not self.stopping:
            while self.jobs and not self.stopping:
                self._run_job(self.jobs.popleft())
            self.send_results()
            self.socket.wait(None)
            self.receive()
        self.send_results()
        self.socket.close(1.0)

    def _run_job(self, job: Job) -> None:
        deadline = self.begin(job)
        if deadline is None:
            return
        processor = self.processors.get(job.row.type)
        self.running_options = processor.spec.options
        started = deadline - self.running_options.timeout
        outcome = self._outcome_of(job, processor, deadline)
        if os.getpid() != self.pid:
            os._exit(0)  # this is a child that the handler forked: it must not report for its parent
        now = time.monotonic()
        outcome = with_duration(outcome, now - started, self.pid)
        self.finish(job, outcome)
        if self.options.max_tasks is not None or self.options.max_memory is not None:
            self.consider_retiring()
        self.send_results_if_due(now)

    def _outcome_of(self, job: Job, processor: Processor, deadline: float) -> Outcome:
        self.deadline, self.running_seq = deadline, job.seq
        self.timed_out, self.canceled = "", False
        self._arm(self.due(job.seq, deadline))
        try:
            try:
                self.interruptible = True
                handled = contextvars.Context().run(handle, processor, job.row, self)
                outcome = handled.outcome
            finally:
                self.interruptible = False
        except BaseException as error:  # noqa: BLE001 - any exception of a handler fails its attempt, never the worker
            outcome = outcome_of_run(processor, self, error)
        else:
            if handled.error is not None:
                let_go(handled.error, collects=handled.has_recorded_in_transaction)
        self.running_seq = 0
        outcome = charge_timeout(outcome, processor, self)
        return with_users_delay(outcome, job.row, processor.callbacks)

    def steps_of(self, task: Task) -> StepRun:
        """Return the steps of the handler that runs."""
        options = self.processors.get(task.type).spec.options
        channel = SyncStepChannel(self, self.running_seq, task)
        return StepRun(channel, options.max_result, is_first=task.claims == 1)

    def ask(self, question: Question) -> Answer:
        """Ask a question for the handler that runs, and wait for the answer; a timeout or a cancel ends the wait."""
        found: list[Answer] = []
        number = 0
        self.awaits_answer = True
        try:
            with self.held_signals:
                self.send_results()
                number = self.questions.ask(self.running_seq, question, found.append)
            while not found:
                self.socket.wait(ASK_AGAIN)
                with self.held_signals:
                    self.receive()
                    self.questions.ask_again(time.monotonic())
        finally:
            self.awaits_answer = False
            self.questions.forget(number)
        return found[0]

    def _arm(self, due: float) -> None:
        """Ensure that an alarm comes by this time.

        An alarm that comes early is set again. This saves a system call for each of many quick tasks. The timer and
        the handlers are looked at each time, because a handler may have used SIGALRM for itself.
        """
        for number, ours in self._handlers.items():
            if getsignal(number) is not ours:
                signal.signal(number, ours)
        left = max(0.000001, due - time.monotonic())
        if not 0.0 < signal.getitimer(signal.ITIMER_REAL)[0] <= left:
            signal.setitimer(signal.ITIMER_REAL, left)

    def _on_alarm(self, number: int, frame: object) -> None:
        del frame
        if not self.running_seq or self.held_signals.hold(number):
            return
        if self.awaits_answer:
            self.moved(self.running_seq)  # the database may be away for long: that is no stall of the handler
        due = self.due(self.running_seq, self.deadline)
        if time.monotonic() < due:
            self._arm(due)
        elif self.interruptible and not self.timed_out and not self.canceled:
            self.timed_out = self.time_out(self.running_seq, self.running_options)
            raise TaskTimeout(self.timed_out)

    def _on_interrupt(self, number: int, frame: object) -> None:
        del frame
        if self.held_signals.hold(number):
            return
        seq, reason = self.box.read_interrupt()
        if seq == self.running_seq and self.interruptible and not self.timed_out and not self.canceled:
            self.canceled = True
            raise TaskCanceled(f"stopped from outside: {reason}")


class SyncStepChannel:
    """The way of one `def` handler's run to the table."""

    is_async = False

    def __init__(self, worker: SyncWorker, seq: int, task: Task) -> None:
        self._worker = worker
        self._task = task
        self._seq = seq
        self._thread = threading.main_thread().ident

    def ask(self, question: Question) -> Answer:
        """Ask the fetcher; see StepChannel."""
        self._check_thread()
        return self._worker.ask(question)

    def record_in(self, conn: Any, question: Question) -> Answer:
        """Record a step in the caller's transaction."""
        self._check_thread()
        return record_in(conn, self._task, question)

    def note_step(self, names: str) -> None:
        """Note which steps run, in the black box."""
        self._check_thread()
        self._worker.note_step(self._seq, names)

    def moved(self) -> None:
        """Note that a step has ended."""
        self._worker.moved(self._seq)

    def note_progress(self, fraction: float, note: str) -> None:
        """Note how far the run is, in the black box."""
        self._check_thread()
        self._worker.note_progress(self._seq, fraction, note)

    def _check_thread(self) -> None:
        if threading.get_ident() != self._thread or os.getpid() != self._worker.pid:
            raise GoqueError(
                "call steps and progress in the thread that runs the handler, not in another thread or a fork"
            )
