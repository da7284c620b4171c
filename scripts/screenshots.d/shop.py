"""The queue of a shop for pictures: one hour of work, replayed through the storage with an artificial clock.

Tasks are enqueued, claimed and settled in the order of a real queue, so that the dashboard shows realistic data.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import jobs
import msgspec
import week
from kinds import CRASH, KINDS, Kind

from goque import Task, TaskStatus, retry
from goque.describe.node_info import (
    NodeInfo,
    PoolInfo,
    ProcessInfo,
    RunInfo,
    TypeInfo,
    WorkerInfo,
    encode_info,
)
from goque.outcome import Change
from goque.storage.contract import TypePolicy
from goque.storage.search_types import first_id_at
from goque.storage.sql.storage import SqlStorage
from goque.storage.sqlite.dialect import SqliteDialect
from goque.task_row import TaskRow
from goque.task_rules.error_lines import append_error
from goque.task_rules.failed_attempt import FailedAttempt
from goque.task_rules.failure_group import grouped

AddedT = TypeVar("AddedT")

STEP = 1.0
HOUR = 3600.0
NODES = (jobs.NODE, "c2a7d0e4-77aa-4c53-8d0b-5b1e9f3a6d20")
GONE = "1b0e64a2-0c1d-4c0e-9a77-6f5d0e8b7c33"
RETRIES = msgspec.json.encode(retry.DEFAULT).decode()


@dataclass
class Shop:
    """Fills the queue, and keeps it working."""

    url: str
    now: datetime
    chance: random.Random = field(default_factory=lambda: random.Random(7))
    running: list[tuple[float, TaskRow, Kind, float]] = field(default_factory=list)
    order: int = 48_200
    seconds: float = 0.0

    def __post_init__(self) -> None:
        self.clock = self.now - timedelta(seconds=HOUR)
        self.storage = SqlStorage(
            SqliteDialect(self.url.removeprefix("sqlite:///"), clock=lambda: self.clock)
        )

    def fill(self) -> None:
        """Replay the hour."""
        self.storage.migrate()
        self.storage.publish_types(
            [
                TypePolicy(kind.name, kind.max_attempts, RETRIES, None, 10800.0, 604800.0, 3600.0)
                for kind in KINDS
            ]
            + [TypePolicy(job, 5, None, None, 10800.0, 604800.0, 3600.0) for job in jobs.NAMES]
        )
        self._register()
        while self.seconds < HOUR:
            self._step()
        jobs.run_all(self)
        kinds = [(kind.name, kind.rate, kind.seconds, kind.fails) for kind in KINDS]
        rows = list(week.rollups(self.now, kinds, self.chance))
        self.storage.put_rollups(lambda _now: rows)
        self.storage.pause_type("sync_inventory")

    def go_on(self, stopping: threading.Event, caught_up: threading.Event) -> None:
        """Replay the time that filling took, then go on in real time until `stopping` is set."""
        while not stopping.is_set():
            ahead = (self.now - datetime.now(UTC)).total_seconds() + self.seconds - HOUR
            if ahead > 0:
                caught_up.set()
                stopping.wait(ahead)
            self._step()
            if self.seconds % 5 < STEP:
                self._tell()
        self.storage.close()

    def _step(self) -> None:
        self.clock = self.now - timedelta(seconds=HOUR - self.seconds)
        for kind in KINDS:
            self._enqueue(kind, self.seconds)
            self._claim(kind, self.seconds)
        self._settle(self.seconds)
        self.seconds += STEP

    def _register(self) -> None:
        self.storage.register_node(GONE, host="worker-3", pid=911)
        self.storage.mark_node_dead(GONE, 1)
        for number, node in enumerate(NODES, 1):
            self.storage.register_node(node, host=f"worker-{number}", pid=700 + 31 * number)

    def _enqueue(self, kind: Kind, seconds: float) -> None:
        wave = 1 + 0.5 * (seconds / HOUR) - 0.6 * (1500 < seconds < 2000) + 0.8 * (2700 < seconds < 2900)
        wanted = kind.rate * STEP * wave * self.chance.uniform(0.5, 1.5)
        tasks = [self._task(kind) for _ in range(int(wanted) + (self.chance.random() < wanted % 1))]
        if tasks:
            self.storage.insert_tasks(tasks, on_conflict="skip")

    def _task(self, kind: Kind) -> Task:
        self.order += 1
        payloads = {
            "send_email": {
                "to": f"customer{self.order}@example.com",
                "template": "order_confirmation",
                "order": self.order,
            },
            "resize_image": {"bucket": "products", "key": f"img/{self.order}.jpg", "width": 1280},
            "charge_card": {
                "order": self.order,
                "amount": {"value": f"{self.chance.randint(5, 300)}.90", "currency": "EUR"},
            },
        }
        made = Task(
            kind.name,
            payloads.get(kind.name, {"id": self.order}),
            external_id=f"order-{self.order}" if kind.rate < 2 else None,
            metadata={"tenant": self.chance.choice(("acme", "globex"))},
        )
        made.id = first_id_at(self.clock)[:14] + made.id[14:]
        return made

    def _claim(self, kind: Kind, seconds: float) -> None:
        if kind.name == "sync_inventory" and seconds > HOUR - 240:
            return
        free = 2 * kind.workers * max(1, int(STEP / kind.seconds)) - sum(
            one[2] is kind for one in self.running
        )
        for node in NODES:
            rows = self.storage.claim_due(kind.name, node, free // 2) if free > 1 else []
            self.clock += timedelta(seconds=self.chance.uniform(0.0, 0.05))
            if rows:
                self.storage.mark_processing([row.token for row in rows])
            for row in rows:
                took = kind.seconds * self.chance.lognormvariate(0, 0.5)
                self.running.append((self._elapsed() + took, row, kind, took))

    def _elapsed(self) -> float:
        return HOUR - (self.now - self.clock).total_seconds()

    def _settle(self, seconds: float) -> None:
        over = sorted((one for one in self.running if one[0] <= seconds), key=lambda one: one[0])
        self.running = [one for one in self.running if one[0] > seconds]
        for end, row, kind, took in over:
            self.clock = self.now - timedelta(seconds=HOUR - end)
            self.storage.settle_if_held([self._change(row, kind, took)], node=row.claimed_by)

    def _change(self, row: TaskRow, kind: Kind, took: float) -> Change:
        if self.chance.random() >= (kind.fails if not row.attempts else 0.2):
            gone = self.chance.random() < 0.004
            return Change(row.token, TaskStatus.CANCELED if gone else TaskStatus.DONE, row.attempts)
        attempts = row.attempts + 1
        left = attempts < kind.max_attempts
        failed = FailedAttempt(
            attempt=attempts,
            cause=kind.cause,
            error=kind.error,
            app_version="2.4.1",
            traceback=kind.traceback,
            worker_pid=self.chance.randint(800, 1200),
            duration=took,
            max_rss=self.chance.randint(90, 310) * 2**20,
        )
        if kind.cause == "crash":
            failed = FailedAttempt(
                attempt=attempts,
                cause=kind.cause,
                error=kind.error,
                app_version="2.4.1",
                worker_pid=self.chance.randint(800, 1200),
                duration=took,
                signal=11,
                max_rss=312 * 2**20,
                stack=CRASH,
                stderr="libpng warning: iCCP: known incorrect sRGB profile\n",
            )
        failed, group = grouped(row.type, failed)
        return Change(
            row.token,
            TaskStatus.ERROR if left else TaskStatus.ATTEMPTS_LEFT,
            attempts,
            errors=append_error(row.errors, f"attempt {attempts}: {kind.error}"),
            delay=90.0 * attempts,
            failed=failed,
            group=group,
        )

    def _tell(self) -> None:
        for number, node in enumerate(NODES, 1):
            info = NodeInfo(
                version="0.1.0",
                app="shop:registry",
                seconds=self.seconds,
                recent_seconds=60.0,
                restarts={},
                types=tuple(self._types()),
                pools=(*self._pools(node), jobs.pool_info()),
                processes=tuple(self._processes(number)),
            )
            self.storage.beat(node, info=encode_info(info))

    def _types(self) -> Iterator[TypeInfo]:
        for kind in KINDS:
            yield TypeInfo(
                kind.name,
                slots=kind.workers,
                living=kind.workers,
                ready=kind.workers,
                recent={"done": int(kind.rate * 60)},
            )

    def _pools(self, node: str) -> Iterator[PoolInfo]:
        for at, kind in enumerate(KINDS):
            held = [one for one in self.running if one[2] is kind and one[1].claimed_by == node]
            workers = [
                WorkerInfo(
                    f"worker[{kind.name}:{slot}]",
                    800 + 10 * at + slot,
                    HOUR - 40 * slot,
                    (62 + 7 * at) * 2**20,
                    round(self.chance.uniform(0.02, 0.6), 2) if slot < len(held) else 0.0,
                    runs=(RunInfo(held[slot][1].id, held[slot][3] * 0.6),) if slot < len(held) else (),
                )
                for slot in range(kind.workers)
            ]
            yield PoolInfo(
                kind.name,
                (kind.name,),
                slots=kind.workers,
                living=kind.workers,
                ready=kind.workers,
                restarts={"crash": 3} if kind.cause == "crash" else {},
                workers=tuple(workers),
            )

    def _processes(self, number: int) -> Iterator[ProcessInfo]:
        names = [
            "root",
            "guard",
            "actors nursery",
            "app nursery",
            "lease",
            "monitor",
            "healer",
            "cleaner",
            "scheduler",
        ]
        names += [f"fetcher[{name}]" for name in (*(kind.name for kind in KINDS), "default")]
        for at, name in enumerate(names):
            yield ProcessInfo(
                name, 700 + 31 * number + at, HOUR, (14 + 3 * (at % 9)) * 2**20, 0.01 * (at % 4)
            )


@contextmanager
def at_work(url: str, extend: Callable[[Shop], AddedT]) -> Iterator[AddedT]:
    """Create a SQLite file with an hour of work and what `extend` adds, and keep the shop working during the block."""
    shop = Shop(url, datetime.now(UTC))
    shop.fill()
    added = extend(shop)
    stopping, caught_up = threading.Event(), threading.Event()
    thread = threading.Thread(target=shop.go_on, args=(stopping, caught_up))
    thread.start()
    try:
        while thread.is_alive() and not caught_up.wait(0.1):
            pass
        yield added
    finally:
        stopping.set()
        thread.join()
