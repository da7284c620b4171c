"""The workers of one type as their fetcher sees them: who is sent what, taken back, acknowledged, retired."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from goque.telemetry import tracing
from goque_supervisor.fetcher.in_flight import ClaimedTask, InFlight
from goque_supervisor.fetcher.prefetch import PrefetchWindow, distribute
from goque_supervisor.fetcher.worker_handle import WorkerHandle
from goque_supervisor.ipc import messages
from goque_supervisor.ipc.control import Interrupt, Message, Replace
from goque_supervisor.ipc.failpoints import reached
from goque_supervisor.ipc.messages import EPOCH_BITS, Job, Jobs
from goque_supervisor.ipc.sockets import FetcherSocket

LOOK_PERIOD: Final = 0.05
MARK_AFTER: Final = 0.025
"""Seconds that a handler has run before `processing` is written: most end sooner than that is worth a write."""

UNREACHABLE_PAUSE: Final = 0.02
REVOCATION_SETTLES: Final = 0.003
WAITS_BEHIND: Final = 0.1
LOST_AFTER: Final = 0.1
UNRESPONSIVE_AFTER: Final = 10.0


class WorkerPool:
    """Sends jobs ahead of need, and takes back in time what waits behind a long handler.

    Args:
        holdings: the tasks to run.
        concurrency: how many handlers a worker runs at a time.
        tell_root: sends a word to the root supervisor.
    """

    def __init__(self, holdings: InFlight, concurrency: int, tell_root: Callable[[Message], None]) -> None:
        self.pace = PrefetchWindow()
        self.epoch = 0
        self._holdings = holdings
        self._concurrency = concurrency
        self._tell_root = tell_root
        self._mates: dict[int, WorkerHandle] = {}
        self._by_identity: dict[bytes, WorkerHandle] = {}
        self._greeted: set[bytes] = set()
        self._count = 0

    def __iter__(self) -> Iterator[WorkerHandle]:
        return iter(list(self._mates.values()))

    @property
    def is_busy(self) -> bool:
        """Whether a worker has jobs that it has not answered."""
        return any(mate.jobs for mate in self._mates.values())

    def greet(self, identity: bytes) -> None:
        """Note that a worker has said Hello, which may come before the root has told of it."""
        mate = self._by_identity.get(identity)
        if mate is not None:
            mate.ready = True
        else:
            self._greeted.add(identity)

    def join(self, mate: WorkerHandle) -> None:
        """Take in a worker."""
        if mate.identity in self._greeted:
            self._greeted.remove(mate.identity)
            mate.ready = True
        self._mates[mate.started.incarnation] = mate
        self._by_identity[mate.identity] = mate

    def leave(self, incarnation: int) -> WorkerHandle | None:
        """Take out a worker that is dead."""
        mate = self._mates.pop(incarnation, None)
        if mate is not None:
            del self._by_identity[mate.identity]
        return mate

    def by_incarnation(self, incarnation: int) -> WorkerHandle | None:
        """Return a living worker by its number."""
        return self._mates.get(incarnation)

    def by_identity(self, identity: bytes) -> WorkerHandle | None:
        """Return a living worker by its name on the wire."""
        return self._by_identity.get(identity)

    def may_have_sent(self, seq: int) -> bool:
        """Return whether a job of this number was ever sent, by this fetcher or one before it."""
        return 0 < seq <= (self.epoch << EPOCH_BITS) + self._count

    def room(self, now: float) -> int:
        """Return how many more jobs the workers take now."""
        window = self.pace.window(self._concurrency)
        return sum(mate.room(window, now) for mate in self._mates.values())

    def is_hungry(self, now: float) -> bool:
        """Return whether it is time to claim more: a worker has nothing left ahead, or half of the room is free."""
        window = self.pace.window(self._concurrency)
        rooms = [(mate, mate.room(window, now)) for mate in self._mates.values()]
        if any(room and len(mate.jobs) <= self._concurrency for mate, room in rooms):
            return True
        return 2 * sum(room for _mate, room in rooms) >= window * len(rooms) > 0

    # -- sending ---------------------------------------------------------------------------------------

    def dispatch(self, socket: FetcherSocket, now: float) -> bool:
        """Send waiting tasks to workers with room, and what is committed to those who wait to forget it.

        Returns whether any job was sent.
        """
        sent = False
        if self._holdings.waiting:
            window = self.pace.window(self._concurrency)
            mates = list(self._mates.values())
            rooms = [mate.room(window, now) for mate in mates]
            given = distribute([len(mate.jobs) for mate in mates], rooms, len(self._holdings.waiting))
            for mate, count in zip(mates, given, strict=True):
                if count:
                    sent |= self._send_jobs(socket, mate, count, now)
        for mate in self._mates.values():
            if mate.acknowledged:
                reached("result.before_ack")
            if mate.acknowledged and socket.send(mate.identity, messages.encode(Jobs([], mate.acknowledged))):
                mate.acknowledged = []
        return sent

    def _send_jobs(self, socket: FetcherSocket, mate: WorkerHandle, count: int, now: float) -> bool:
        waiting = self._holdings.waiting
        batch = [waiting.popleft() for _ in range(count)]
        first = (self.epoch << EPOCH_BITS) + self._count + 1
        self._count += count
        began = tracing.started()
        jobs = [Job(seq, held.row) for seq, held in enumerate(batch, first)]
        reached("dispatch.before_send")
        if not socket.send(mate.identity, messages.encode(Jobs(jobs, mate.acknowledged))):
            mate.not_before = now + UNREACHABLE_PAUSE  # still connecting, after its fetcher was replaced
            waiting.extendleft(reversed(batch))
            return False
        mate.acknowledged = []
        for seq, held in enumerate(batch, first):
            held.seq, held.sent_at, held.mate = seq, now, mate
            mate.jobs[seq] = held
        reached("dispatch.after_send")
        if began:
            tracing.tell("dispatch", batch[0].row.type, [held.row for held in batch], began)
        return True

    # -- taking back -------------------------------------------------------------------------------------

    def take_back(self, mate: WorkerHandle, now: float) -> None:
        """Begin to take back what a worker has not begun.

        The worker records that a job begins, and then reads the revocation; we write the revocation, wait, and
        then read what began. So each job is either seen as begun, or will be skipped: never both, never neither.
        """
        if mate.jobs and not mate.revoked_at:
            mate.box.revoke_through(max(mate.jobs))
            mate.revoked_at = now

    def finish_taking_back(self, now: float) -> None:
        """Put what was taken back in line again, once every worker must have seen the revocation."""
        for mate in self._mates.values():
            if mate.revoked_at and now - mate.revoked_at >= REVOCATION_SETTLES:
                contents = mate.box.read()
                mate.revoked_at = 0.0
                for seq, held in list(mate.jobs.items()):
                    if seq not in contents.running and seq not in contents.finished:
                        del mate.jobs[seq]
                        self._holdings.wait_again(held)

    def retire(self, mate: WorkerHandle, reason: str, now: float) -> None:
        """Send a worker nothing more; it is replaced when it has ended what it runs."""
        mate.retiring = mate.retiring or reason
        self.take_back(mate, now)

    def ask_replacements(self) -> None:
        """Ask the root to replace retiring workers that have nothing left to do."""
        for mate in self._mates.values():
            if mate.retiring and not mate.jobs and not mate.revoked_at and not mate.replace_asked:
                mate.replace_asked = True
                self._tell_root(Replace(mate.started.incarnation, mate.retiring))

    # -- looking after what runs ---------------------------------------------------------------------------

    def look(self, now: float) -> tuple[list[ClaimedTask], list[tuple[WorkerHandle, int, bytes]]]:
        """Look into the black boxes of workers that are at something for long.

        Returns: tasks that run and are not marked so, and outcomes whose message was lost on the way.
        """
        unmarked: list[ClaimedTask] = []
        unheard: list[tuple[WorkerHandle, int, bytes]] = []
        for mate in self._mates.values():
            oldest = next(iter(mate.jobs.values()), None)
            if oldest is None or now - oldest.sent_at < LOOK_PERIOD:
                continue
            contents = mate.box.read()
            for seq, (_running, outcome) in contents.finished.items():
                if seq in mate.jobs and now - mate.jobs[seq].sent_at > LOST_AFTER:
                    unheard.append((mate, seq, outcome))
            running = [mate.jobs[seq] for seq in contents.running if seq in mate.jobs]
            lasting = now - MARK_AFTER
            unmarked += [
                held for held in running if not held.marked and contents.running[held.seq].started <= lasting
            ]
            waits = any(seq not in contents.running and seq not in contents.finished for seq in mate.jobs)
            self._look_at_line(mate, running, oldest, now, waits=waits)
        return unmarked, unheard

    def _look_at_line(
        self, mate: WorkerHandle, running: list[ClaimedTask], oldest: ClaimedTask, now: float, *, waits: bool
    ) -> None:
        for held in running:
            if held.canceled:
                self._tell_root(Interrupt(mate.started.incarnation, held.seq, "canceled"))
        if running:
            if waits and now - running[0].sent_at > WAITS_BEHIND and self.room(now) > 0:
                self.take_back(mate, now)
        elif now - oldest.sent_at > UNRESPONSIVE_AFTER and not mate.replace_asked and not mate.revoked_at:
            mate.replace_asked = True
            self._tell_root(Replace(mate.started.incarnation, "unresponsive"))

    def stop_moved(self, held: ClaimedTask, now: float) -> None:
        """Stop a task that somebody else has canceled, wherever it is."""
        held.canceled = True
        mate = held.mate
        if self._holdings.stop_waiting(held) or mate is None or held.seq not in mate.jobs:
            return
        if held.seq in mate.box.read().running:
            self._tell_root(Interrupt(mate.started.incarnation, held.seq, "canceled"))
        else:
            self.take_back(mate, now)

    def relay_stderr(self) -> None:
        """Forward what the workers have written to their standard error."""
        for mate in self._mates.values():
            mate.relay.forward()
