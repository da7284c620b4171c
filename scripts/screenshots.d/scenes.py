"""What the pictures need beside an hour of work: a flow, a type with limits, and a task that records steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import msgspec
from shop import NODES, Shop

import goque
from goque import Task, TaskStatus
from goque.outcome import Change
from goque.steps.question import Ask, Progress, Question
from goque.storage.contract import TypePolicy
from goque.task_row import TaskRow
from goque.task_rules.error_lines import append_error
from goque.task_rules.failed_attempt import FailedAttempt
from goque.task_rules.limits import Limits

ORDER = {"order": 68_211, "customer": "ada@example.com"}
CRASH = "worker crashed in step page-41: signal 11 (SIGSEGV)"
STACK = """Fatal Python error: Segmentation fault

Current thread 0x00007f3c1a7fe740 (most recent call first):
  File "/srv/shop/shop/catalog.py", line 133 in decode_page
  File "/srv/shop/shop/catalog.py", line 71 in import_catalog
"""


@dataclass(frozen=True)
class Scenes:
    """The ids of a flow, and of a task with steps."""

    flow: str
    steps: str


def add_scenes(shop: Shop) -> Scenes:
    """Write the scenes into the queue of a shop, in its last minutes."""
    shop.clock = shop.now - timedelta(minutes=9)
    publish(shop, "sync_shop", limits=Limits(limit=6, per_key=2, rate=goque.Rate(120, per=60)))
    steps = add_steps(shop)
    flow = add_flow(shop)
    add_limited(shop)
    shop.clock = shop.now
    return Scenes(flow, steps)


def publish(shop: Shop, name: str, **options: Any) -> None:
    """Publish a type, as a supervisor does."""
    shop.storage.publish_types([TypePolicy(name, 3, None, None, 10800.0, 604800.0, 3600.0, **options)])


def run(shop: Shop, task_type: str, seconds: float, *, ends: bool = True) -> TaskRow:
    """Claim and start a task; end it after some seconds, unless it goes on."""
    [row] = shop.storage.claim_due(task_type, NODES[0], 1)
    shop.storage.mark_processing([row.token])
    shop.clock += timedelta(seconds=seconds)
    if ends:
        shop.storage.settle_if_held([Change(row.token, TaskStatus.DONE, row.attempts)], node=row.claimed_by)
    return row


def fail(shop: Shop, row: TaskRow, status: TaskStatus, delay: float, **facts: Any) -> None:
    """End an attempt of a task that is running."""
    number = row.attempts + 1
    failed = FailedAttempt(attempt=number, worker_pid=931, **facts)
    errors = append_error(row.errors, f"attempt {number}: {failed.error}")
    change = Change(row.token, status, number, errors=errors, delay=delay, failed=failed)
    shop.storage.settle_if_held([change], node=row.claimed_by)


def add_flow(shop: Shop) -> str:
    """Add the flow of an order, of which a part has run."""
    flow = goque.Flow("order 68211")
    reserve = flow.add("reserve_stock", ORDER)
    charge = flow.add("charge_order", ORDER, needs=[reserve])
    label = flow.add("print_label", ORDER, needs=[charge])
    pack = flow.add("pack_order", ORDER, needs=[charge])
    flow.add("send_receipt", ORDER, needs=[charge])
    points = flow.add("add_points", ORDER, needs=[charge])
    hand_over = flow.add("hand_over", ORDER, needs=[label, pack])
    flow.add("ask_for_review", ORDER, needs=[hand_over, points], when="ended")
    with goque.TaskQueueManager(shop.storage) as queue:
        queue.enqueue_flow(flow)
    for name in sorted({task.type for task in flow.tasks}):
        publish(shop, name)
    run(shop, "reserve_stock", 0.4)
    run(shop, "charge_order", 1.9)
    run(shop, "print_label", 2.2)
    run(shop, "send_receipt", 0.7)
    points_row = run(shop, "add_points", 5.0, ends=False)
    text = "ConnectionError: points.internal did not answer"
    fail(shop, points_row, TaskStatus.ERROR, 600.0, cause="failed", error=text, duration=5.0)
    run(shop, "pack_order", 3.0, ends=False)
    return flow.id


def add_limited(shop: Shop) -> None:
    """Add tasks with keys, of which some run and others wait for a place."""
    tenants = ["acme"] * 9 + ["globex"] * 4 + ["initech"] * 2 + ["umbrella"]
    shop.storage.insert_tasks([Task("sync_shop", {"tenant": name}, limit_key=name) for name in tenants])
    for node in NODES:
        rows = shop.storage.claim_due("sync_shop", node, 3)
        shop.storage.mark_processing([row.token for row in rows])


def add_steps(shop: Shop) -> str:
    """Add a task that crashed in a step, went on behind it, and waits for a signal."""
    publish(shop, "import_catalog")
    payload = {"supplier": "Northwind", "url": "https://northwind.example/catalog.csv"}
    [task] = shop.storage.insert_tasks([Task("import_catalog", payload, external_id="northwind-2026-11")])
    shop.clock += timedelta(seconds=0.4)
    began = shop.clock
    row = run(shop, "import_catalog", 0.2, ends=False)
    record(shop, row, "download", {"bytes": 18_340_221}, 6.4)
    record_pages(shop, row, range(41))
    shop.clock += timedelta(seconds=0.8)
    facts: dict[str, Any] = {"signal": 11, "max_rss": 840 * 2**20, "stack": STACK}
    facts["duration"] = (shop.clock - began).total_seconds()
    fail(shop, row, TaskStatus.ERROR, 30.0, cause="crashed", error=CRASH, **facts)
    shop.clock += timedelta(seconds=31)
    row = run(shop, "import_catalog", 0.1, ends=False)
    record_pages(shop, row, range(41, 64))
    record(shop, row, "totals", {"products": 31_204, "new": 212, "gone": 17}, 1.3)
    shop.storage.write_progress([(row.token, Progress(0.9, "31,204 products; waits for approval"))])
    shop.storage.answer_steps([(row.token, Question(Ask.WAIT, "approved", seconds=86_400.0))])
    shop.storage.settle_if_held(
        [Change(row.token, TaskStatus.ERROR, row.attempts, errors=row.errors, delay=86_400.0)],
        node=row.claimed_by,
    )
    return task.id


def record_pages(shop: Shop, row: TaskRow, pages: Sequence[int]) -> None:
    """Record the items of an `each`."""
    for number in pages:
        record(shop, row, f"page-{number}", None, shop.chance.uniform(0.3, 1.1))


def record(shop: Shop, row: TaskRow, name: str, value: Any, seconds: float) -> None:
    """Record a step that took some seconds."""
    shop.clock += timedelta(seconds=seconds)
    raw = msgspec.json.encode(value)
    shop.storage.answer_steps([(row.token, Question(Ask.RECORD, name, raw, duration=seconds))])
