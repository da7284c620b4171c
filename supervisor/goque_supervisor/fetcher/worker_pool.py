"""The workers of one pool, in their fetcher: decide which worker gets which jobs, and when to revoke jobs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from goque.telemetry import logs, tracing
from goque_supervisor.fetcher.in_flight import ClaimedTask, InFlight
from goque_supervisor.fetcher.pool_types import PoolTypes
from goque_supervisor.fetcher.prefetch import AHEAD, Pace, Room, distribute
from goque_supervisor.fetcher.steps.progress import with_progress
from goque_supervisor.fetcher.worker_handle import WAITS_BEHIND, Inspected, WorkerHandle
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

UNRESPONSIVE_AFTER: Final = 10.0


class WorkerPool:
    """Sends jobs before workers need them, and revokes jobs that wait behind a long handler.

    Attributes:
        pace, epoch: how long tasks of each type run, and the number of this fetcher among those of the pool.
        received_at: when the messages of the workers were received last.

    Args:
        in_flight: the tasks to run.
        types: the types of the pool.
        concurrency: how many `async def` handlers a worker of such runs at a time.
        tell_root: sends a message to the root supervisor.
    """

    def __init__(
        self, in_flight: InFlight, types: PoolTypes, concurrency: int, tell_root: Callable[[Message], None]
    ) -> None:
        self.pace = Pace()
        self.received_at = 0.0
        self.epoch = 0
        self._in_flight = in_flight
        self._types = types
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

    def capacity(self, task_type: str, now: float) -> int:
        """Return how many more tasks of a type to claim, so that the workers can be sent them now.

        Claims are large: it is 0 if each worker has jobs ahead, and less than half of the room is free.
        """
        is_async = self._types.is_async(task_type)
        return self._capacity(task_type, self._rooms(now, is_async=is_async))

    def capacities(self, now: float) -> dict[str, int]:
        """Return the same for each type of the pool."""
        rooms = {is_async: self._rooms(now, is_async=is_async) for is_async in (False, True)}
        return {name: self._capacity(name, rooms[self._types.is_async(name)]) for name in self._types.names}

    def wants_more(self, now: float) -> bool:
        """Return whether the workers can be sent more tasks of any type."""
        if self._types.only is not None:
            return self.capacity(self._types.only, now) > 0
        return any(self.capacities(now).values())

    def _capacity(self, task_type: str, rooms: list[tuple[WorkerHandle, Room | None]]) -> int:
        is_async = self._types.is_async(task_type)
        concurrency, mean = self.concurrency_of(is_async=is_async), self.pace.mean(task_type)
        free = [(worker, room.jobs(mean) if room is not None else 0) for worker, room in rooms]
        total = sum(count for _worker, count in free)
        has_idle = any(count and len(worker.jobs) <= concurrency for worker, count in free)
        if not total or not (has_idle or 2 * total >= len(free) * Room(concurrency).jobs(mean)):
            return 0
        return max(0, total - len(self._in_flight.waiting(is_async=is_async)))

    def _rooms(self, now: float, *, is_async: bool) -> list[tuple[WorkerHandle, Room | None]]:
        """Return the workers of a kind, each with its room if it may be sent jobs now."""
        return [
            (worker, self._room(worker) if worker.takes_jobs(now) else None)
            for worker in self._workers.values()
            if worker.is_async is is_async
        ]

    def ready(self, now: float, *, is_async: bool) -> list[WorkerHandle]:
        """Return the workers of a kind that take tasks, and take note of those that have some."""
        found = [
            worker
            for worker in self._workers.values()
            if worker.is_async is is_async and worker.ready and not worker.retiring
        ]
        for worker in found:
            if worker.jobs or not worker.busy_at:
                worker.busy_at = now
        return found

    def are_busy(self, workers: Iterable[WorkerHandle]) -> bool:
        """Return whether none of these workers could begin another task now."""
        return all(len(worker.jobs) >= self.concurrency_of(is_async=worker.is_async) for worker in workers)

    def _room(self, worker: WorkerHandle) -> Room:
        concurrency, jobs = self.concurrency_of(is_async=worker.is_async), len(worker.jobs)
        only = self._types.only
        if only is not None:
            return Room(concurrency, jobs, jobs * self._expected(only, concurrency))
        of_types = Counter(task.row.type for task in worker.jobs.values())
        load = sum(number * self._expected(name, concurrency) for name, number in of_types.items())
        return Room(concurrency, jobs, load)

    def _expected(self, task_type: str, concurrency: int) -> float:
        mean = self.pace.mean(task_type)
        return AHEAD * concurrency if mean is None else mean

    def concurrency_of(self, *, is_async: bool) -> int:
        """Return how many jobs a worker of this kind runs at a time."""
        return self._concurrency if is_async else 1

    # -- sending ---------------------------------------------------------------------------------------

    def dispatch(self, socket: FetcherSocket, now: float) -> bool:
        """Send waiting tasks to workers with capacity, and tell workers which outcomes are committed.

        Returns whether any job was sent.
        """
        sent = False
        for is_async in (False, True):
            sent |= self._dispatch_kind(socket, now, is_async=is_async)
        for worker in self._workers.values():
            if worker.acknowledged:
                reached("result.before_ack")
                if socket.send(worker.identity, messages.encode(Jobs([], worker.acknowledged))):
                    worker.acknowledged = []
        return sent

    def _dispatch_kind(self, socket: FetcherSocket, now: float, *, is_async: bool) -> bool:
        """Send the waiting tasks to the workers of one kind, in the order of their claims."""
        sent = False
        waiting = self._in_flight.waiting(is_async=is_async)
        rooms = self._rooms(now, is_async=is_async) if waiting else []
        while waiting:
            mean = self.pace.mean(waiting[0].row.type)
            number = len(waiting) if self._types.only else self._in_flight.number_alike(is_async=is_async)
            free = [0 if room is None else room.jobs(mean) for _worker, room in rooms]
            counts = distribute([len(worker.jobs) for worker, _room in rooms], free, number)
            for (worker, room), count in zip(rooms, counts, strict=True):
                if count and room is not None:
                    sent |= self._send_jobs(socket, worker, count, now)
                    room.take(count, mean)
            if sum(counts) < number:
                break
        return sent

    def _send_jobs(self, socket: FetcherSocket, worker: WorkerHandle, count: int, now: float) -> bool:
        waiting = self._in_flight.waiting(is_async=worker.is_async)
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
            task.app_version = worker.started.app_version
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

    def inspect(self, now: float) -> Inspected:
        """Read the black boxes of workers that have not answered for a while."""
        found = Inspected()
        for worker in self._workers.values():
            if not worker.is_due_for_inspection(now, self.received_at):
                continue
            contents = worker.box.read()
            worker.read_at = now
            for seq in worker.lost_results(contents.finished, now):
                found.lost.append((worker, seq, contents.finished[seq][1]))
            running = [worker.jobs[seq] for seq in contents.running if seq in worker.jobs]
            started_by = now - MARK_AFTER
            found.unmarked += [
                task
                for task in running
                if not task.marked and contents.running[task.seq].started <= started_by
            ]
            found.reported += with_progress(running, contents.running)
            unstarted = (
                task
                for seq, task in worker.jobs.items()
                if seq not in contents.running and seq not in contents.finished
            )
            if running:
                worker.idle_job = 0
                self._inspect_running(worker, running, next(unstarted, None), now)
            else:
                self._inspect_unresponsive(worker, next(iter(worker.jobs.values())), now)
        return found

    def _inspect_running(
        self, worker: WorkerHandle, running: list[ClaimedTask], waiting: ClaimedTask | None, now: float
    ) -> None:
        for task in running:
            if task.canceled:
                self._interrupt(worker, task)
        if waiting is None or now - running[0].sent_at <= WAITS_BEHIND:
            return
        mean = self.pace.mean(waiting.row.type)
        rooms = self._rooms(now, is_async=worker.is_async)
        if any(room.jobs(mean) for _other, room in rooms if room is not None):
            self.revoke_unstarted(worker, now)

    def _interrupt(self, worker: WorkerHandle, task: ClaimedTask) -> None:
        grace = self._types.options(task.row.type).timeout_grace
        self._tell_root(Interrupt(worker.incarnation, task.seq, "canceled", grace))

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
            self._interrupt(worker, task)
        else:
            self.revoke_unstarted(worker, now)

    def relay_stderr(self) -> None:
        """Forward what the workers have written to their standard error."""
        for worker in self._workers.values():
            worker.stderr_relay.forward()
        logs.report_dropped()
