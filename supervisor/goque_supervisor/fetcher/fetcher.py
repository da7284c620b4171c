"""The fetcher of one task type: the only process that reads and writes this type's rows while it runs.

One turn of its loop:

1. wait for a result, an order from the root, new work, or the next moment at which something is due;
2. take in results and orders;
3. settle what has ended, in one transaction, and only then acknowledge it to the workers;
4. claim what the workers can take now;
5. dispatch it;
6. look after what runs: write `processing`, notice cancels, take back what waits behind a long handler.

When it dies, workers go on; the next one adopts them (adoption.py).
"""

from __future__ import annotations

import gc
import logging
import os
import random
import select
import time
from typing import Any, Final

import msgspec

from goque.describe.run_end import say_end
from goque.errors import DatabaseUnavailableError
from goque.options import ProcessorSpec
from goque.outcome import OutcomeKind
from goque.storage import open_storage
from goque_supervisor.actors.wait_for_database import prepare_unlocked
from goque_supervisor.fetcher.database import TaskDatabase
from goque_supervisor.fetcher.dead_workers import DeadWorkers, read_box
from goque_supervisor.fetcher.in_flight import ClaimedTask, InFlight
from goque_supervisor.fetcher.takeover import adopt
from goque_supervisor.fetcher.wakeup_backoff import WakeupBackoff
from goque_supervisor.fetcher.worker_handle import WorkerHandle
from goque_supervisor.fetcher.worker_pool import LOOK_PERIOD, REVOCATION_SETTLES, WorkerPool
from goque_supervisor.ipc import messages
from goque_supervisor.ipc.control import (
    Beat,
    CallbackDone,
    Channel,
    CheckIdle,
    Drain,
    Drained,
    Idle,
    Message,
    NewOwner,
    PauseClaiming,
    Ready,
    Retire,
    Stop,
    TakeOver,
    WorkerExited,
    WorkerStarted,
)
from goque_supervisor.ipc.failpoints import reached
from goque_supervisor.ipc.messages import Hello, Result, Results, Retiring
from goque_supervisor.ipc.sockets import FetcherSocket
from goque_supervisor.metrics.counters import Counters

log = logging.getLogger("goque.fetcher")

BEAT_PERIOD: Final = 1.0
SETTLE_PERIOD: Final = 0.04
MIN_SETTLE_BATCH: Final = 500
RELAY_PERIOD: Final = 0.25
OTHERS_PERIOD: Final = 0.2


class Fetcher:
    """Claims, dispatches and settles the tasks of one type."""

    def __init__(self, boot: dict[str, Any], channel: Channel) -> None:
        self.boot = boot
        self.channel = channel
        self.task_type: str = boot["task_type"]
        spec = msgspec.convert(boot["processor"], ProcessorSpec)
        self.options = spec.options
        self.storage = open_storage(boot["database_url"])
        self.counters = Counters(boot["counters"], self.task_type)
        self.ledger = TaskDatabase(self.storage, self.task_type, self.options, self.counters)
        self.holdings = InFlight(self._may_run)
        self.crew = WorkerPool(self.holdings, self.options.concurrency if spec.is_async else 1, channel.send)
        self.burial = DeadWorkers(self.holdings, self.options, channel.send)
        self._says_all = self.options.verbose and log.isEnabledFor(logging.DEBUG)
        self.owner = ""
        self.stopping = self.draining = self.drained = self.hold = False
        self._claim_at = self._beat_at = self._look_at = self._relay_at = self._others_at = 0.0
        self._wakes = WakeupBackoff()
        self._settled_at = 0.0
        self._others_moved = self._is_due_known = True
        self._idle: bool | None = None
        self._idle_check = 0

    def run(self) -> None:
        """TakeOver what the last fetcher left, then turn until told to stop."""
        prepare_unlocked(
            self.storage.require_schema, self._beat_and_wait, log, node_is_up=self.boot["node_is_up"]
        )
        self.socket = FetcherSocket(self.boot["endpoint"], self.boot["secret_key"])
        self.watcher = self.storage.watch(self.task_type)
        self._take_over(self._await_adopt())
        for descriptor in (self.channel.fileno(), self.watcher.fileno()):
            if descriptor is not None:
                self.socket.watch(descriptor)
        gc.collect()
        gc.freeze()
        self.channel.send(Ready())
        while not self.stopping:
            self.turn()
        self.crew.relay_stderr()
        self.watcher.close()
        self.storage.close()
        self.socket.close()

    def turn(self) -> None:
        """Wait, then do everything that is due."""
        self.socket.wait(self._pause())
        self._receive_results()
        self._receive_orders()
        self._notice_new_work()
        self._settle()
        self._claim()
        now = time.monotonic()
        if self.crew.dispatch(self.socket, now):
            self._look_at = min(self._look_at, now + LOOK_PERIOD)
        self._learn_when_due()
        if now >= self._look_at:
            self._look_after(now)
        self._report(now)

    def _pause(self) -> float:
        """Return the seconds until something is due that no descriptor announces."""
        now = time.monotonic()
        times = [self._beat_at]
        if self.holdings.ended:
            times.append(max(self._settle_at, self.ledger.retry_at))
        if self._may_claim and self.crew.is_hungry(now):
            times.append(max(self._claim_at, self.ledger.retry_at))
        if self.crew.is_busy or self.holdings.waiting:
            times.append(self._look_at)
        if (pause := self.watcher.ask_again_in()) is not None:
            times.append(now + pause)
        return max(0.0, min(times) - now)

    @property
    def _may_claim(self) -> bool:
        return bool(self.owner) and not self.draining and not self.hold

    def _may_run(self, held: ClaimedTask) -> bool:
        return self._may_claim and held.row.claimed_by == self.owner

    # -- what comes in -----------------------------------------------------------------------------------

    def _receive_results(self) -> None:
        durations: list[float] = []
        for identity, data in self.socket.receive():
            mate = self.crew.by_identity(identity)
            try:
                message = messages.decode_from_worker(data)
            except (msgspec.MsgspecError, ValueError) as error:
                self.counters.count("dropped_messages")
                log.warning("a message that does not decode was dropped: %s", error)
                continue
            if isinstance(message, Hello):
                self.crew.greet(identity)
                continue
            if mate is None:
                self.counters.count("dropped_messages")  # of a worker that is buried: its black box has told
                continue
            match message:
                case Results(results):
                    reached("result.received")
                    durations += [result.outcome.duration for result in results]
                    for result in results:
                        self._take_result(mate, result)
                case Retiring(reason):
                    self.crew.retire(mate, reason, time.monotonic())
                    self._look_at = 0.0
        self.crew.pace.note(durations)

    def _take_result(self, mate: WorkerHandle, result: Result) -> None:
        held = mate.jobs.pop(result.seq, None)
        if held is None:
            if not self.crew.may_have_sent(result.seq):
                self.counters.count("dropped_messages")
                log.warning("a result of a job that was never sent was dropped: number %d", result.seq)
            elif not self.holdings.is_unwritten(result.seq):  # one read in the black box is not committed yet
                mate.acknowledged.append(result.seq)
        elif result.outcome.kind is OutcomeKind.UNSTARTED:
            self.holdings.wait_again(held)
        else:
            self.holdings.end(held, result.outcome)

    def _receive_orders(self) -> None:
        for message in self.channel.receive():
            self._obey(message)
        if self.channel.closed:
            os._exit(0)  # the root is gone: nothing of the tree may outlive it

    def _obey(self, message: Message) -> None:
        self._claim_at = 0.0
        match message:
            case WorkerStarted():
                self.crew.join(WorkerHandle.of(message, adopted=False))
            case WorkerExited():
                self._bury(message)
            case Retire(incarnation, reason):
                self._retire(incarnation, reason)
            case NewOwner(owner):
                self._take_name(owner)
            case PauseClaiming(hold):
                self._hold(hold=hold)
            case CheckIdle(check):
                self._idle_check = check
            case CallbackDone(call, delay):
                self.burial.callback_done(call, delay)
            case Drain():
                self._drain()
            case Stop():
                self.stopping = True
            case _:
                log.error("unexpected %s from the root: dropped", type(message).__name__)

    def _bury(self, notice: WorkerExited) -> None:
        mate = self.crew.leave(notice.incarnation)
        contents = read_box(notice.box)
        if mate is None:
            self.burial.bury(notice, {}, contents)
            return
        mate.relay.forward(rest=True)
        mate.box.close()
        unwritten = [held for held in self.holdings.ended if held.mate is mate]
        self.burial.bury(notice, mate.jobs, contents, unwritten)

    def _retire(self, incarnation: int, reason: str) -> None:
        mate = self.crew.by_incarnation(incarnation)
        if mate is not None:
            self.crew.retire(mate, reason, time.monotonic())
            self._look_at = 0.0

    def _hold(self, *, hold: bool) -> None:
        self.hold = hold
        if hold:
            self.holdings.give_back_waiting()

    def _take_name(self, owner: str) -> None:
        if owner != self.owner:
            self.owner = owner
            self._give_back_unbegun()  # others may have it by now: it must not begin under the former name

    def _drain(self) -> None:
        self.draining = True
        self._give_back_unbegun()

    def _give_back_unbegun(self) -> None:
        self.holdings.give_back_waiting()
        for mate in self.crew:
            self.crew.take_back(mate, time.monotonic())
        self._look_at = 0.0

    def _notice_new_work(self) -> None:
        try:
            changed = self.watcher.changed()
        except DatabaseUnavailableError as error:
            self.ledger.failed(error)
            return
        if changed:
            now = time.monotonic()
            self._others_moved = True
            self._others_at = min(self._others_at, now + OTHERS_PERIOD)
            pause = 0.0 if self.watcher.rests else self._wakes.pause(now)
            self._claim_at = min(self._claim_at, now + pause)

    @property
    def _settle_at(self) -> float:
        """When to write what has ended: at once, but in a stream of results not more often than needed."""
        if len(self.holdings.ended) >= MIN_SETTLE_BATCH or self.draining or not self.crew.is_busy:
            return 0.0
        return self._settled_at + SETTLE_PERIOD

    # -- to and from the database --------------------------------------------------------------------------

    def _settle(self) -> None:
        if not self.holdings.ended or time.monotonic() < self._settle_at:
            return
        settled = self.ledger.settle(self.holdings.ended, self.owner)
        if settled is None:
            return
        self.watcher.wrote()
        self.holdings.ended = []
        self._settled_at = time.monotonic()
        for held, change, written in settled:
            self.holdings.forget(held)
            if self.burial.is_pending:
                self.burial.committed(held)
            assert held.outcome is not None
            self.counters.settled(change, held.outcome, held.row, written=written)
            if held.outcome.kind is not OutcomeKind.DONE or not written or self._says_all:
                say_end(held.row, held.outcome, change, self.options, written=written)
                if not change.status.is_terminal:
                    self._claim_at = min(self._claim_at, time.monotonic() + (change.delay or 0.0))

    def _claim(self) -> None:
        now = time.monotonic()
        if not self._may_claim or now < self._claim_at:
            return
        room = min(self.crew.room(now) - len(self.holdings.waiting), self.options.fetch_max_tasks)
        if room <= 0 or not self.crew.is_hungry(now):
            return
        rows = self.ledger.claim(self.owner, room)
        if rows is None:
            return
        self.holdings.take(rows)
        self.watcher.found(len(rows))
        if rows:
            self.watcher.wrote()
        self.counters.count("fetched", len(rows))
        if len(rows) < room:
            self._wakes.claimed(len(rows), now)
            self.watcher.rest(self._wakes.pause(now))
            self._claim_at = now + self.options.fetch_tick * random.uniform(0.9, 1.0)  # noqa: S311 - spreads the nodes
            self._is_due_known = False

    def _learn_when_due(self) -> None:
        """Ask when the next task is due; after the dispatch, for those just claimed must not wait for this."""
        if self._is_due_known or not self._may_claim:
            return
        due = self.ledger.seconds_until_due()
        if due is not None:
            self._is_due_known = True
            self._claim_at = min(self._claim_at, time.monotonic() + max(due, 0.001))

    # -- looking after what runs -----------------------------------------------------------------------------

    def _look_after(self, now: float) -> None:
        self._look_at = now + LOOK_PERIOD
        self._notice_moves_of_others(now)
        unmarked, unheard = self.crew.look(now)
        for mate, seq, outcome in unheard:
            self._take_result(mate, Result(seq, messages.decode_outcome(outcome)))
        if unmarked:
            self.ledger.mark_processing(unmarked)
            self.watcher.wrote()
        self.crew.finish_taking_back(now)
        self.crew.ask_replacements()
        if any(mate.revoked_at for mate in self.crew):
            self._look_at = now + REVOCATION_SETTLES

    def _notice_moves_of_others(self, now: float) -> None:
        if now < self._others_at or not (self._others_moved and self.holdings):
            return
        self._others_at = now + self.options.fetch_tick
        moved = self.ledger.changed_by_others(self.owner)
        if moved is None:
            return
        self._others_moved = not self.watcher.hears_every_write
        for token in moved:
            held = self.holdings.by_id.get(token.task_id)
            if held is not None and held.outcome is None and held.row.token == token:
                self.crew.stop_moved(held, now)

    def _report(self, now: float) -> None:
        if self.boot["drain"]:
            self._report_idle(now)
        if self.draining and not self.holdings and not self.drained:
            self.drained = True
            self.channel.send(Drained())
        if now >= self._relay_at:
            self._relay_at = now + RELAY_PERIOD
            self.crew.relay_stderr()
        if now >= self._beat_at:
            self._beat_at = now + BEAT_PERIOD
            self.channel.send(Beat())
            self.ledger.prove_reachable(now)

    def _report_idle(self, now: float) -> None:
        looked = self.hold or (self._is_due_known and self._claim_at > now)
        idle = looked and not self.holdings and not self.burial.is_pending
        if idle != self._idle or (self._idle_check and (looked or not idle)):
            self.channel.send(Idle(idle, self._idle_check))
            self._idle, self._idle_check = idle, 0

    # -- the start ---------------------------------------------------------------------------------------------

    @property
    def epoch(self) -> int:
        """The number of this fetcher among those that the type has had."""
        return self.crew.epoch

    def _await_adopt(self) -> TakeOver:
        while True:
            select.select([self.channel], [], [])
            messages_so_far = self.channel.receive()
            if self.channel.closed:
                os._exit(0)  # the root is gone
            if messages_so_far:
                break
        order, *rest = messages_so_far
        assert isinstance(order, TakeOver), "the root's first word to a fetcher is TakeOver"
        self._early_orders = rest
        return order

    def _take_over(self, order: TakeOver) -> None:
        self.crew.epoch, self.owner = order.epoch, order.owner
        while (rows := self.ledger.take_over([*order.former_owners, order.owner])) is None:
            self._beat_and_wait(max(0.0, self.ledger.retry_at - time.monotonic()))
        self.holdings.adopt(rows)
        adopt(order, self.holdings, self.crew, self.burial)
        for message in self._early_orders:
            self._obey(message)

    def _beat_and_wait(self, pause: float) -> bool:
        self.channel.send(Beat())
        time.sleep(pause)
        return True


def run(boot: dict[str, Any], channel: Channel) -> None:
    """Run the fetcher of one type in this process."""
    Fetcher(boot, channel).run()
