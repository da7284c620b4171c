"""The loop of a fetcher: the only process of its node that reads and writes the rows of its pool while it runs.

One turn of its loop:

1. wait for a result, an order from the root, new work, or the next time at which something is due (schedule.py);
2. take in results (results.py) and orders (orders.py), and answer questions about steps (steps/answers.py);
3. settle the tasks that have ended, in one transaction, and only then acknowledge them to the workers;
4. claim what the workers can take now;
5. dispatch it to them (worker_pool.py);
6. compare from time to time the claims in the table with the tasks in flight (reconciler.py);
7. inspect running tasks: write `processing` and progress, notice cancels, revoke jobs behind a long handler.

When a fetcher dies, its workers continue, and the next fetcher takes them over (takeover.py).
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from goque.describe.run_end import log_outcome
from goque.errors import DatabaseUnavailableError
from goque.outcome import Change
from goque.pools.options import PoolOptions
from goque.storage import TaskStorage
from goque.storage.contract import Claim
from goque.task_row import TaskRow
from goque.task_rules.limits import PutOff
from goque_supervisor.fetcher.changes_by_others import ChangesByOthers
from goque_supervisor.fetcher.claiming.claims import Claims
from goque_supervisor.fetcher.database import Settled, TaskDatabase
from goque_supervisor.fetcher.dead_workers import DeadWorkers
from goque_supervisor.fetcher.in_flight import ClaimedTask, InFlight
from goque_supervisor.fetcher.orders import OrderHandler, Orders
from goque_supervisor.fetcher.pool_counters import PoolCounters
from goque_supervisor.fetcher.pool_types import PoolTypes
from goque_supervisor.fetcher.put_offs import PutOffs
from goque_supervisor.fetcher.reconciler import Reconciler
from goque_supervisor.fetcher.reports import Reports
from goque_supervisor.fetcher.results import ResultReceiver
from goque_supervisor.fetcher.schedule import INSPECT_PERIOD, Load, Schedule
from goque_supervisor.fetcher.settled_claims import MAX_AGE
from goque_supervisor.fetcher.stacks.answers import StackAnswers
from goque_supervisor.fetcher.steps.answers import StepAnswers
from goque_supervisor.fetcher.steps.progress import ProgressWriter
from goque_supervisor.fetcher.takeover import take_over
from goque_supervisor.fetcher.worker_numbers import WorkerNumbers
from goque_supervisor.fetcher.worker_pool import REVOCATION_SETTLES, WorkerPool
from goque_supervisor.ipc.channel import Channel
from goque_supervisor.ipc.control import Beat, Message, TakeOver
from goque_supervisor.ipc.failpoints import reached
from goque_supervisor.ipc.failure_report import reports_of
from goque_supervisor.ipc.sockets import FetcherSocket
from goque_supervisor.recovery.failure_reports import FailureReports

log = logging.getLogger("goque.fetcher")

MIN_ENDED_BESIDE: Final = 100
"""From this number of ended tasks on, a claim beside their settlement is worth a thread."""


class Fetcher:
    """Claims, dispatches and settles the tasks of one pool.

    Args:
        boot: the settings of this process, from the root.
        channel: the channel to the root.
        storage: the database.
        counters: the counters of this fetcher.
        socket: the socket to the workers.
    """

    def __init__(
        self,
        boot: dict[str, Any],
        channel: Channel,
        storage: TaskStorage,
        counters: PoolCounters,
        socket: FetcherSocket,
    ) -> None:
        self.types = PoolTypes(boot["processors"], boot["leaving"])
        self.options = msgspec.convert(boot["options"], PoolOptions)
        self.channel = channel
        self.counters = counters
        self.socket = socket
        self.watcher = storage.watch(self.types.names)
        self.database = TaskDatabase(storage, self.types, self.options.fetch_timeout, counters, channel.send)
        self.progress = ProgressWriter(self.database.write_progress)
        self.orders = Orders()
        self.schedule = Schedule()
        self.put_offs = PutOffs()
        self.in_flight = InFlight(self._may_wait, self.types.is_async)
        self.worker_pool = WorkerPool(self.in_flight, self.types, self.options.concurrency, channel.send)
        self.dead_workers = DeadWorkers(self.in_flight, self.types, channel.send)
        of_claims = self.types, self.options, self.database, self.in_flight, self.worker_pool
        self.claims = Claims(*of_claims, schedule=self.schedule, counters=counters)
        self.worker_numbers = WorkerNumbers(
            boot["workers"],
            self.options.idle_timeout,
            worker_pool=self.worker_pool,
            claims=self.claims,
            tell_root=channel.send,
        )
        self.failure_reports = FailureReports(channel.send, reports_of(boot["processors"]))
        self.step_answers = StepAnswers(self.database, self.worker_pool.by_incarnation, counters.count_step)
        self.stack_answers = StackAnswers(
            self.database, self.in_flight, self.worker_pool, socket, channel.send
        )
        of_changes = self.database, self.in_flight, self.worker_pool, self.schedule, self.watcher
        self.changes = ChangesByOthers(*of_changes, fetch_tick=self.options.fetch_tick)
        of_results = self.in_flight, self.worker_pool, counters.whole, self.schedule
        self.results = ResultReceiver(
            *of_results,
            hold_back=self._hold_back,
            on_question=self.step_answers.add,
            on_stack=self.stack_answers.on_shown,
        )
        of_orders = self.orders, self.in_flight, self.worker_pool, self.dead_workers, self.schedule
        self.order_handler = OrderHandler(*of_orders)
        of_table = self.database, self.in_flight, self.orders, self.schedule, channel.send
        rows_stay = self.types.shortest_age() > MAX_AGE
        self.reconciler = Reconciler(*of_table, node_timeout=boot["node_timeout"], rows_stay=rows_stay)
        of_work = self.in_flight, self.dead_workers, self.claims, self.orders, channel.send
        self.reports = Reports(*of_work, reports_idle=bool(boot["drain"]))
        self._logs_debug = log.isEnabledFor(logging.DEBUG)

    def _may_wait(self, task: ClaimedTask) -> bool:
        """Return whether a task that has not started may wait here for a worker."""
        return (
            self.orders.may_run(task)
            and task.row.type in self.types.names
            and not self.put_offs.holds(task.row, time.monotonic())
        )

    @property
    def is_stopping(self) -> bool:
        """Whether the root has ordered the loop to end."""
        return self.orders.stopping

    def take_over(self, order: TakeOver) -> bool:
        """Take over the tasks and workers of the last fetcher. Returns False if the database did not answer."""
        rows = self.database.take_over([*order.former_owners, order.owner])
        if rows is None:
            return False
        self.worker_pool.epoch = order.epoch
        for owner in (*order.former_owners, order.owner):
            self.orders.claim_as(owner)
        self.orders.is_renamed = bool(order.owner and order.former_owners)
        self.in_flight.take_over(rows)
        take_over(order, self.in_flight, self.worker_pool, self.dead_workers)
        self.worker_numbers.take_over()
        return True

    def obey(self, message: Message) -> None:
        """Obey one message of the root."""
        self.order_handler.obey(message)

    def turn(self) -> None:
        """Wait, then do everything that is due."""
        self.socket.wait(self._pause())
        if self.results.receive(self.socket) and self.claims.leaves_due:
            # In a pool with both kinds of worker, those of the other kind may be idle and wait for the tick.
            self.schedule.claim_now()
        self._receive_orders()
        if self.step_answers and self.step_answers.answer(self.socket):
            self.watcher.wrote()
        self._notice_new_work()
        self._settle_and_claim()
        self._reconcile()
        now = time.monotonic()
        if self.worker_pool.dispatch(self.socket, now):
            self.schedule.inspect_within(now, INSPECT_PERIOD)
        self.claims.announce_places()
        if self.orders.may_claim:
            self.claims.learn_when_due()
        if self.worker_numbers.follow_the_work(now, may_claim=self.orders.may_claim):
            self.schedule.inspect_now()
        if self.schedule.is_inspection_due(now):
            self._inspect(now)
        self._report(now)

    def _pause(self) -> float:
        now = time.monotonic()
        load = self._load_of_ended()._replace(
            wants_more=self.orders.may_claim and self.worker_pool.wants_more(now),
            waiting=self.in_flight.number_waiting,
            has_questions=bool(self.step_answers),
            database_at=self.database.retry_at,
            poll_in=self.watcher.ask_again_in(),
        )
        return self.schedule.pause(now, load)

    def _load_of_ended(self) -> Load:
        """Return what decides when to write the tasks that have ended."""
        lacks_places = self.claims.awaits_places_of(self.in_flight.ended)
        return Load(
            ended=len(self.in_flight.ended),
            lacks_places=lacks_places,
            has_idle=lacks_places and any(worker.ready and not worker.jobs for worker in self.worker_pool),
            is_busy=self.worker_pool.is_busy,
            draining=self.orders.draining,
        )

    def _receive_orders(self) -> None:
        for message in self.channel.receive():
            self.order_handler.obey(message)
        if self.channel.closed:
            os._exit(0)  # the root is gone: no process of the tree may outlive it

    def _notice_new_work(self) -> None:
        try:
            changed = self.watcher.changed()
        except DatabaseUnavailableError as error:
            self.database.failed(error)
            return
        if changed:
            reached("work.noticed")
            self.changes.table_changed(now := time.monotonic())
            self.schedule.claim_within(now, self.claims.pause_after_wakeup(now, rests=self.watcher.rests))

    # -- to and from the database --------------------------------------------------------------------------

    def _settle_and_claim(self) -> None:
        """Write outcomes and claim, each when it is time, and both at once where that is safe and worth a thread."""
        ended, now = self.in_flight.ended, time.monotonic()
        if ended and now >= self.schedule.settle_at(self._load_of_ended()):
            self.progress.write_last(ended)
            if wanted := self._what_to_claim_beside(ended, now):
                settled, rows = self.database.settle_and_claim(ended, wanted, self.orders.owner)
            else:
                settled, rows = self.database.settle(ended, self.orders.owner), None
            if settled is not None:
                self._forget(ended, settled)
                self._take(wanted or [], rows, now)
                self._plan_what_follows(settled)
            if wanted:
                return
        if wanted := self._plan(now := time.monotonic()):
            self._take(wanted, self.database.claim(wanted, self.orders.owner), now)

    def _what_to_claim_beside(self, ended: list[ClaimedTask], now: float) -> list[Claim] | None:
        """Return what to claim while these ends are written; None if nothing, or if it must wait for them."""
        thread = self.database.claim_thread
        if len(ended) < MIN_ENDED_BESIDE or not thread.may_be_ready(now):
            return None
        wanted = self._plan(now)
        return wanted if wanted and not self.claims.goes_by_limits(wanted) and thread.is_ready(now) else None

    def _forget(self, ended: list[ClaimedTask], settled: Sequence[Settled]) -> None:
        """Forget tasks whose outcomes are committed, and only now acknowledge them to the workers."""
        self.watcher.wrote()
        self.in_flight.ended = []
        self.schedule.settled_at = now = time.monotonic()
        self.reconciler.settled([change.token for _task, change, written in settled if written], now)
        self.in_flight.forget(ended)
        self.worker_pool.acknowledge(ended)
        self.dead_workers.committed(ended)
        self.counters.settled(settled)
        self.failure_reports.tell((task.row, change) for task, change, written in settled if written)
        if unwritten := [task for task, _change, written in settled if not written]:
            self.reconciler.check_missing(unwritten)

    def _plan_what_follows(self, settled: Sequence[Settled]) -> None:
        self.claims.free_places({task.row.type for task, _change, _written in settled})
        for task, change, written in settled:
            if change.success is not None or change.is_needed:
                self.claims.look_again()  # what follows may be of this pool, and its own writes wake nobody up
            if not (task.is_done and written) or self._logs_debug:
                self._on_settled(task, change, written=written)

    def _hold_back(self, what: PutOff) -> None:
        now = time.monotonic()
        if self.put_offs.hold_back(what, self.in_flight, self.worker_pool, now):
            self.schedule.inspect_within(now, REVOCATION_SETTLES)

    def _on_settled(self, task: ClaimedTask, change: Change, *, written: bool) -> None:
        """Log a committed outcome; `written` is false if another process had changed the row."""
        assert task.outcome is not None
        log_outcome(task.row, task.outcome, change, self.types.options(task.row.type), written=written)
        if not change.status.is_terminal:
            self.schedule.claim_within(time.monotonic(), change.delay or 0.0)

    def _plan(self, now: float) -> list[Claim] | None:
        """Return what to claim now, None for nothing."""
        is_due = self.orders.may_claim and now >= self.schedule.claim_at
        return self.claims.plan(now) if is_due and not self.database.is_away(now) else None

    def _take(self, wanted: list[Claim], rows: list[TaskRow] | None, planned_at: float) -> None:
        """Take in what was claimed; None if the database did not answer."""
        if rows is None:
            return
        is_all = self.claims.claimed(wanted, rows, planned_at)
        for what in self.claims.too_many():
            self._hold_back(what)
        if former := self.in_flight.add(rows):
            self.reconciler.claimed_again(former)
        self.watcher.found(len(rows))
        if rows:
            self.watcher.wrote()
        if is_all:
            self.watcher.rest(self.claims.pause_after_wakeup(planned_at, rests=False))

    def _reconcile(self) -> None:
        """Move to a new name of the node, and compare the table with the tasks in flight when it is time."""
        if self.orders.is_renamed:
            self.reconciler.move_to_new_name()
        if self.reconciler.run_if_due(time.monotonic()):
            self.watcher.wrote()

    def _inspect(self, now: float) -> None:
        self.stack_answers.take(self.changes.stop_if_due(self.orders.owner, now), now)
        found = self.worker_pool.inspect(now)
        self.results.take_lost(found.lost)
        if found.unmarked:
            self.database.mark_processing(found.unmarked)
        has_answered = self.stack_answers.advance(now)
        if self.progress.write_changes(found.reported, now) or found.unmarked or has_answered:
            self.watcher.wrote()
        self.worker_pool.finish_revoking(now)
        self.worker_pool.ask_replacements()
        if any(worker.revoked_at for worker in self.worker_pool):
            self.schedule.inspect_within(now, REVOCATION_SETTLES)

    def _report(self, now: float) -> None:
        """Tell the root whether the pool is idle or drained, and that the loop runs."""
        self.reports.tell(now)
        if self.schedule.is_relay_due(now):
            self.worker_pool.relay_stderr()
        if self.schedule.is_beat_due(now):
            self.channel.send(Beat())
            self.database.prove_reachable(now)
            self.database.claim_thread.close_if_unused(now)

    def close(self) -> None:
        """Forward the last of the workers' standard error and stop watching the table."""
        self.worker_pool.relay_stderr()
        self.watcher.close()
