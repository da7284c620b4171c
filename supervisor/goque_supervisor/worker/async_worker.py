"""A worker of `async def` handlers: up to `concurrency` of them at a time on one asyncio loop."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from goque.context import current_task
from goque.errors import GoqueError
from goque.execution.open_ends import let_go
from goque.execution.run_handler import (
    charge_timeout,
    handle_async,
    outcome_of_error,
    outcome_of_run,
    translate_cancellation,
    with_duration,
    with_users_delay,
)
from goque.execution.transaction_steps import arecord_in
from goque.handlers.processor import Processor
from goque.outcome import Outcome, OutcomeKind
from goque.steps.question import Answer, Question
from goque.steps.run import StepRun
from goque.task import Task
from goque_supervisor.ipc.messages import Job, StackAsked, StackShown, encode
from goque_supervisor.ipc.run_directory import stack_path
from goque_supervisor.worker.coroutine_stack import stack_of_handler, write_stack
from goque_supervisor.worker.questions import ASK_AGAIN
from goque_supervisor.worker.worker import Worker

log = logging.getLogger("goque.worker")

QUESTIONS_AT_ONCE: Final = 100
"""How many questions about steps an async worker asks at a time; further ones wait here, in the handlers' memory."""
STACK_BEFORE_KILL: Final = 0.1
"""How many seconds before the root kills this process the stack of a coroutine is written that does not stop."""

CLOCK_STEP: Final = 0.002
"""A loop may call a timer this much too early: some count in milliseconds."""


@dataclass
class Run:
    """One handler on the loop."""

    job: Job
    started: float = 0.0
    deadline: float = 0.0
    alarm: asyncio.TimerHandle | None = None
    last_stack: asyncio.TimerHandle | None = None
    task: HandlerTask | None = None
    timed_out: str = ""
    canceled: bool = False
    child_error: BaseException | None = None
    canceled_by_neighbor: bool = False
    steps_by: Callable[[Task, Run], StepRun] | None = None
    questions: int = 0

    def steps_of(self, task: Task) -> StepRun:
        """Return the steps of this handler."""
        assert self.steps_by is not None
        return self.steps_by(task, self)


class HandlerTask(asyncio.Task[Outcome | None]):
    """The asyncio task of a handler. It notices when the handler of another task cancels it."""

    run: Run

    def cancel(self, msg: Any = None) -> bool:
        """Cancel it, as any asyncio task."""
        by = current_task()
        if by is not None and by.id != self.run.job.row.id:
            self.run.canceled_by_neighbor = True
        return super().cancel(msg)


class AsyncWorker(Worker):
    """Runs coroutines; a timeout or a cancel reaches the awaiting handler as asyncio.CancelledError first.

    The loop has no main task, which a handler that cancels all asyncio tasks would end. It goes on when an asyncio task
    of a handler raises SystemExit or KeyboardInterrupt, or calls `stop()`: the others have no part in that.
    """

    _runs: dict[int, Run]

    def run(self) -> None:
        """Run jobs until the root stops this worker."""
        self._runs = {}
        self._will_ask_again = False
        self._room_for_questions = asyncio.Semaphore(QUESTIONS_AT_ONCE)
        self._ended = False
        with asyncio.Runner() as runner:
            self.loop = loop = runner.get_loop()
            loop.call_soon(self._serve, loop)
            while not self._ended:
                try:
                    loop.run_forever()
                except (SystemExit, KeyboardInterrupt) as error:
                    self._charge_child_error(error)
        self.send_results()
        self.socket.close(1.0)

    def _serve(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.add_signal_handler(signal.SIGUSR1, self._on_interrupt)
        loop.add_reader(self.socket.fileno(), self._take_in)
        loop.add_reader(self.channel.fileno(), self._take_in)
        self.introduce()
        self._take_in()

    def _charge_child_error(self, error: BaseException) -> None:
        """Stop the handler that started the asyncio task from which an error came out of the loop."""
        task = task_of_callback(error)
        run = next((run for run in self._runs.values() if task and run.job.row.id == task.id), None)
        if run is None or run.task is None:
            log.error(
                "an asyncio task that no running handler started raised %s; the worker goes on",
                type(error).__name__,
                exc_info=error,
                extra={"task_id": task.id} if task else {},
            )
            return
        run.child_error = error
        run.task.cancel()

    def _take_in(self) -> None:
        """Receive and start jobs; the socket's descriptor is edge-triggered, so this follows each send too."""
        self.receive()
        while self.jobs and len(self._runs) < self.options.concurrency and not self.stopping:
            self._begin(self.jobs.popleft())
        if self.results:
            self.send_results()
            self._take_in()
        if self.stopping and not self._runs:
            self._ended = True
            asyncio.get_running_loop().stop()

    def _begin(self, job: Job) -> None:
        run = self._runs[job.seq] = Run(job, steps_by=self._steps_of)
        run.task = HandlerTask(
            self._outcome_of(run), loop=asyncio.get_running_loop(), context=contextvars.Context()
        )
        run.task.run = run
        run.task.add_done_callback(lambda task: self._on_end(run, task))

    def _on_end(self, run: Run, task: asyncio.Task[Outcome | None]) -> None:
        for timer in (run.alarm, run.last_stack):
            if timer is not None:
                timer.cancel()
        if os.getpid() != self.pid:
            os._exit(0)  # this is a child that the handler forked: it must not report for its parent
        del self._runs[run.job.seq]
        outcome: Outcome | None
        if task.cancelled() and not run.started:
            self.jobs.appendleft(run.job)  # another handler canceled it before its first step
            outcome = None
        elif task.cancelled():
            outcome = outcome_of_error(
                asyncio.CancelledError("the handler was canceled"),
                timed_out=run.timed_out,
            )
        else:
            outcome = task.result()
        if outcome is not None:
            outcome = with_users_delay(outcome, run.job.row, self._processor_of(run).callbacks)
            self.finish(run.job, with_duration(outcome, time.monotonic() - run.started, self.pid))
            self.consider_retiring()
        asyncio.get_running_loop().call_soon(self._take_in)

    async def _outcome_of(self, run: Run) -> Outcome | None:
        """Run a handler; returns None if its job was revoked before it started.

        The start is recorded here, not when the asyncio task is created. Another handler may crash the process before
        this one starts. Then this one must not lose an attempt.
        """
        deadline = self.begin(run.job)
        if deadline is None:
            return None
        processor = self._processor_of(run)
        run.started, run.deadline = deadline - processor.spec.options.timeout, deadline
        self._arm(run)
        try:
            handled = await handle_async(processor, run.job.row, run)
            outcome = handled.outcome
            if run.canceled_by_neighbor and isinstance(handled.error, asyncio.CancelledError):
                outcome = Outcome(OutcomeKind.INTERRUPTED)  # nothing that this task did
            let_go(handled.error, collects=handled.has_recorded_in_transaction)
        except BaseException as error:  # noqa: BLE001 - whatever a handler raises fails its attempt, never the worker
            outcome = outcome_of_run(processor, run, translate_cancellation(run, error))
        return charge_timeout(outcome, processor, run)

    def _steps_of(self, task: Task, run: Run) -> StepRun:
        channel = AsyncStepChannel(self, run, task)
        return StepRun(channel, self._processor_of(run).spec.options.max_result, is_first=task.claims == 1)

    async def ask(self, run: Run, question: Question) -> Answer:
        """Ask a question for a handler on this loop, and wait for the answer. Meanwhile the handler does not stall."""
        run.questions += 1
        try:
            return await self._answer(run.job.seq, question)
        finally:
            run.questions -= 1
            self.moved(run.job.seq)

    async def _answer(self, seq: int, question: Question) -> Answer:
        async with self._room_for_questions:
            loop = asyncio.get_running_loop()
            answer: asyncio.Future[Answer] = loop.create_future()
            number = self.questions.ask(seq, question, partial(_set_once, answer))
            if not self._will_ask_again:
                self._will_ask_again = True
                loop.call_later(ASK_AGAIN, self._ask_again)
            loop.call_soon(self._take_in)
            try:
                return await answer
            finally:
                self.questions.forget(number)

    def _ask_again(self) -> None:
        self._will_ask_again = bool(self.questions)
        if self._will_ask_again:
            self.questions.ask_again(time.monotonic())
            asyncio.get_running_loop().call_later(ASK_AGAIN, self._ask_again)
            self._take_in()

    def show_stacks(self, asked: list[StackAsked]) -> None:
        """Send the stacks of handlers' coroutines that run."""
        for one in asked:
            run = self._runs.get(one.seq)
            if run is not None and run.started and run.task is not None:
                shown = stack_of_handler(run.task, run.job.row.id)
                self.socket.send(encode(StackShown(one.number, shown.frames, shown.asyncio_tasks)))
                asyncio.get_running_loop().call_soon(self._take_in)

    def _processor_of(self, run: Run) -> Processor:
        return self.processors.get(run.job.row.type)

    def _arm(self, run: Run) -> None:
        left = self.due(run.job.seq, run.deadline) - time.monotonic()
        run.alarm = asyncio.get_running_loop().call_later(max(0.0, left), self._on_alarm, run)

    def _on_alarm(self, run: Run) -> None:
        if run.questions:
            self.moved(run.job.seq)
        if time.monotonic() < self.due(run.job.seq, run.deadline) - CLOCK_STEP:
            self._arm(run)
            return
        run.timed_out = self.time_out(run.job.seq, self._processor_of(run).spec.options)
        self._cancel(run)

    def _on_interrupt(self) -> None:
        seq, _reason = self.box.read_interrupt()
        run = self._runs.get(seq)
        if run is not None and run.started and run.task is not None and not run.canceled:
            run.canceled = True
            self._cancel(run)

    def _cancel(self, run: Run) -> None:
        """Cancel a handler. If it goes on, its coroutine's stack is written before the root kills this process."""
        if run.task is not None:
            run.task.cancel()
        grace = self._processor_of(run).spec.options.timeout_grace
        run.last_stack = asyncio.get_running_loop().call_later(
            max(0.0, grace - STACK_BEFORE_KILL), self._write_stack, run
        )

    def _write_stack(self, run: Run) -> None:
        if run.task is not None:
            write_stack(stack_path(self.boot["box"]), run.task, run.job.row.id)


class AsyncStepChannel:
    """The way of one `async def` handler's run to the table."""

    is_async = True

    def __init__(self, worker: AsyncWorker, run: Run, task: Task) -> None:
        self._worker = worker
        self._run = run
        self._task = task
        self._seq = run.job.seq
        self._loop = worker.loop

    async def ask(self, question: Question) -> Answer:
        """Ask the fetcher; see StepChannel."""
        self._check_loop()
        return await self._worker.ask(self._run, question)

    async def record_in(self, conn: Any, question: Question) -> Answer:
        """Record a step in the caller's transaction."""
        self._check_loop()
        return await arecord_in(conn, self._task, question)

    def note_step(self, names: str) -> None:
        """Note which steps run, in the black box."""
        self._check_loop()
        self._worker.note_step(self._seq, names)

    def moved(self) -> None:
        """Note that a step has ended."""
        self._worker.moved(self._seq)

    def note_progress(self, fraction: float, note: str) -> None:
        """Note how far the run is, in the black box."""
        self._check_loop()
        self._worker.note_progress(self._seq, fraction, note)

    def _check_loop(self) -> None:
        if asyncio._get_running_loop() is not self._loop or os.getpid() != self._worker.pid:  # noqa: SLF001 - raises nothing
            raise GoqueError(
                "call steps and progress in the event loop that runs the handler, not in a thread or a fork"
            )


def _set_once(future: asyncio.Future[Answer], answer: Answer) -> None:
    if not future.done():
        future.set_result(answer)


def task_of_callback(error: BaseException) -> Task | None:
    """Return the task in whose context the loop's callback ran that let an error out, None if that is not known."""
    found: contextvars.Context | None = None
    trace = error.__traceback__
    while trace is not None:
        handle = trace.tb_frame.f_locals.get("self")
        if isinstance(handle, asyncio.Handle):
            found = handle._context  # type: ignore[attr-defined]  # noqa: SLF001 - the loop offers no other way to it
        trace = trace.tb_next
    return None if found is None else found.run(current_task)
