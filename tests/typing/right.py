"""A project of a user's, right in every line."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, assert_type

import msgspec

import goque
from goque.contrib.sqlalchemy import enqueue_after, enqueue_after_flush
from goque.contrib.starlette import lifespan
from goque.testing import FrozenClock, TaskRun, assert_enqueued, crash_on_purpose, frozen_time, run_task

registry = goque.Registry("sqlite:///goque.db", service_name="shop")


class Email(msgspec.Struct):
    to: str


@dataclass
class Order:
    number: int


@registry.processor(
    "email", workers=2, timeout=timedelta(seconds=30), retry=goque.retry.exponential(1, 60, 0.2)
)
def email(task: goque.TypedTask[Email]) -> str:
    assert_type(task.payload, Email)
    assert_type(task.payload.to, str)
    return task.payload.to


@registry.processor(
    "sync",
    limit=20,
    limit_key=lambda p: p.to,
    limit_per_key=2,
    rate=goque.Rate(100, per=timedelta(minutes=1)),
)
def sync(email: Email) -> None:
    raise goque.RateLimited(retry_after=30)


@registry.processor("order", retry_on=(OSError, TimeoutError), hooks_after=lambda task, error: None)
async def order(order: Order) -> None:
    await registry.async_queue.enqueue("email", Email(str(order.number)))


class Resizer:
    def process_task(self, task: goque.Task) -> None:
        raise goque.Snooze(60)


def told(crash: goque.WorkerCrash) -> None:
    print(crash.signal, crash.task)


registry.add_processor(
    "resize", Resizer(), crash_handler=told, next_attempt_at=lambda failures: 2.0**failures
)
registry.add_processor(
    "limited",
    goque.noop_task_processor,
    limit=20,
    limit_key=str,
    limit_per_key=2,
    rate=goque.Rate(100, per=timedelta(minutes=1), burst=10, per_key=True),
)
registry.add_processor("typed", goque.typed_task_processor(lambda task: print(task.payload.to), Email))


@registry.cron("0 3 * * *", tz="Europe/Prague")
def nightly() -> goque.Task:
    return goque.Task("email", Email("night"))


@registry.periodic(goque.CronSchedule("@hourly", "UTC"), name="hourly")
def hourly(slot: datetime) -> goque.Task:
    return goque.Task("email", {"slot": slot}, run_at=slot, priority=5)


assert_type(email(goque.TypedTask("email", Email("a"))), str)  # what is registered stays as it is

with goque.TaskQueueManager() as queue, goque.with_value("tenant", "acme"):
    task = queue.enqueue("email", Email("a"), delay=timedelta(hours=1), external_id="a")
    assert_type(task, goque.Task)
    assert_type(queue.add_tasks([task], on_conflict="skip"), list[goque.Task])
    queue.add_task(task, on_conflict="replace")
    queue.enqueue("email", limit_key="acme")
    queue.set_limits("email", limit=None, rate=goque.Rate(1, per=0.5))
    queue.enqueue("email", unique=timedelta(hours=1), unique_key=str, on_conflict="skip")
    queue.get_tasks(goque.TaskFilter(limit_key="acme"))
    sync.enqueue(Email("a"), limit_key="acme")
    queue.add_task(sync.task(Email("a"), limit_key=lambda p: p.to))
    limits = queue.set_limits("email", limit=5, rate=goque.Rate(100, per=60, burst=10, per_key=True))
    assert limits == queue.set_limits("email", limit_per_key=None)
    assert_type(task.inserted, bool)
    assert_type(queue.get_task(task.id).status, goque.TaskStatus)
    assert_type(queue.get_tasks(goque.TaskFilter(status=goque.TaskStatus.NEW)), list[goque.Task])
    assert_type(queue.cancel_task(task.id), bool)
    assert_type(queue.wait(task.id, timeout=1.0), goque.Task)
    assert_type(queue.drain_inline(registry), list[TaskRun])
    assert_type(goque.current_task(), goque.Task | None)
    with frozen_time(queue, at=datetime.now(UTC)) as clock, crash_on_purpose(registry, "email"):
        assert_type(clock, FrozenClock)
    assert_type(assert_enqueued(queue, "email", payload=Email("a")), goque.Task)
    assert_type(run_task(registry, task).raise_for_error().error, BaseException | None)


async def enqueue() -> None:
    async with goque.AsyncTaskQueueManager() as queue:
        assert_type(await queue.enqueue("email"), goque.Task)
        assert_type(await queue.drain_inline(registry), list[TaskRun])


@asynccontextmanager
async def own(app: Any) -> AsyncGenerator[None]:
    yield


opened = lifespan(registry, tree={"types": ("email",)}, inner=own)


@enqueue_after(Order, "insert", registry.queue)
def confirm(order: Order) -> goque.Task | None:
    return goque.Task("email", Email(str(order.number)))


assert_type(confirm(Order(1)), goque.Task | None)
print(enqueue_after_flush)


def run() -> int:
    try:
        with goque.Supervisor(registry, drain=True) as tree:
            return tree.wait(60.0)
    except goque.GoqueError as error:
        print(error)
        return 1
