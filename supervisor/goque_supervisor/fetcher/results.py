"""Receive the messages of workers: Hello, Results and Retiring."""

from __future__ import annotations

import logging
import time

import msgspec

from goque.outcome import OutcomeKind
from goque_supervisor.fetcher.in_flight import InFlight
from goque_supervisor.fetcher.schedule import Schedule
from goque_supervisor.fetcher.worker_handle import WorkerHandle
from goque_supervisor.fetcher.worker_pool import WorkerPool
from goque_supervisor.ipc import messages
from goque_supervisor.ipc.failpoints import reached
from goque_supervisor.ipc.messages import Hello, Result, Results, Retiring
from goque_supervisor.ipc.sockets import FetcherSocket
from goque_supervisor.metrics.counters import Counters

log = logging.getLogger("goque.fetcher")


class ResultReceiver:
    """Records outcomes in the tasks in flight; a message without a matching worker or job is counted and dropped.

    Args:
        in_flight: the tasks in flight.
        worker_pool: the living workers.
        counters: what the fetcher counts.
        schedule: the next times of the loop.
    """

    def __init__(
        self, in_flight: InFlight, worker_pool: WorkerPool, counters: Counters, schedule: Schedule
    ) -> None:
        self._in_flight = in_flight
        self._worker_pool = worker_pool
        self._counters = counters
        self._schedule = schedule

    def receive(self, socket: FetcherSocket) -> None:
        """Handle the messages that have arrived."""
        durations: list[float] = []
        for identity, data in socket.receive():
            try:
                message = messages.decode_from_worker(data)
            except (msgspec.MsgspecError, ValueError) as error:
                self._counters.count("dropped_messages")
                log.warning("dropped a message that cannot be decoded: %s", error)
                continue
            if isinstance(message, Hello):
                self._worker_pool.on_hello(identity)
                continue
            worker = self._worker_pool.by_identity(identity)
            if worker is None:
                self._counters.count("dropped_messages")  # its worker is dead, and its black box was read
                continue
            match message:
                case Results(results):
                    reached("result.received")
                    durations += [result.outcome.duration for result in results]
                    for result in results:
                        self.take(worker, result)
                case Retiring(reason):
                    self._worker_pool.retire(worker, reason, time.monotonic())
                    self._schedule.inspect_now()
        self._worker_pool.prefetch.note(durations)

    def take(self, worker: WorkerHandle, result: Result) -> None:
        """Record how one job ended."""
        task = worker.jobs.pop(result.seq, None)
        if task is None:
            self._take_again(worker, result.seq)
        elif result.outcome.kind is OutcomeKind.UNSTARTED:
            self._in_flight.requeue(task)
        else:
            self._in_flight.end(task, result.outcome)

    def _take_again(self, worker: WorkerHandle, seq: int) -> None:
        """Let a worker forget a committed result. A result read from its black box may not be committed yet."""
        if not self._worker_pool.may_have_sent(seq):
            self._counters.count("dropped_messages")
            log.warning("dropped a result of a job that was never sent: number %d", seq)
        elif not self._in_flight.is_unwritten(seq):
            worker.acknowledged.append(seq)
