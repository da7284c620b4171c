"""A project of a user's with a mistake in each line that says so."""

from __future__ import annotations

import goque
from goque.testing import run_task

registry = goque.Registry(database_url=7)  # wrong: arg-type


@registry.processor("a", wokers=3)  # wrong: call-arg
def a(task: goque.TypedTask[int]) -> None:
    task.payload.upper()  # wrong: attr-defined


@registry.processor("b", timeout="soon")  # wrong: arg-type
def b(task: goque.Task) -> None:
    task.priority = "high"  # wrong: assignment


queue = goque.TaskQueueManager()
queue.enqueue(7)  # wrong: arg-type
queue.enqueue("a", externalid="x")  # wrong: call-arg
queue.add_tasks([goque.Task("a")], on_conflict="ignore")  # wrong: arg-type
queue.add_task("a")  # wrong: arg-type
queue.get_tasks(limit="many")  # wrong: arg-type
goque.AsyncTaskQueueManager().enqueue("a").id  # wrong: attr-defined
goque.cron_job("nightly", "@daily", lambda: 7)  # wrong: arg-type
run_task(registry, "a")  # wrong: arg-type


@registry.processor("c")
def c(number: int) -> str:
    return str(number)


@registry.processor("d")  # wrong: arg-type
def d(number: int, other: int) -> None: ...


@registry.processor("f", limit="many")  # wrong: arg-type
def f(number: int) -> None: ...


@registry.processor("g", rate=100)  # wrong: arg-type
def g(number: int) -> None: ...


@registry.processor("h", limit_key=7)  # wrong: arg-type
def h(number: int) -> None: ...


f.enqueue(7, limit_key=7)  # wrong: arg-type
queue.set_limits("f", limit_per_key="many")  # wrong: arg-type
c.enqueue("seven")  # wrong: arg-type
c.enqueue()  # wrong: call-arg
c.enqueue(7, delay="soon")  # wrong: arg-type
c.enqueue(7, externalid="a")  # wrong: call-arg
c.task({"number": 7})  # wrong: arg-type
a.enqueue(c)  # wrong: arg-type
b.enqueue(external=1)  # wrong: call-arg
c("seven")  # wrong: arg-type
c(7).to_bytes()  # wrong: attr-defined
c.enqeue(7)  # wrong: attr-defined
registry.declare("sms", payload=str).enqueue(7)  # wrong: arg-type
registry.include("shop:registry")  # wrong: arg-type
goque.Registry(strict="no")  # wrong: arg-type
registry.add_processor("e", 7)  # wrong: call-overload
