"""The periodic jobs of the shop: what their last slots enqueued, and how that ended."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from goque import Task, TaskStatus
from goque.describe.node_info import PoolInfo, WorkerInfo
from goque.outcome import Change
from goque.periodic.jobs import slot_text
from goque.task_rules.failed_attempt import FailedAttempt
from goque.task_rules.failure_group import grouped

if TYPE_CHECKING:
    from shop import Shop

NAMES: Final = ("nightly_report", "prune_carts", "refresh_prices", "weekly_digest")
NODE: Final = "8f6b1f52-41c0-4a57-9b7e-2f6d1c0a9e11"
ERROR: Final = "TimeoutError: https://supplier.example.com/prices.csv did not answer"


def run_all(shop: Shop) -> None:
    """Run the last slot of each job, and pause one of them."""
    today = shop.now.replace(minute=0, second=0, microsecond=0)
    monday = today - timedelta(days=7 + today.weekday())
    for name, slot in (
        ("nightly_report", today.replace(hour=2) - timedelta(days=shop.now.hour < 2)),
        ("prune_carts", today),
        ("refresh_prices", shop.now.replace(minute=shop.now.minute // 15 * 15, second=0, microsecond=0)),
        ("weekly_digest", monday.replace(hour=6, minute=30)),
    ):
        shop.storage.record_slot(name, slot)
        _run(shop, name, slot, failed=name == "refresh_prices")
    shop.storage.pause_job("weekly_digest", shop.now)


def _run(shop: Shop, job: str, slot: datetime, *, failed: bool) -> None:
    shop.clock = slot
    task = Task(job, {"slot": slot_text(slot)}, external_id=f"{job}:{slot_text(slot)}")
    shop.storage.insert_tasks([task])
    [row] = shop.storage.claim_due(job, NODE, 1)
    shop.clock += timedelta(seconds=4)
    change = Change(row.token, TaskStatus.DONE, 0)
    if failed:
        attempt, group = grouped(job, FailedAttempt(1, "failed", ERROR, duration=4.0))
        errors = f"attempt 1: {ERROR}\n"
        change = Change(
            row.token, TaskStatus.ERROR, 1, errors=errors, delay=900.0, failed=attempt, group=group
        )
    shop.storage.settle_if_held([change], node=NODE)
    shop.clock = shop.now


def pool_info() -> PoolInfo:
    """Return the pool of the jobs, which has one worker."""
    worker = WorkerInfo("worker[default:0]", 870, 3600.0, 58 * 2**20, 0.0)
    return PoolInfo("default", NAMES, slots=4, living=1, ready=1, workers=(worker,))
