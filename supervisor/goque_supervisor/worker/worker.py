"""The base of sync and async workers. A worker runs handlers and reports their outcomes.

1. It takes jobs from the fetcher.
2. It writes to the black box before each handler, and writes the outcome after each handler.
3. It sends results in batches, and at once when no job is left.
4. It forgets a result when the fetcher says that it is committed.
5. It ends when the root sends Stop or is gone, or when this process has reached its memory or task limit.

It never uses the database, and it has one thread.
"""

from __future__ import annotations

import contextlib
import logging
import os
import resource
import time
from collections import deque
from pathlib import Path
from typing import Any, Final

import msgspec

from goque.errors import ConfigurationError
from goque.execution.streams import flush_streams
from goque.execution.timeout_text import timeout_text
from goque.handlers.processor_table import ProcessorTable
from goque.options import ProcessorOptions
from goque.outcome import Outcome, OutcomeKind
from goque.pools.options import PoolOptions
from goque.task_rules.limits import NO_KEY
from goque.telemetry.log_output import output
from goque_supervisor.ipc import messages
from goque_supervisor.ipc.blackbox_writer import BlackBoxWriter
from goque_supervisor.ipc.channel import Channel
from goque_supervisor.ipc.control import Ready, Stop
from goque_supervisor.ipc.failpoints import reached
from goque_supervisor.ipc.messages import Hello, Job, Result, Results, Retiring, StackAsked
from goque_supervisor.ipc.sockets import WorkerSocket
from goque_supervisor.worker import captured_output
from goque_supervisor.worker.held_signals import HeldSignals
from goque_supervisor.worker.questions import Questions
from goque_supervisor.worker.stall import Stall

log = logging.getLogger("goque.worker")

STDERR: Final = 2
BATCH_RESULTS: Final = 512
BATCH_SECONDS: Final = 0.02
STDERR_SECONDS: Final = 0.001
"""How many seconds pass until a worker looks again how long its standard error is, unless it wrote there itself.

A look is a system call. A handler that is shorter than that, and whose C code writes, is too rare to pay for it.
"""
_PAGE: Final = resource.getpagesize()


class Worker:
    """The base of both kinds of worker: the socket to the fetcher, the black box, the limits."""

    def __init__(self, boot: dict[str, Any], channel: Channel, processors: ProcessorTable) -> None:
        self.boot = boot
        self.channel = channel
        self.processors = processors
        self.options = msgspec.convert(boot["options"], PoolOptions)
        self.box = BlackBoxWriter(boot["box"])
        self.socket = WorkerSocket(boot["endpoint"], boot["identity"], boot["server_key"])
        self.socket.watch(channel.fileno())
        self.questions = Questions(self.socket)
        self.pid = os.getpid()
        self.held_signals = HeldSignals()
        self._stalls: dict[int, Stall] = {}
        self.jobs: deque[Job] = deque()
        self.results: list[Result] = []
        self._refused: dict[int, Job] = {}  # those that raised RateLimited, until the fetcher has written it
        self.stopping = False
        self.retiring = ""
        self.begun = 0
        self._sent_at = 0.0
        self._stderr_until = 0.0

    def introduce(self) -> None:
        """Tell the fetcher and the root that this process takes jobs."""
        self.socket.send(messages.encode(Hello(self.boot["incarnation"])))
        self.channel.send(Ready({}))

    def receive(self) -> None:
        """Handle the messages of the fetcher and the root."""
        for data in self.socket.receive():
            reached("job.received")
            jobs, refused = messages.decode_each_job(data)
            self.results += refused
            self.questions.take(jobs.answers)
            self.show_stacks(jobs.stacks)
            if jobs.acknowledged:
                self.box.acknowledge(jobs.acknowledged)
                reached("result.acknowledged")
                for seq in jobs.acknowledged:
                    self._refused.pop(seq, None)
            if not self.retiring:
                self.jobs.extend(jobs.jobs)
                for refused_job in self._refused.values():
                    self._give_back_alike(refused_job)  # sent before the fetcher heard of the refusal
            elif jobs.jobs:
                self._send_retiring()  # a new fetcher does not know it yet
        for message in self.channel.receive():
            if isinstance(message, Stop):
                self.stopping = True
        if self.channel.closed:
            self.leave(0)  # the root is gone: no process of the tree may outlive it

    def show_stacks(self, asked: list[StackAsked]) -> None:
        """Send the stacks of coroutines, if this worker runs some."""

    def finish(self, job: Job, outcome: Outcome) -> None:
        """Record an outcome in the black box and keep it for the next message to the fetcher."""
        if self._stalls:
            self._stalls.pop(job.seq, None)
        reached("run.before_end")
        captured_output.end_task(job.row.id)
        outcome = self._end_in_box(job.seq, outcome)
        reached("run.after_end")
        self.results.append(Result(job.seq, outcome))
        if outcome.kind is OutcomeKind.RATE_LIMITED:
            self._refused[job.seq] = job
            self._give_back_alike(job)

    def _end_in_box(self, seq: int, outcome: Outcome) -> Outcome:
        """Record an outcome, or as much of it as can be; return that."""
        try:
            self.box.end(seq, messages.encode(outcome))
        except OSError as error:
            text = f"the worker cannot keep its result in {self.box.path.parent.parent}: {error.strerror}"
        else:
            return outcome
        if outcome.needed_result is not None:  # perhaps nobody needs it
            return self._end_in_box(seq, msgspec.structs.replace(outcome, needed_result=None, no_result=text))
        outcome = Outcome(OutcomeKind.FAILED, text, duration=outcome.duration, pid=outcome.pid)
        self.box.end(seq, messages.encode(outcome))
        return outcome

    def _give_back_alike(self, job: Job) -> None:
        """Give back what has not begun here of the type, or of the key, whose handler raised `goque.RateLimited`."""
        held = [
            other
            for other in self.jobs
            if other.row.type == job.row.type and job.row.limit_key in (None, NO_KEY, other.row.limit_key)
        ]
        for other in held:
            self.jobs.remove(other)
            self.results.append(Result(other.seq, Outcome(OutcomeKind.UNSTARTED)))

    def send_results(self) -> None:
        """Send the results; if no fetcher receives them, the next one reads the black box."""
        if self.results:
            reached("result.before_send")
            self.socket.send(messages.encode(Results(self.results)))
            self.results = []
            reached("result.after_send")
        self._sent_at = time.monotonic()

    def send_results_if_due(self, now: float) -> None:
        """Send the results if there are many, or if the last message is `BATCH_SECONDS` old."""
        if len(self.results) >= BATCH_RESULTS or now - self._sent_at > BATCH_SECONDS:
            self.send_results()
            self.receive()

    def consider_retiring(self) -> None:
        """Start no more jobs if this process has reached its task or memory limit. The fetcher requeues the others."""
        reason = self._limit_reached()
        if reason is not None and not self.retiring:
            self.retiring = reason
            self.jobs.clear()
            self.send_results()
            self._send_retiring()

    def _send_retiring(self) -> None:
        self.socket.send(messages.encode(Retiring(self.retiring)))

    def _limit_reached(self) -> str | None:
        if self.options.max_tasks is not None and self.begun >= self.options.max_tasks:
            return "tasks"
        if self.options.max_memory is not None and resident_memory() > self.options.max_memory * 1024 * 1024:
            return "memory"
        return None

    def begin(self, job: Job) -> float | None:
        """Record that a job starts. Returns its deadline, or None if it must not start.

        It must not start if the fetcher has revoked it. It fails if the black box cannot record it, or if a newer
        import of the app has no processor for it.
        """
        row = job.row
        reached("run.before_begin")
        started = time.monotonic()
        if output.was_used or started > self._stderr_until:
            self._note_stderr(started)
        try:
            options = self.processors.get(row.type).spec.options
            deadline = started + options.timeout
            self.box.begin(
                job.seq, row.id, row.claims, started, deadline, kill_at=deadline + options.timeout_grace
            )
        except (ValueError, ConfigurationError) as error:
            text = f"the worker cannot run this task: {error}"
            self.results.append(Result(job.seq, Outcome(OutcomeKind.FAILED, text, undecodable=True)))
            return None
        if (
            job.seq <= self.box.revoked_through
        ):  # read after the record is written: see WorkerPool.revoke_unstarted
            self.box.void(job.seq)
            self.results.append(Result(job.seq, Outcome(OutcomeKind.UNSTARTED)))
            return None
        self.begun += 1
        if options.stall_timeout is not None:
            stall = self._stalls[job.seq] = Stall(options.stall_timeout, deadline, options)
            self.box.put_off(job.seq, stall.at, kill_at=stall.kill_at)
        reached("run.after_begin")
        return deadline

    def _note_stderr(self, now: float) -> None:
        """Record where what a job writes to standard error begins, because the next lines are not of earlier jobs."""
        output.was_used = False
        self._stderr_until = now + STDERR_SECONDS
        with contextlib.suppress(OSError):  # a handler has closed or replaced it
            self.box.note_stderr(os.lseek(STDERR, 0, os.SEEK_END))

    # -- what a run does: called in the thread of its handler ---------------------------------------------------

    def note_step(self, seq: int, names: str) -> None:
        """Record which steps of a run have begun and not ended, joined by commas; empty for none.

        The text of a crash or a timeout names them.
        """
        with self.held_signals:
            self.box.note_step(seq, names)

    def note_progress(self, seq: int, fraction: float, note: str) -> None:
        """Record how far a run is. The fetcher reads it, and it puts off `stall_timeout`."""
        with self.held_signals:
            self.box.note_progress(seq, fraction, note)
            self.moved(seq)

    def moved(self, seq: int) -> None:
        """Put off `stall_timeout`, because a run has ended a step or has reported progress."""
        stall = self._stalls.get(seq)
        if stall is not None:
            with self.held_signals:
                stall.at = time.monotonic() + stall.period
                self.box.put_off(seq, stall.at, kill_at=stall.kill_at)

    def due(self, seq: int, deadline: float) -> float:
        """Return when a run must be stopped: at the deadline of its timeout, or as soon as it has stalled."""
        stall = self._stalls.get(seq)
        return deadline if stall is None else stall.due

    def time_out(self, seq: int, options: ProcessorOptions) -> str:
        """Return the text of the timeout of a run that is due. From now on, nothing puts off its end."""
        stall = self._stalls.pop(seq, None)
        has_stalled = stall is not None and stall.at < stall.deadline
        return timeout_text(options, has_stalled=has_stalled, step=self.box.step_of(seq))

    def leave(self, code: int) -> None:
        """End this process at once."""
        flush_streams()
        os._exit(code)


def resident_memory() -> int:
    """Return the resident memory of this process in bytes."""
    try:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    except OSError:
        return resource.getrusage(
            resource.RUSAGE_SELF
        ).ru_maxrss  # the peak in bytes, because macOS does not report the current size
    return pages * _PAGE
