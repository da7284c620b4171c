"""The fetcher of one task type: the only process that reads and writes this type's rows while it runs.

One turn of its loop:

1. wait for a result, an order from the root, new work, or the next moment at which something is due;
2. take in results and orders;
3. settle what has ended, in one transaction, and only then acknowledge it to the workers;
4. claim what the workers can take now;
5. dispatch it;
6. look after what runs: write `processing`, notice cancels, take back what waits behind a long handler.

When it dies, workers go on; the next one adopts them: it takes back what had not begun, reads the black
boxes for what runs and what has ended, and gives back what nobody holds.
"""

from __future__ import annotations

import gc
import logging
import os
import random
import select
import sys
import time
from collections import deque
from typing import Any, Final

import msgspec

from goque.errors import DatabaseUnavailableError, GoqueError
from goque.options import ProcessorSpec
from goque.outcome import Change, CrashEvidence, Outcome, OutcomeKind, settle
from goque.storage import open_storage
from goque.storage.storage import TypePolicy
from goque.task import TaskRow, TaskStatus, Token
from goque_supervisor import messages
from goque_supervisor.blackbox import BlackBox, Contents
from goque_supervisor.burial import outcome_of_death
from goque_supervisor.callback import CrashReport
from goque_supervisor.control import (
    Adopt,
    AreYouIdle,
    Beat,
    BootFailed,
    Buried,
    CallbackDone,
    CallbackWanted,
    Channel,
    Drain,
    Drained,
    Hold,
    Idle,
    Interrupt,
    Message,
    Metrics,
    NewOwner,
    Ready,
    Replace,
    Retire,
    Stop,
    WorkerExited,
    WorkerStarted,
)
from goque_supervisor.crew import Held, Mate
from goque_supervisor.dispatch import Pace, share_out
from goque_supervisor.messages import EPOCH_BITS, Hello, Job, Jobs, Results, Retiring
from goque_supervisor.relay import StderrRelay, tail
from goque_supervisor.rundir import stack_path, stderr_path
from goque_supervisor.sockets import FetcherSocket
from goque_supervisor.tally import Tally

log = logging.getLogger("goque.fetcher")

BEAT_PERIOD: Final = 1.0
LOOK_PERIOD: Final = 0.05
RELAY_PERIOD: Final = 0.25
UNREACHABLE_PAUSE: Final = 0.02
REVOCATION_SETTLES: Final = 0.003
WAITS_BEHIND: Final = 0.1
UNRESPONSIVE_AFTER: Final = 10.0
MOST_HELD: Final = 100_000
UNSTARTED: Final = Outcome(OutcomeKind.UNSTARTED)


class Fetcher:
    """Claims, dispatches and settles the tasks of one type."""

    def __init__(self, boot: dict[str, Any], channel: Channel) -> None:
        self.boot = boot
        self.channel = channel
        self.task_type: str = boot["task_type"]
        self.spec = msgspec.convert(boot["processor"], ProcessorSpec)
        self.options = self.spec.options
        self.concurrency = self.options.concurrency if self.spec.is_async else 1
        self.storage = open_storage(boot["database_url"])
        self.owner = ""
        self.epoch = 0
        self.count = 0
        self.crew: dict[int, Mate] = {}
        self.by_identity: dict[bytes, Mate] = {}
        self.held: dict[str, Held] = {}
        self.waiting: deque[Held] = deque()
        self.unwritten: list[Held] = []
        self.graves: dict[int, set[str]] = {}
        self.calls: dict[int, tuple[Held, Outcome] | None] = {}
        self.pace = Pace()
        self.tally = Tally()
        self.stopping = self.draining = self.drained = self.hold = False
        self.claim_at = 0.0
        self.retry_at = 0.0
        self._failures = 0
        self._empty_claims = 0
        self._idle: bool | None = None
        self._idle_check = 0
        self._beat_at = self._look_at = self._relay_at = self._others_at = 0.0
        self._others_moved = True

    # -- the loop --------------------------------------------------------------------------------------

    def run(self) -> None:
        """Adopt what the last fetcher left, then turn until told to stop."""
        try:
            self.storage.require_schema()
        except GoqueError as error:
            self.channel.send(BootFailed(str(error), error.exit_code))
            sys.exit(1)
        self.socket = FetcherSocket(self.boot["endpoint"], self.boot["secret_key"])
        self.watcher = self.storage.watch(self.task_type)
        self._adopt_when_possible(self._await_adopt())
        self.socket.watch(self.channel.fileno())
        if (descriptor := self.watcher.fileno()) is not None:
            self.socket.watch(descriptor)
        gc.collect()
        gc.freeze()
        self.channel.send(Ready())
        while not self.stopping:
            self.turn()
        self._relay(time.monotonic())
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
        self._dispatch()
        now = time.monotonic()
        if now >= self._look_at:
            self._look_after(now)
        self._report(now)

    def _pause(self) -> float:
        """Return the seconds until something is due that no descriptor announces."""
        now = time.monotonic()
        times = [self._beat_at]
        if self.unwritten:
            times.append(self.retry_at)
        if self._may_claim and self._room(now) > 0:
            times.append(max(self.claim_at, self.retry_at))
        if any(mate.jobs for mate in self.crew.values()) or self.waiting:
            times.append(self._look_at)
        return max(0.0, min(times) - now)

    @property
    def _may_claim(self) -> bool:
        return bool(self.owner) and not self.draining and not self.hold

    def _report(self, now: float) -> None:
        self._report_idle(now)
        if self.draining and not self.held and not self.drained:
            self.drained = True
            self.channel.send(Drained())
        if now >= self._beat_at:
            self._beat_at = now + BEAT_PERIOD
            self.channel.send(
                Metrics(self.task_type, self.epoch, changed) if (changed := self.tally.changes()) else Beat()
            )

    def _report_idle(self, now: float) -> None:
        if not self.boot["drain"]:
            return
        idle = not self.held and (self.hold or self.claim_at > now) and not self.graves
        if idle != self._idle or self._idle_check:
            self.channel.send(Idle(idle, self._idle_check))
            self._idle, self._idle_check = idle, 0

    # -- what comes in -----------------------------------------------------------------------------------

    def _receive_results(self) -> None:
        durations: list[float] = []
        for identity, data in self.socket.receive():
            mate = self.by_identity.get(identity)
            try:
                message = messages.decode_from_worker(data)
            except (msgspec.MsgspecError, ValueError) as error:
                self.tally.count("dropped_messages")
                log.warning("a message that does not decode was dropped: %s", error)
                continue
            if mate is None:
                self.tally.count("dropped_messages")  # of a worker that is buried: its black box has told
                continue
            match message:
                case Results(results):
                    for result in results:
                        durations.append(result.outcome.duration)
                        self._take_result(mate, result.seq, result.outcome)
                case Hello():
                    mate.ready = True
                case Retiring(reason):
                    self._retire(mate, reason)
        self.pace.note(durations)

    def _take_result(self, mate: Mate, seq: int, outcome: Outcome) -> None:
        held = mate.jobs.pop(seq, None)
        if held is None:
            mate.acknowledged.append(seq)  # settled before, from the black box or by another fetcher
        elif outcome.kind is OutcomeKind.UNSTARTED and not held.canceled:
            self._wait_again(held)
        else:
            self._ended(held, outcome)

    def _receive_orders(self) -> None:
        for message in self.channel.receive():
            self._obey(message)
        if self.channel.closed:
            os._exit(0)  # the root is gone: nothing of the tree may outlive it

    def _obey(self, message: Message) -> None:
        match message:
            case WorkerStarted():
                self._join(Mate.of(message, adopted=False))
            case WorkerExited():
                self._bury(message)
            case Retire(incarnation, reason):
                if (mate := self.crew.get(incarnation)) is not None:
                    self._retire(mate, reason)
            case NewOwner(owner):
                self.owner = owner
                self.claim_at = 0.0
            case Hold(hold):
                self.hold = hold
                self.claim_at = 0.0
                if hold:
                    self._give_back_waiting()
            case AreYouIdle(check):
                self._idle_check = check
                self.claim_at = 0.0
            case CallbackDone(call, delay):
                self._callback_done(call, delay)
            case Drain():
                self.draining = True
                self._give_back_waiting()
                for mate in self.crew.values():
                    self._take_back(mate)
            case Stop():
                self.stopping = True
            case _:
                log.error("unexpected %s from the root: dropped", type(message).__name__)

    def _notice_new_work(self) -> None:
        try:
            changed = self.watcher.changed()
        except DatabaseUnavailableError as error:
            self._database_failed(error)
            return
        if changed:
            self._others_moved = True
            self.claim_at = min(self.claim_at, time.monotonic() + min(0.02, 0.0005 * self._empty_claims))

    # -- the database ------------------------------------------------------------------------------------

    def _settle(self) -> None:
        if not self.unwritten or time.monotonic() < self.retry_at:
            return
        batch, self.unwritten = self.unwritten, []
        changes = [
            settle(held.outcome, held.row, self.options.retry_policy) for held in batch if held.outcome
        ]
        try:
            written = self._write(changes)
        except DatabaseUnavailableError as error:
            self.unwritten = batch + self.unwritten
            self._database_failed(error)
            return
        self._database_answered()
        for held, change in zip(batch, changes, strict=True):
            self._forget(held, change, written=change.token in written)

    def _write(self, changes: list[Change]) -> set[Token]:
        """Write a batch; one that the database refuses for its content is halved until the culprit is alone."""
        try:
            return self.storage.settle_if_held(changes, node=self.owner)
        except DatabaseUnavailableError:
            raise
        except Exception:
            if len(changes) > 1:
                middle = len(changes) // 2
                return self._write(changes[:middle]) | self._write(changes[middle:])
            (change,) = changes
            log.exception(
                "the end of a task cannot be written as it is: its texts are left out",
                extra={"task_id": change.token.task_id},
            )
            bare = msgspec.structs.replace(change, errors=None, result=None, failed=None)
            return self.storage.settle_if_held([bare], node=self.owner)

    def _forget(self, held: Held, change: Change, *, written: bool) -> None:
        del self.held[held.row.id]
        if held.mate is not None:
            held.mate.acknowledged.append(held.seq)
        for incarnation, unsettled in list(self.graves.items()):
            unsettled.discard(held.row.id)
            self._fill_grave(incarnation)
        assert held.outcome is not None
        self.tally.settled(change, held.outcome, written=written)
        if held.outcome.kind in (OutcomeKind.DONE, OutcomeKind.UNSTARTED):
            return
        if written:
            _log_failure(held, change, self.options.max_attempts)
        else:
            log.info(
                "somebody else has moved this task: its outcome (%s) changes nothing",
                held.outcome.kind,
                extra={"task_id": held.row.id},
            )

    def _claim(self) -> None:
        now = time.monotonic()
        if not self._may_claim or now < self.claim_at or now < self.retry_at:
            return
        room = min(self._room(now) - len(self.waiting), self.options.fetch_max_tasks)
        if room <= 0:
            if not self._idle_check:
                return
            room = 1 if not self.held else 0
        if room <= 0:
            return
        try:
            rows = self.storage.claim_due(self.task_type, self.owner, room)
            due = None if len(rows) == room else self.storage.seconds_until_due(self.task_type)
        except DatabaseUnavailableError as error:
            self._database_failed(error)
            return
        self._database_answered()
        for row in rows:
            held = Held(row)
            self.held[row.id] = held
            self.waiting.append(held)
        self.tally.count("fetched", len(rows))
        if len(rows) < room:
            self._empty_claims = 0 if rows else self._empty_claims + 1
            tick = self.options.fetch_tick * random.uniform(0.9, 1.0)  # noqa: S311 - spreads the nodes' looks
            self.claim_at = now + (tick if due is None else min(tick, max(due, 0.001)))

    def _room(self, now: float) -> int:
        window = self.pace.window(self.concurrency)
        return sum(mate.room(window, now) for mate in self.crew.values())

    def _database_failed(self, error: DatabaseUnavailableError) -> None:
        self._failures += 1
        pause = min(2.0, 0.05 * 2.0 ** min(self._failures, 10)) * random.uniform(0.5, 1.0)  # noqa: S311 - spreads retries
        self.retry_at = time.monotonic() + pause
        level = logging.WARNING if self._failures in (1, 2) or self._failures % 10 == 0 else logging.DEBUG
        log.log(level, "the database is not available (%s): results are kept, nothing is claimed", error)

    def _database_answered(self) -> None:
        if self._failures:
            log.info("the database answers again after %d failed tries", self._failures)
            self._failures = 0
            self.retry_at = 0.0

    # -- to the workers ------------------------------------------------------------------------------------

    def _dispatch(self) -> None:
        now = time.monotonic()
        mates = list(self.crew.values())
        if self.waiting and mates:
            window = self.pace.window(self.concurrency)
            rooms = [mate.room(window, now) for mate in mates]
            given = share_out([len(mate.jobs) for mate in mates], rooms, len(self.waiting))
            for mate, count in zip(mates, given, strict=True):
                if count:
                    self._send_jobs(mate, [self.waiting.popleft() for _ in range(count)], now)
        for mate in mates:
            if mate.acknowledged and self.socket.send(
                mate.identity, messages.encode(Jobs([], mate.acknowledged))
            ):
                mate.acknowledged = []

    def _send_jobs(self, mate: Mate, batch: list[Held], now: float) -> None:
        jobs = []
        for held in batch:
            self.count += 1
            held.seq, held.sent_at, held.mate = self.epoch << EPOCH_BITS | self.count, now, mate
            jobs.append(Job(held.seq, held.row))
            mate.jobs[held.seq] = held
        if self.socket.send(mate.identity, messages.encode(Jobs(jobs, mate.acknowledged))):
            mate.acknowledged = []
            self._look_at = min(self._look_at, now + LOOK_PERIOD)
            return
        mate.not_before = now + UNREACHABLE_PAUSE
        for held in reversed(batch):
            del mate.jobs[held.seq]
            held.sent_at = 0.0
            self.waiting.appendleft(held)

    def _wait_again(self, held: Held) -> None:
        """Put a task that was sent but has not begun back in line, or back into the table."""
        held.sent_at = 0.0
        if held.canceled or not self._may_claim:
            self._ended(held, UNSTARTED)
        else:
            self.waiting.append(held)

    def _give_back_waiting(self) -> None:
        while self.waiting:
            self._ended(self.waiting.popleft(), UNSTARTED)

    def _ended(self, held: Held, outcome: Outcome) -> None:
        held.outcome = outcome
        self.unwritten.append(held)

    def _take_back(self, mate: Mate) -> None:
        """Begin to take back what a worker has not begun.

        The worker records that a job begins, and then reads the revocation; we write the revocation, wait, and
        then read what began. So each job is either seen as begun, or will be skipped: never both, never neither.
        """
        if mate.jobs and not mate.revoked_at:
            mate.box.revoke_through(max(mate.jobs))
            mate.revoked_at = time.monotonic()
            self._look_at = min(self._look_at, mate.revoked_at + REVOCATION_SETTLES)

    def _finish_taking_back(self, mate: Mate) -> None:
        contents = mate.box.read()
        mate.revoked_at = 0.0
        for seq, held in list(mate.jobs.items()):
            if seq not in contents.running and seq not in contents.finished:
                del mate.jobs[seq]
                self._wait_again(held)

    def _retire(self, mate: Mate, reason: str) -> None:
        mate.retiring = mate.retiring or reason
        self._take_back(mate)
        self._look_at = 0.0

    # -- looking after what runs -----------------------------------------------------------------------------

    def _look_after(self, now: float) -> None:
        self._look_at = now + LOOK_PERIOD
        self._notice_moves_of_others(now)
        begun: list[Held] = []
        for mate in list(self.crew.values()):
            if mate.revoked_at and now - mate.revoked_at >= REVOCATION_SETTLES:
                self._finish_taking_back(mate)
            if mate.jobs:
                begun += self._look_at_mate(mate, now)
            elif mate.retiring and not mate.replace_asked:
                mate.replace_asked = True
                self.channel.send(Replace(mate.started.incarnation, mate.retiring))
        self._mark_processing(begun)
        if now >= self._relay_at:
            self._relay(now)

    def _look_at_mate(self, mate: Mate, now: float) -> list[Held]:
        oldest = next(iter(mate.jobs.values()))
        if now - oldest.sent_at < LOOK_PERIOD:
            return []
        contents = mate.box.read()
        for seq in contents.finished:
            if seq in mate.jobs and now - mate.jobs[seq].sent_at > 1.0:
                self._take_result(
                    mate, seq, messages.decode_outcome(contents.finished[seq][1])
                )  # its message was lost
        running = [mate.jobs[seq] for seq in contents.running if seq in mate.jobs]
        for held in running:
            if held.canceled:
                self.channel.send(Interrupt(mate.started.incarnation, held.seq, "canceled"))
        if running:
            waits = len(mate.jobs) - len(running)
            if waits and now - min(held.sent_at for held in running) > WAITS_BEHIND and self._room(now) > 0:
                self._take_back(mate)
        elif now - oldest.sent_at > UNRESPONSIVE_AFTER and not mate.replace_asked and not mate.revoked_at:
            mate.replace_asked = True
            self.channel.send(Replace(mate.started.incarnation, "unresponsive"))
        return [held for held in running if not held.marked]

    def _mark_processing(self, begun: list[Held]) -> None:
        if not begun or time.monotonic() < self.retry_at:
            return
        try:
            self.storage.mark_processing([held.row.token for held in begun])
        except DatabaseUnavailableError as error:
            self._database_failed(error)
            return
        for held in begun:
            held.marked = True

    def _notice_moves_of_others(self, now: float) -> None:
        if now < self._others_at or now < self.retry_at or not (self._others_moved and self.held):
            return
        self._others_at = now + min(0.2, self.options.fetch_tick)
        self._others_moved = self.watcher.fileno() is None
        try:
            moved = self.storage.moved_by_others(self.owner, self.task_type)
        except DatabaseUnavailableError as error:
            self._others_moved = True
            self._database_failed(error)
            return
        for token in moved:
            self._stop_moved(token)

    def _stop_moved(self, token: Token) -> None:
        held = self.held.get(token.task_id)
        if held is None or held.outcome is not None or held.row.token != token:
            return
        held.canceled = True
        if held in self.waiting:
            self.waiting.remove(held)
            self._ended(held, UNSTARTED)
            return
        for mate in self.crew.values():
            if held.seq in mate.jobs:
                if held.seq in mate.box.read().running:
                    self.channel.send(Interrupt(mate.started.incarnation, held.seq, "canceled"))
                else:
                    self._take_back(mate)

    def _relay(self, now: float) -> None:
        self._relay_at = now + RELAY_PERIOD
        for mate in self.crew.values():
            mate.relay.forward()

    # -- the dead ----------------------------------------------------------------------------------------------

    def _join(self, mate: Mate) -> None:
        self.crew[mate.started.incarnation] = mate
        self.by_identity[mate.identity] = mate

    def _bury(self, notice: WorkerExited) -> None:
        """Settle what a dead worker had: what had ended counts, what ran is judged, the rest runs elsewhere."""
        mate = self.crew.pop(notice.incarnation, None)
        jobs: dict[int, Held] = {}
        if mate is not None:
            del self.by_identity[mate.identity]
            mate.relay.forward()
            mate.box.close()
            jobs = mate.jobs
        contents = _read_box(notice.box)
        if mate is None:
            jobs = self._jobs_in(contents, None)
            StderrRelay(stderr_path(notice.box), from_now=False).forward()
        evidence = CrashEvidence(
            notice.exit_code,
            notice.signal,
            notice.max_rss,
            notice.oom,
            tail(stack_path(notice.box)),
            tail(stderr_path(notice.box)),
        )
        now = time.monotonic()
        grave = self.graves[notice.incarnation] = set()
        for seq, held in jobs.items():
            if seq in contents.finished:
                self._ended(held, messages.decode_outcome(contents.finished[seq][1]))
                grave.add(held.row.id)
            elif seq in contents.running:
                grave.add(held.row.id)
                outcome = outcome_of_death(contents.running[seq], notice, evidence, self.options, now=now)
                self._judge(held, outcome, evidence)
            else:
                self._wait_again(held)
        if not contents.running and notice.killed_for is None and (notice.signal or notice.exit_code):
            self._call_back(None, None, evidence, notice.pid)
        self._fill_grave(notice.incarnation)

    def _judge(self, held: Held, outcome: Outcome, evidence: CrashEvidence) -> None:
        wants_handler = self.options.has_crash_handler and outcome.kind is OutcomeKind.CRASHED
        wants_delay = self.options.strategy is None and outcome.kind in (
            OutcomeKind.CRASHED,
            OutcomeKind.TIMED_OUT,
        )
        if wants_handler or wants_delay:
            self._call_back(held, outcome, evidence, outcome.pid)
        else:
            self._ended(held, outcome)

    def _call_back(
        self, held: Held | None, outcome: Outcome | None, evidence: CrashEvidence, pid: int
    ) -> None:
        """Have the user's functions called in a process of their own; the task waits for their answer."""
        if held is None and not self.options.has_crash_handler:
            return
        call = self.epoch << EPOCH_BITS | len(self.calls)
        self.calls[call] = None if held is None or outcome is None else (held, outcome)
        report = CrashReport(
            held.row if held else None,
            held.row.attempts + 1 if held else 0,
            pid,
            evidence.exit_code,
            evidence.signal,
            evidence.stack,
            evidence.max_rss,
        )
        self.channel.send(CallbackWanted(call, msgspec.json.encode(report).decode()))

    def _callback_done(self, call: int, delay: float | None) -> None:
        waiting = self.calls.get(call)
        if waiting is not None:
            self.calls[call] = None
            held, outcome = waiting
            self._ended(held, msgspec.structs.replace(outcome, delay=delay))

    def _fill_grave(self, incarnation: int) -> None:
        if not self.graves[incarnation]:
            del self.graves[incarnation]
            self.channel.send(Buried(incarnation))

    # -- adoption ------------------------------------------------------------------------------------------------

    def _await_adopt(self) -> Adopt:
        while True:
            select.select([self.channel], [], [])
            for message in self.channel.receive():
                if isinstance(message, Adopt):
                    return message
                log.error("unexpected %s before Adopt: dropped", type(message).__name__)
            if self.channel.closed:
                os._exit(0)  # the root is gone

    def _adopt_when_possible(self, adopt: Adopt) -> None:
        self.epoch, self.owner = adopt.epoch, adopt.owner
        while True:
            self.channel.send(Beat())
            try:
                owners = [owner for owner in (*adopt.former_owners, adopt.owner) if owner]
                rows = [
                    row
                    for owner in owners
                    for row in self.storage.held_tasks(owner, self.task_type, limit=MOST_HELD)
                ]
                self.storage.publish_types([self._policy()])
                break
            except DatabaseUnavailableError as error:
                self._database_failed(error)
                time.sleep(max(0.0, self.retry_at - time.monotonic()))
        self._database_answered()
        self._adopt(adopt, rows)

    def _policy(self) -> TypePolicy:
        options = self.options
        return TypePolicy(
            type=self.task_type,
            max_attempts=options.max_attempts,
            strategy=None if options.strategy is None else msgspec.json.encode(options.strategy).decode(),
            max_crashes=options.max_crashes,
            cleaner_age=options.cleaner_updated_at_time_ago,
            cleaner_keep_failed=options.cleaner_keep_failed,
            healer_age=options.healer_updated_at_time_ago,
        )

    def _adopt(self, adopt: Adopt, rows: list[TaskRow]) -> None:
        """Take over what an earlier fetcher held: nothing that runs is disturbed, nothing runs twice."""
        for started in adopt.live:
            mate = Mate.of(started, adopted=True)
            mate.box.revoke_through((adopt.epoch << EPOCH_BITS) - 1)
            self._join(mate)
        if adopt.live:
            time.sleep(REVOCATION_SETTLES)
        self.held = {row.id: Held(row) for row in rows}
        for mate in self.crew.values():
            contents = mate.box.read()
            mate.jobs = self._jobs_in(contents, mate)
            for seq, (_running, outcome) in contents.finished.items():
                self._take_result(mate, seq, messages.decode_outcome(outcome))
        for notice in adopt.dead:
            self._bury(notice)
        for held in self.held.values():
            if held.outcome is None and not held.seq:
                self._wait_again(held)
        if rows:
            log.info("adopted %d workers and %d claimed tasks", len(adopt.live), len(rows))

    def _jobs_in(self, contents: Contents, mate: Mate | None) -> dict[int, Held]:
        """Match what a black box tells with the claims that we hold."""
        entries = [*contents.running.values(), *(running for running, _outcome in contents.finished.values())]
        jobs: dict[int, Held] = {}
        for running in entries:
            held = self.held.get(running.task_id)
            if held is not None and held.row.claims == running.claims and not held.seq:
                held.seq, held.sent_at, held.mate = running.seq, running.started, mate
                jobs[running.seq] = held
        return jobs


def _read_box(path: str) -> Contents:
    try:
        box = BlackBox(path)
    except (OSError, ValueError) as error:
        log.error("a dead worker's black box cannot be read (%s): what it had counts as not begun", error)
        return Contents({}, {})
    contents = box.read()
    box.close()
    return contents


def _log_failure(held: Held, change: Change, max_attempts: int) -> None:
    outcome = held.outcome
    assert outcome is not None
    extra = {"task_id": held.row.id, "attempt": change.attempts, "duration": round(outcome.duration, 6)}
    if change.status in (TaskStatus.ERROR, TaskStatus.ATTEMPTS_LEFT) and change.attempts > held.row.attempts:
        after = "no attempt is left" if change.delay is None else f"next in {change.delay:g}s"
        log.warning(
            "attempt %d of %d failed: %s; %s",
            change.attempts,
            max_attempts,
            outcome.error.partition("\n")[0],
            after,
            extra=extra,
        )
    else:
        log.info("task %s: %s", outcome.kind.value, outcome.error or f"now {change.status}", extra=extra)


def run(boot: dict[str, Any], channel: Channel) -> None:
    """Run the fetcher of one type in this process."""
    Fetcher(boot, channel).run()
