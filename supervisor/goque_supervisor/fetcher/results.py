"""Receive the messages of workers: Hello, Results and Retiring."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable

import msgspec

from goque.outcome import OutcomeKind, put_off
from goque.task_rules.limits import PutOff
from goque_supervisor.fetcher.in_flight import ClaimedTask, InFlight
from goque_supervisor.fetcher.schedule import Schedule
from goque_supervisor.fetcher.worker_handle import WorkerHandle
from goque_supervisor.fetcher.worker_pool import WorkerPool
from goque_supervisor.ipc import messages
from goque_supervisor.ipc.failpoints import reached
from goque_supervisor.ipc.messages import Asking, Hello, Result, Results, Retiring, StackShown
from goque_supervisor.ipc.sockets import FetcherSocket
from goque_supervisor.metrics.counters import Counters

log = logging.getLogger("goque.fetcher")


class ResultReceiver:
    """Records outcomes in the tasks in flight; a message without a matching worker or job is counted and dropped.

    Args:
        in_flight: the tasks in flight.
        worker_pool: the living workers.
        counters: what the fetcher counts of the pool as a whole.
        schedule: the next times of the loop.
        on_question: takes a worker's question about the steps of a job.
        on_stack: takes the stack of a coroutine.
        hold_back: gives back what has not started, because a handler raised `goque.RateLimited`.
    """

    def __init__(
        self,
        in_flight: InFlight,
        worker_pool: WorkerPool,
        counters: Counters,
        schedule: Schedule,
        *,
        hold_back: Callable[[PutOff], None],
        on_question: Callable[[WorkerHandle, Asking], None],
        on_stack: Callable[[StackShown], None],
    ) -> None:
        self._on_stack = on_stack
        self._on_question = on_question
        self._hold_back = hold_back
        self._in_flight = in_flight
        self._worker_pool = worker_pool
        self._counters = counters
        self._schedule = schedule

    def receive(self, socket: FetcherSocket) -> bool:
        """Handle the messages that have arrived; returns whether a worker may take more than before."""
        is_freed = False
        durations: dict[str, list[float]] = {}
        self._worker_pool.received_at = now = time.monotonic()
        for identity, data in socket.receive():
            try:
                message = messages.decode_from_worker(data)
            except (msgspec.MsgspecError, ValueError) as error:
                self._counters.count("dropped_messages")
                log.warning("dropped a message that cannot be decoded: %s", error)
                continue
            if isinstance(message, Hello):
                self._worker_pool.on_hello(identity)
                is_freed = True
                continue
            worker = self._worker_pool.by_identity(identity)
            if worker is None:
                self._counters.count("dropped_messages")  # its worker is dead, and its black box was read
                continue
            match message:
                case Results(results):
                    reached("result.received")
                    worker.heard_at = now
                    is_freed = True
                    self._take_all(worker, results, durations)
                case Asking():
                    self._on_question(worker, message)
                case StackShown():
                    self._on_stack(message)
                case Retiring(reason):
                    self._worker_pool.retire(worker, reason, time.monotonic())
                    self._schedule.inspect_now()
        for task_type, of_type in durations.items():
            self._worker_pool.pace.note(task_type, of_type)
        return is_freed

    def _take_all(
        self, worker: WorkerHandle, results: Iterable[Result], durations: dict[str, list[float]]
    ) -> None:
        for result in results:
            task = self.take(worker, result)
            if task is not None and result.outcome.kind is not OutcomeKind.UNSTARTED:
                durations.setdefault(task.row.type, []).append(result.outcome.duration)

    def take_lost(self, lost: Iterable[tuple[WorkerHandle, int, bytes]]) -> None:
        """Record the outcomes of jobs whose message was lost: the worker, the number, and what its black box has."""
        for worker, seq, outcome in lost:
            self.take(worker, Result(seq, messages.decode_outcome(outcome)))

    def take(self, worker: WorkerHandle, result: Result) -> ClaimedTask | None:
        """Record how one job ended, and return its task; None if that is known already."""
        task = worker.jobs.pop(result.seq, None)
        if task is None:
            self._take_again(worker, result.seq)
        elif result.outcome.kind is OutcomeKind.UNSTARTED:
            self._in_flight.requeue(task)
        else:
            if result.outcome.kind is OutcomeKind.RATE_LIMITED:  # before others of its kind are sent again
                self._hold_back(put_off(task.row, result.outcome))
            self._in_flight.end(task, result.outcome)
        return task

    def _take_again(self, worker: WorkerHandle, seq: int) -> None:
        """Let a worker forget a committed result. A result read from its black box may not be committed yet."""
        if not self._worker_pool.may_have_sent(seq):
            self._counters.count("dropped_messages")
            log.warning("dropped a result of job %d, which this fetcher never sent", seq)
        elif not self._in_flight.is_unwritten(seq):
            worker.acknowledged.append(seq)
