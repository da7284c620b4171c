"""A worker: runs handlers, one `def` handler at a time in its main thread, and reports how they ended.

1. take jobs from the fetcher;
2. before each handler write into the black box that it runs, after it how it ended;
3. send results in batches, at once when there is nothing else to do;
4. forget a result when the fetcher says that it is committed;
5. end when the root says so, or is gone, or when this process has reached its memory or task limit.

It never touches the database. There is one thread: SIGALRM raises TaskTimeout in a handler that runs too long, and
SIGUSR1 stops one whose task was canceled; a handler that holds out is killed by the root.
"""

from __future__ import annotations

import contextvars
import faulthandler
import logging
import os
import resource
import signal
import sys
import time
from collections import deque
from pathlib import Path
from typing import Any, Final

from goque.context import task_context
from goque.errors import TaskCanceled, TaskTimeout
from goque.outcome import Outcome, OutcomeKind
from goque.processor import Processor
from goque_supervisor import messages, process
from goque_supervisor.blackbox import BlackBoxWriter
from goque_supervisor.control import Channel, Ready, Stop
from goque_supervisor.handling import (
    call_hooks,
    flush_streams,
    outcome_of_error,
    outcome_of_return,
    timeout_text,
    with_duration,
    with_users_delay,
)
from goque_supervisor.messages import Hello, Job, Jobs, Result, Results, Retiring
from goque_supervisor.rundir import stack_path
from goque_supervisor.sockets import WorkerSocket

log = logging.getLogger("goque.worker")

BATCH_RESULTS: Final = 64
BATCH_SECONDS: Final = 0.004
_PAGE: Final = resource.getpagesize()


class Worker:
    """What both kinds of worker share: the way to the fetcher, the black box, the limits."""

    def __init__(self, boot: dict[str, Any], channel: Channel, processor: Processor) -> None:
        self.boot = boot
        self.channel = channel
        self.processor = processor
        self.options = processor.spec.options
        self.box = BlackBoxWriter(boot["box"])
        self.socket = WorkerSocket(boot["endpoint"], boot["identity"], boot["server_key"])
        self.socket.watch(channel.fileno())
        self.pid = os.getpid()
        self.jobs: deque[Job] = deque()
        self.results: list[Result] = []
        self.stopping = False
        self.retiring = False
        self.begun = 0
        self._sent_at = 0.0

    def introduce(self) -> None:
        """Tell fetcher and root that this process takes jobs."""
        self.socket.send(messages.encode(Hello(self.boot["incarnation"])))
        self.channel.send(Ready())

    def receive(self) -> None:
        """Take in what fetcher and root have sent."""
        for data in self.socket.receive():
            jobs: Jobs = messages.decode_jobs(data)
            if jobs.acknowledged:
                self.box.acknowledge(jobs.acknowledged)
            self.jobs.extend(jobs.jobs)
        for message in self.channel.receive():
            if isinstance(message, Stop):
                self.stopping = True
        if self.channel.closed:
            self.leave(0)  # the root is gone: nothing of the tree may outlive it

    def finish(self, job: Job, outcome: Outcome) -> None:
        """Record an outcome in the black box and keep it for the next message to the fetcher."""
        self.box.end(job.seq, messages.encode(outcome))
        self.results.append(Result(job.seq, outcome))

    def send_results(self) -> None:
        """Send what has ended; if no fetcher takes it, the next one reads the black box."""
        if self.results:
            self.socket.send(messages.encode(Results(self.results)))
            self.results = []
        self._sent_at = time.monotonic()

    def send_results_if_due(self, now: float) -> None:
        """Send results before they grow old or many."""
        if len(self.results) >= BATCH_RESULTS or now - self._sent_at > BATCH_SECONDS:
            self.send_results()
            self.receive()

    def consider_retiring(self) -> None:
        """Begin no further job once this process has reached a limit of its own; the fetcher takes back the rest."""
        reason = self._limit_reached()
        if reason is not None and not self.retiring:
            self.retiring = True
            self.jobs.clear()
            self.send_results()
            self.socket.send(messages.encode(Retiring(reason)))

    def _limit_reached(self) -> str | None:
        if self.options.max_tasks is not None and self.begun >= self.options.max_tasks:
            return "tasks"
        if self.options.max_memory is not None and resident_memory() > self.options.max_memory * 1024 * 1024:
            return "memory"
        return None

    def begin(self, job: Job) -> float | None:
        """Record that a job begins; returns its deadline, or None when the fetcher has taken the job back."""
        row = job.row
        started = time.monotonic()
        deadline = started + self.options.timeout
        self.box.begin(job.seq, row.id, row.claims, started, deadline, deadline + self.options.timeout_grace)
        if job.seq <= self.box.revoked_through:  # read after the record is written: see Fetcher.take_back
            self.box.void(job.seq)
            self.results.append(Result(job.seq, Outcome(OutcomeKind.UNSTARTED)))
            return None
        self.begun += 1
        return deadline

    def leave(self, code: int) -> None:
        """End this process, as far as it is this process: a handler may have forked."""
        flush_streams()
        os._exit(code)


class SyncWorker(Worker):
    """Runs `def` handlers one at a time, in the main thread, so that a raise interrupts blocking calls."""

    def __init__(self, boot: dict[str, Any], channel: Channel, processor: Processor) -> None:
        super().__init__(boot, channel, processor)
        self.deadline = 0.0
        self.running_seq = 0
        self.interruptible = False
        self.timed_out = False
        self.canceled = False
        self._alarm_at = 0.0

    def run(self) -> None:
        """Work until told to stop."""
        signal.signal(signal.SIGALRM, self._on_alarm)
        signal.signal(signal.SIGUSR1, self._on_interrupt)
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
        started = deadline - self.options.timeout
        outcome = self._outcome_of(job, deadline)
        if os.getpid() != self.pid:
            os._exit(0)  # a child that the handler forked came back here: it must not report for its parent
        now = time.monotonic()
        outcome = with_duration(outcome, now - started, self.pid)
        self.finish(job, outcome)
        if self.options.max_tasks is not None or self.options.max_memory is not None:
            self.consider_retiring()
        self.send_results_if_due(now)

    def _outcome_of(self, job: Job, deadline: float) -> Outcome:
        self.deadline, self.running_seq = deadline, job.seq
        self.timed_out = self.canceled = False
        self._arm(deadline)
        try:
            try:
                self.interruptible = True
                outcome = contextvars.Context().run(self._call_handler, job)
            finally:
                self.interruptible = False
        except BaseException as error:  # noqa: BLE001 - whatever a handler raises fails its attempt, never the worker
            outcome = self._outcome_of_error(error)
        self.running_seq = 0
        if self.timed_out and outcome.kind is not OutcomeKind.TIMED_OUT:
            outcome = Outcome(OutcomeKind.TIMED_OUT, timeout_text(self.options.timeout))
        return with_users_delay(outcome, job.row.attempts, self.processor.callbacks)

    def _call_handler(self, job: Job) -> Outcome:
        callbacks = self.processor.callbacks
        task, argument = self.processor.make_argument(job.row)
        with task_context(task):
            if callbacks.hooks_before:
                call_hooks(callbacks.hooks_before, task)
            error: BaseException | None = None
            try:
                outcome = outcome_of_return(self.processor.call(argument), self.options)
            except BaseException as raised:  # noqa: BLE001 - see _outcome_of
                error = raised
                outcome = self._outcome_of_error(raised)
            if callbacks.hooks_after:
                call_hooks(callbacks.hooks_after, task, error)
        return outcome

    def _outcome_of_error(self, error: BaseException) -> Outcome:
        return outcome_of_error(error, timed_out=self.timed_out, timeout=self.options.timeout)

    def _arm(self, deadline: float) -> None:
        """Make sure that the alarm rings by the deadline.

        One that rings early is set again, which saves two system calls for each of many quick tasks.
        """
        if not self._alarm_at or self._alarm_at > deadline:
            self._alarm_at = deadline
            signal.setitimer(signal.ITIMER_REAL, max(0.000001, deadline - time.monotonic()))

    def _on_alarm(self, number: int, frame: object) -> None:
        del number, frame
        self._alarm_at = 0.0
        if not self.running_seq:
            return
        if time.monotonic() < self.deadline:
            self._arm(self.deadline)
        elif self.interruptible and not self.timed_out and not self.canceled:
            self.timed_out = True
            raise TaskTimeout(timeout_text(self.options.timeout))

    def _on_interrupt(self, number: int, frame: object) -> None:
        del number, frame
        seq, reason = self.box.read_interrupt()
        if seq == self.running_seq and self.interruptible and not self.timed_out and not self.canceled:
            self.canceled = True
            raise TaskCanceled(f"stopped from outside: {reason}")


def resident_memory() -> int:
    """Return the resident memory of this process in bytes."""
    try:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    except OSError:
        return resource.getrusage(
            resource.RUSAGE_SELF
        ).ru_maxrss  # its peak: the best that macOS says, in bytes
    return pages * _PAGE


def _prepare_process(boot: dict[str, Any]) -> None:
    """Let the interpreter write its stack on a crash, and let the kernel prefer us when memory runs out."""
    stack = os.open(stack_path(boot["box"]), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    faulthandler.enable(stack, all_threads=False)
    if process.IS_LINUX:
        try:
            Path("/proc/self/oom_score_adj").write_text("500", "ascii")
        except OSError as error:
            log.debug("oom_score_adj stays as it is: %s", error)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # a TextIOWrapper at this point


def run(boot: dict[str, Any], channel: Channel) -> None:
    """Run the worker of one slot in this process."""
    from goque_supervisor.preparation import registry_of_this_process  # noqa: PLC0415 - it may import the app

    _prepare_process(boot)
    registry = registry_of_this_process(boot["app"], boot["registry_fd"])
    processor = registry.get_processor(boot["task_type"])
    if processor.spec.is_async:
        from goque_supervisor.async_worker import AsyncWorker  # noqa: PLC0415 - asyncio only where it is needed

        AsyncWorker(boot, channel, processor).run()
    else:
        SyncWorker(boot, channel, processor).run()
