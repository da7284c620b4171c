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
