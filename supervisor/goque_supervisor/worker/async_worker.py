"""A worker of `async def` handlers: up to `concurrency` of them at a time on one asyncio loop."""

from __future__ import annotations

import asyncio
import contextvars
import os
import signal
import time
from dataclasses import dataclass

from goque.execution.run_handler import (
    charge_timeout,
    handle_async,
    outcome_of_error,
    outcome_of_run,
    translate_cancellation,
    with_duration,
    with_users_delay,
)
from goque.outcome import Outcome
from goque_supervisor.ipc.messages import Job
from goque_supervisor.worker.worker import Worker


@dataclass
class Run:
    """One handler on the loop."""

    job: Job
    started: float = 0.0
    alarm: asyncio.TimerHandle | None = None
    task: asyncio.Task[Outcome | None] | None = None
    timed_out: bool = False
    canceled: bool = False


class AsyncWorker(Worker):
    """Runs coroutines; a timeout or a cancel reaches the awaiting handler as asyncio.CancelledError first."""

    _runs: dict[int, Run]

    def run(self) -> None:
        """Run jobs until the root stops this worker."""
        self._runs = {}
        asyncio.run(self._serve())
        self.send_results()
        self.socket.close(1.0)

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        self._ended = asyncio.Event()
        loop.add_signal_handler(signal.SIGUSR1, self._on_interrupt)
        loop.add_reader(self.socket.fileno(), self._take_in)
        loop.add_reader(self.channel.fileno(), self._take_in)
        self.introduce()
        self._take_in()
        await self._ended.wait()

    def _take_in(self) -> None:
        """Receive and start jobs; the socket's descriptor is edge-triggered, so this follows each send too."""
        self.receive()
        while self.jobs and len(self._runs) < self.options.concurrency and not self.stopping:
            self._begin(self.jobs.popleft())
        if self.results:
            self.send_results()
            self._take_in()
        if self.stopping and not self._runs:
            self._ended.set()

    def _begin(self, job: Job) -> None:
        run = self._runs[job.seq] = Run(job)
        run.task = asyncio.get_running_loop().create_task(
            self._outcome_of(run), context=contextvars.Context()
        )
        run.task.add_done_callback(lambda task: self._on_end(run, task))

    def _on_end(self, run: Run, task: asyncio.Task[Outcome | None]) -> None:
        if run.alarm is not None:
            run.alarm.cancel()
        if os.getpid() != self.pid:
            os._exit(0)  # this is a child that the handler forked: it must not report for its parent
        del self._runs[run.job.seq]
        outcome: Outcome | None
        if task.cancelled():
            outcome = outcome_of_error(
                asyncio.CancelledError("the handler was canceled"),
                timed_out=run.timed_out,
                timeout=self.options.timeout,
            )
        else:
            outcome = task.result()
        if outcome is not None:
            outcome = with_users_delay(outcome, run.job.row, self.processor.callbacks)
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
        run.started = deadline - self.options.timeout
        run.alarm = asyncio.get_running_loop().call_later(self.options.timeout, self._time_out, run)
        try:
            outcome = (await handle_async(self.processor, run.job.row, run)).outcome
        except BaseException as error:  # noqa: BLE001 - any exception of a handler fails its attempt, never the worker
            outcome = outcome_of_run(self.processor, run, translate_cancellation(self.processor, run, error))
        return charge_timeout(outcome, self.processor, run)

    def _time_out(self, run: Run) -> None:
        run.timed_out = True
        if run.task is not None:
            run.task.cancel()

    def _on_interrupt(self) -> None:
        seq, _reason = self.box.read_interrupt()
        run = self._runs.get(seq)
        if run is not None and run.started and run.task is not None and not run.canceled:
            run.canceled = True
            run.task.cancel()
