"""Answer requests for the stacks of running tasks.

1. A look at the node's claims brings the requests (`claim_news`). Requests for tasks of other pools are left alone.
2. The stack of a `def` handler is what its process writes at a signal, which the root sends (dumps.py).
3. The stack of an `async def` handler comes from its event loop. A worker that is not connected, as just after a
   takeover, is asked again until it is reached. A loop that does not answer within `LOOP_ANSWERS` after that is
   blocked: then the stack of its thread is the answer.
4. Answers are written together.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from goque.stacks.answer import Source, StackAnswer, StackState, encode_answer
from goque.stacks.frames import MAX_FRAMES, Frame, frames_of_handler, with_source
from goque.storage.contract import StackRequest
from goque_supervisor.fetcher.database import TaskDatabase
from goque_supervisor.fetcher.in_flight import ClaimedTask, InFlight
from goque_supervisor.fetcher.stacks.dumps import Dump, Dumps
from goque_supervisor.fetcher.worker_handle import WorkerHandle
from goque_supervisor.fetcher.worker_pool import WorkerPool
from goque_supervisor.ipc import messages
from goque_supervisor.ipc.box_records import Running
from goque_supervisor.ipc.control import Message, StackWanted
from goque_supervisor.ipc.messages import Jobs, StackAsked, StackShown
from goque_supervisor.ipc.sockets import FetcherSocket

LOOP_ANSWERS: Final = 0.8

REACHED_WITHIN: Final = 1.0
"""Seconds within which a worker connects to the fetcher that takes it over, though the machine is busy."""

MAX_REMEMBERED: Final = 1000
"""How many answered requests are remembered: a look that began before the answer was written finds them again."""

CUT: Final = f"only the {MAX_FRAMES} innermost calls are shown"
NOT_STARTED: Final = "a node has claimed it, and it has not started yet"
HAS_ENDED: Final = "it has just ended"
BLOCKED_LOOP: Final = (
    f"its event loop has not answered for {LOOP_ANSWERS:g} s; this is what the thread of the loop runs, perhaps for "
    "another task"
)
UNREACHED: Final = (
    "its event loop could not be asked, because its process is not connected to the fetcher; this is what the thread "
    "of the loop runs, perhaps for another task"
)


@dataclass
class _Open:
    """A request that has no answer.

    Attributes:
        task: the task.
        worker: the worker that runs it.
        found_at: when the request was found (CLOCK_MONOTONIC seconds).
        number: the number under which the worker's loop is asked.
        asked_at: when the question was sent to the worker's loop, None before; `def` handlers are not asked.
    """

    task: ClaimedTask
    worker: WorkerHandle
    found_at: float
    number: int
    asked_at: float | None = None

    def needs_dump(self, now: float) -> bool:
        """Return whether the answer is what the process writes at a signal, and not what its loop sends."""
        if not self.worker.is_async:
            return True
        if self.asked_at is None:
            return now - self.found_at > REACHED_WITHIN
        return now - self.asked_at > LOOP_ANSWERS

    @property
    def running(self) -> Running | None:
        """What the worker's black box says about the run, None if it does not run any more."""
        return self.worker.box.read().running.get(self.task.seq)


class StackAnswers:
    """The open requests for stacks of one pool.

    Args:
        database: the fetcher's database.
        in_flight: the tasks in flight.
        worker_pool: the living workers.
        socket: the socket to the workers.
        tell_root: sends a message to the root.
    """

    def __init__(
        self,
        database: TaskDatabase,
        in_flight: InFlight,
        worker_pool: WorkerPool,
        socket: FetcherSocket,
        tell_root: Callable[[Message], None],
    ) -> None:
        self._database = database
        self._in_flight = in_flight
        self._worker_pool = worker_pool
        self._socket = socket
        self._dumps = Dumps(lambda worker: tell_root(StackWanted(worker.incarnation)))
        self._numbers = itertools.count(1)
        self._open: dict[str, _Open] = {}
        self._ready: dict[str, StackAnswer] = {}
        self._answered: dict[str, None] = {}

    def take(self, requests: Iterable[StackRequest], now: float) -> None:
        """Take the requests for tasks of this pool; some may be here already."""
        for request in requests:
            task = self._in_flight.by_id.get(request.task_id)
            is_known = request.id in self._open or request.id in self._ready or request.id in self._answered
            if task is not None and not is_known:
                self._begin(request.id, task, now)

    def _begin(self, request_id: str, task: ClaimedTask, now: float) -> None:
        worker = None if task.incarnation is None else self._worker_pool.by_incarnation(task.incarnation)
        if worker is None or task.seq not in worker.box.read().running:
            note = NOT_STARTED if task.outcome is None else HAS_ENDED
            self._ready[request_id] = StackAnswer(StackState.NOT_RUNNING, note=note)
            return
        one = self._open[request_id] = _Open(task, worker, now, next(self._numbers))
        if worker.is_async:
            self._ask_loop(one, now)

    def _ask_loop(self, one: _Open, now: float) -> None:
        asked = Jobs([], [], [], [StackAsked(one.number, one.task.seq)])
        if self._socket.send(one.worker.identity, messages.encode(asked)):
            one.asked_at = now

    def on_shown(self, shown: StackShown) -> None:
        """Take the stack of a coroutine."""
        for request_id, one in list(self._open.items()):
            if one.number == shown.number:
                self._finish(request_id, one, shown.frames, "coroutine", asyncio_tasks=shown.asyncio_tasks)

    def advance(self, now: float) -> bool:
        """Go on with all requests; returns whether answers were written."""
        workers: dict[int, WorkerHandle] = {}
        for request_id, one in list(self._open.items()):
            if self._worker_pool.by_incarnation(one.worker.incarnation) is not one.worker:
                del self._open[request_id]  # its process has ended, and its task is settled
                self._dumps.close(one.worker)
            elif one.needs_dump(now):
                workers[one.worker.incarnation] = one.worker
            elif one.asked_at is None:
                self._ask_loop(one, now)
        for worker in workers.values():
            self._look_at_dump(worker, now)
        return self._write()

    def _look_at_dump(self, worker: WorkerHandle, now: float) -> None:
        dump = self._dumps.of(worker, now)
        frames = dump.read_if_whole()
        if frames is None and not dump.is_overdue(now):
            return
        self._dumps.close(worker)
        for request_id, one in list(self._open.items()):
            if one.worker is worker and one.needs_dump(now):
                self._finish_by_dump(request_id, one, dump, frames)

    def _finish_by_dump(self, request_id: str, one: _Open, dump: Dump, frames: list[Frame] | None) -> None:
        if not frames:
            self._end(request_id, StackAnswer(StackState.SILENT, note=dump.why_silent()))
        elif one.worker.is_async:
            note = UNREACHED if one.asked_at is None else BLOCKED_LOOP
            self._finish(request_id, one, frames_of_handler(frames), "loop", note=note)
        else:
            self._finish(request_id, one, frames_of_handler(frames), "thread")

    def _finish(
        self,
        request_id: str,
        one: _Open,
        frames: Iterable[Frame],
        source: Source,
        *,
        asyncio_tasks: Iterable[Iterable[Frame]] = (),
        note: str = "",
    ) -> None:
        running = one.running
        if running is None:
            self._end(request_id, StackAnswer(StackState.NOT_RUNNING, note=HAS_ENDED))
            return
        shown = tuple(with_source(frames))
        answer = StackAnswer(
            StackState.TAKEN,
            worker_pid=one.worker.started.pid,
            seconds=max(0.0, time.monotonic() - running.started),
            step=running.step,
            source=source,
            frames=shown,
            asyncio_tasks=tuple(tuple(with_source(stack)) for stack in asyncio_tasks),
            note=note or (CUT if len(shown) >= MAX_FRAMES else ""),
        )
        self._end(request_id, answer)

    def _end(self, request_id: str, answer: StackAnswer) -> None:
        del self._open[request_id]
        self._ready[request_id] = answer

    def _write(self) -> bool:
        if not self._ready:
            return False
        texts = [(request_id, encode_answer(answer)) for request_id, answer in self._ready.items()]
        if not self._database.answer_stacks(texts):
            return False  # they are written when the database answers again
        self._answered |= dict.fromkeys(self._ready)
        self._ready = {}
        for old in list(self._answered)[:-MAX_REMEMBERED]:
            del self._answered[old]
        return True
