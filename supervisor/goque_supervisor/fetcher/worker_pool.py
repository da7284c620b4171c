"""The workers of one type, in their fetcher: decide which worker gets which jobs, and when to revoke jobs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from goque.telemetry import logs, tracing
from goque_supervisor.fetcher.in_flight import ClaimedTask, InFlight
from goque_supervisor.fetcher.prefetch import PrefetchWindow, distribute
from goque_supervisor.fetcher.schedule import INSPECT_PERIOD
from goque_supervisor.fetcher.worker_handle import WorkerHandle
from goque_supervisor.ipc import messages
from goque_supervisor.ipc.control import Interrupt, Message, Replace
from goque_supervisor.ipc.failpoints import reached
from goque_supervisor.ipc.messages import EPOCH_BITS, Job, Jobs
from goque_supervisor.ipc.sockets import FetcherSocket

MARK_AFTER: Final = 0.025
"""Seconds after which `processing` is written for a running handler. Most handlers end sooner and need no write."""

UNREACHABLE_PAUSE: Final = 0.02
REVOCATION_SETTLES: Final = 0.003
"""Seconds after which a worker that has not read a revocation has recorded that its job starts."""

WAITS_BEHIND: Final = 0.1
LOST_AFTER: Final = 0.1
UNRESPONSIVE_AFTER: Final = 10.0


class WorkerPool:
    """Sends jobs before workers need them, and revokes jobs that wait behind a long handler.

    Args:
        in_flight: the tasks to run.
        concurrency: how many handlers a worker runs at a time.
        tell_root: sends a message to the root supervisor.
    """

    def __init__(self, in_flight: InFlight, concurrency: int, tell_root: Callable[[Message], None]) -> None:
        self.prefetch = PrefetchWindow()
        self.epoch = 0
        self._in_flight = in_flight
        self._concurrency = concurrency
        self._tell_root = tell_root
        self._workers: dict[int, WorkerHandle] = {}
        self._by_identity: dict[bytes, WorkerHandle] = {}
        self._early_hellos: set[bytes] = set()
        self._count = 0

    def __iter__(self) -> Iterator[WorkerHandle]:
        return iter(list(self._workers.values()))

    @property
    def is_busy(self) -> bool:
        """Whether a worker has jobs that it has not answered."""
        return any(worker.jobs for worker in self._workers.values())

    def on_hello(self, identity: bytes) -> None:
        """Record a worker's Hello, which may arrive before the root's message about its start."""
        worker = self._by_identity.get(identity)
        if worker is not None:
            worker.ready = True
        else:
            self._early_hellos.add(identity)

    def add(self, worker: WorkerHandle) -> None:
        """Add a living worker."""
        if worker.identity in self._early_hellos:
            self._early_hellos.remove(worker.identity)
            worker.ready = True
        self._workers[worker.incarnation] = worker
        self._by_identity[worker.identity] = worker

    def remove(self, incarnation: int) -> WorkerHandle | None:
        """Remove a dead worker and return it, or None if it is unknown."""
        worker = self._workers.pop(incarnation, None)
        if worker is not None:
            del self._by_identity[worker.identity]
        return worker

    def by_incarnation(self, incarnation: int) -> WorkerHandle | None:
        """Return a living worker by its number."""
        return self._workers.get(incarnation)

    def by_identity(self, identity: bytes) -> WorkerHandle | None:
        """Return a living worker by its name on the wire."""
        return self._by_identity.get(identity)

    def may_have_sent(self, seq: int) -> bool:
        """Return whether a job of this number was ever sent, by this fetcher or an earlier one."""
        return 0 < seq <= (self.epoch << EPOCH_BITS) + self._count

    def capacity(self, now: float) -> int:
        """Return how many more jobs the workers may be sent now."""
        window = self.prefetch.window(self._concurrency)
        return sum(worker.capacity(window, now) for worker in self._workers.values())

    def wants_more(self, now: float) -> bool:
        """Return whether to claim more: a worker has no job ahead, or half of the capacity is free."""
        window = self.prefetch.window(self._concurrency)
        capacities = [(worker, worker.capacity(window, now)) for worker in self._workers.values()]
        if any(free and len(worker.jobs) <= self._concurrency for worker, free in capacities):
            return True
        return 2 * sum(free for _worker, free in capacities) >= window * len(capacities) > 0

    # -- sending ---------------------------------------------------------------------------------------

    def dispatch(self, socket: FetcherSocket, now: float) -> bool:
        """Send waiting tasks to workers with capacity, and tell workers which outcomes are committed.

        Returns whether any job was sent.
        """
        sent = False
        if self._in_flight.waiting:
            window = self.prefetch.window(self._concurrency)
            workers = list(self._workers.values())
            free = [worker.capacity(window, now) for worker in workers]
            counts = distribute([len(worker.jobs) for worker in workers], free, len(self._in_flight.waiting))
            for worker, count in zip(workers, counts, strict=True):
                if count:
                    sent |= self._send_jobs(socket, worker, count, now)
        for worker in self._workers.values():
            if worker.acknowledged:
                reached("result.before_ack")
                if socket.send(worker.identity, messages.encode(Jobs([], worker.acknowledged))):
                    worker.acknowledged = []
        return sent

    def _send_jobs(self, socket: FetcherSocket, worker: WorkerHandle, count: int, now: float) -> bool:
        waiting = self._in_flight.waiting
        batch = [waiting.popleft() for _ in range(count)]
        first = (self.epoch << EPOCH_BITS) + self._count + 1
        self._count += count
        began = tracing.started()
        jobs = [Job(seq, task.row) for seq, task in enumerate(batch, first)]
        reached("dispatch.before_send")
        if not socket.send(worker.identity, messages.encode(Jobs(jobs, worker.acknowledged))):
            worker.not_before = now + UNREACHABLE_PAUSE  # still connecting, after its fetcher was replaced
            waiting.extendleft(reversed(batch))
            return False
        worker.acknowledged = []
        for seq, task in enumerate(batch, first):
            task.seq, task.sent_at, task.incarnation = seq, now, worker.incarnation
            worker.jobs[seq] = task
        reached("dispatch.after_send")
        if began:
            tracing.tell("dispatch", batch[0].row.type, [task.row for task in batch], began)
        return True

    def acknowledge(self, tasks: Iterable[ClaimedTask]) -> None:
        """Record committed outcomes. The next dispatch sends them to the workers, which may then forget them."""
        for task in tasks:
            worker = None if task.incarnation is None else self._workers.get(task.incarnation)
            if worker is not None:
                worker.acknowledged.append(task.seq)

    # -- revoking ----------------------------------------------------------------------------------------

    def revoke_unstarted(self, worker: WorkerHandle, now: float) -> None:
        """Begin to revoke the jobs that a worker has not started.

        The worker records that a job starts, and then reads the revocation. The fetcher writes the revocation, waits,
        and then reads which jobs have started. So a job is either seen as started, or the worker skips it.
        """
        if worker.jobs and not worker.revoked_at:
            worker.box.revoke_through(max(worker.jobs))
            worker.revoked_at = now

    def finish_revoking(self, now: float) -> None:
        """Requeue the revoked jobs, once every worker must have seen the revocation."""
        for worker in self._workers.values():
            if worker.revoked_at and now - worker.revoked_at >= REVOCATION_SETTLES:
                contents = worker.box.read()
                worker.revoked_at = 0.0
                for seq, task in list(worker.jobs.items()):
                    if seq not in contents.running and seq not in contents.finished:
                        del worker.jobs[seq]
                        self._in_flight.requeue(task)

    def retire(self, worker: WorkerHandle, reason: str, now: float) -> None:
        """Send a worker no more jobs; it is replaced when its running jobs have ended."""
        worker.retiring = worker.retiring or reason
        self.revoke_unstarted(worker, now)

    def ask_replacements(self) -> None:
        """Ask the root to replace retiring workers that have no jobs left."""
        for worker in self._workers.values():
            if worker.retiring and not worker.jobs and not worker.revoked_at and not worker.replace_asked:
                worker.replace_asked = True
                self._tell_root(Replace(worker.incarnation, worker.retiring))

    # -- inspecting ----------------------------------------------------------------------------------------

    def inspect(self, now: float) -> tuple[list[ClaimedTask], list[tuple[WorkerHandle, int, bytes]]]:
        """Read the black boxes of workers that have not answered for a while.

        Returns: running tasks that are not marked as `processing`, and outcomes whose message was lost.
        """
        unmarked: list[ClaimedTask] = []
        lost: list[tuple[WorkerHandle, int, bytes]] = []
        for worker in self._workers.values():
            oldest = next(iter(worker.jobs.values()), None)
            if oldest is None or now - oldest.sent_at < INSPECT_PERIOD:
                continue
            contents = worker.box.read()
            for seq, (_running, outcome) in contents.finished.items():
                if seq in worker.jobs and now - worker.jobs[seq].sent_at > LOST_AFTER:
                    lost.append((worker, seq, outcome))
            running = [worker.jobs[seq] for seq in contents.running if seq in worker.jobs]
            started_by = now - MARK_AFTER
            unmarked += [
                task
                for task in running
                if not task.marked and contents.running[task.seq].started <= started_by
            ]
            some_wait = any(
                seq not in contents.running and seq not in contents.finished for seq in worker.jobs
            )
            if running:
                worker.idle_job = 0
                self._inspect_running(worker, running, now, some_wait=some_wait)
            else:
                self._inspect_unresponsive(worker, oldest, now)
        return unmarked, lost

    def _inspect_running(
        self, worker: WorkerHandle, running: list[ClaimedTask], now: float, *, some_wait: bool
    ) -> None:
        for task in running:
            if task.canceled:
                self._tell_root(Interrupt(worker.incarnation, task.seq, "canceled"))
        if some_wait and now - running[0].sent_at > WAITS_BEHIND and self.capacity(now) > 0:
            self.revoke_unstarted(worker, now)

    def _inspect_unresponsive(self, worker: WorkerHandle, oldest: ClaimedTask, now: float) -> None:
        """Ask for another worker if this one has jobs and has run none of them for a long time.

        The time at which a job was sent is no evidence, because a long handler may have ended a moment ago.
        """
        if worker.idle_job != oldest.seq:
            worker.idle_job, worker.idle_since = oldest.seq, now
        is_unresponsive = now - worker.idle_since > UNRESPONSIVE_AFTER
        if is_unresponsive and not worker.replace_asked and not worker.revoked_at:
            worker.replace_asked = True
            self._tell_root(Replace(worker.incarnation, "unresponsive"))

    def stop_canceled(self, task: ClaimedTask, now: float) -> None:
        """Stop a task that another process has canceled, wherever it is."""
        task.canceled = True
        if self._in_flight.stop_waiting(task) or task.incarnation is None:
            return
        worker = self._workers.get(task.incarnation)
        if worker is None or task.seq not in worker.jobs:
            return
        if task.seq in worker.box.read().running:
            self._tell_root(Interrupt(worker.incarnation, task.seq, "canceled"))
        else:
            self.revoke_unstarted(worker, now)

    def relay_stderr(self) -> None:
        """Forward what the workers have written to their standard error."""
        for worker in self._workers.values():
            worker.stderr_relay.forward()
        logs.report_dropped()
