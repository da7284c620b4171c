"""The scheduler: each slot once, and no schedule or factory that goes wrong takes it down."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from tree import StartTree, eventually

APP = """
from datetime import UTC, datetime, timedelta

registry.processor("tick", workers=1, fetch_tick=0.1)(lambda task: note("tick", task.external_id))
every_second = lambda after: after.replace(microsecond=0) + timedelta(seconds=1)
begun = datetime.now(UTC) + timedelta(seconds=2)
once = lambda after: begun if after < begun else None

def slow(): time.sleep(1000)

def leaves(): sys.exit(1)

for job in (
    goque.PeriodicJob("raises", every_second, lambda: 1 / 0),
    goque.PeriodicJob("returns-none", every_second, lambda: None),
    goque.PeriodicJob("leaves", every_second, leaves),
    goque.PeriodicJob("stands-still", lambda after: after, lambda: Task("tick")),
    goque.PeriodicJob("schedule-raises", lambda after: 1 / 0, lambda: Task("tick")),
    goque.PeriodicJob("is-over", lambda after: None, lambda: Task("tick")),
    goque.PeriodicJob("blocks", once, slow),
    goque.PeriodicJob("good", every_second, lambda slot: Task("tick"), run_on_start=True, misfire="all"),
):
    registry.add_periodic_job(job)
"""


@pytest.mark.fault(42)
def test_schedules_and_factories_that_go_wrong_are_logged_and_never_stop_the_others(
    start_tree: StartTree,
) -> None:
    tree = start_tree(app=APP)
    scheduler = tree.pid("scheduler")
    eventually(lambda: len(tree.journal()) >= 5, within=20)
    assert tree.pid("scheduler") == scheduler
    eventually(lambda: "periodic job 'blocks'" in tree.log)
    for job in ("raises", "returns-none", "leaves", "stands-still", "schedule-raises", "blocks"):
        assert f"periodic job '{job}'" in tree.log
    slots = [line[1] for line in tree.journal()]
    assert len(set(slots)) == len(slots)
    assert [slot for slot in slots if not slot.startswith("good:")] == []
    assert sum(slot.startswith("good:start:") for slot in slots) == 1


def test_two_schedulers_enqueue_each_slot_once(start_tree: StartTree) -> None:
    cron = """
registry.processor("tick", workers=1, fetch_tick=0.1)(lambda task: note("tick", task.external_id))
registry.add_periodic_job(goque.cron_job("second", "* * * * * *", lambda: Task("tick")))
"""
    tree = start_tree(app=cron, apart=True)
    start_tree(apart=True)
    eventually(lambda: len(tree.journal()) >= 3)
    slots = [line[1] for line in tree.journal()]
    assert len(set(slots)) == len(slots)
    assert all(slot.startswith("second:20") and slot.endswith("Z") for slot in slots)


def test_a_paused_job_is_left_out_and_goes_on_with_what_comes_after(start_tree: StartTree) -> None:
    app = """
registry.processor("tick", workers=1, fetch_tick=0.1, priority=9)(
    lambda task: note("tick", task.external_id, task.priority)
)
for name in ("paused", "running"):
    registry.cron("* * * * * *", name=name, misfire="all", run_on_start=name == "paused")(lambda: Task("tick"))
"""
    tree = start_tree(app=app)
    storage = tree.database.queue.storage
    slots = lambda name: [line[1] for line in tree.journal() if line[1].startswith(name)]  # noqa: E731 - short
    eventually(lambda: len(slots("paused")) >= 2)
    assert {line[2] for line in tree.journal()} == {"9"}
    storage.pause_job("paused", datetime.now(UTC))
    eventually(lambda: "paused" in storage.paused_jobs())
    seen = len(slots("running"))
    eventually(lambda: len(slots("running")) >= seen + 2)
    before = slots("paused")
    seen = len(slots("running"))
    eventually(lambda: len(slots("running")) >= seen + 2)
    assert slots("paused") == before
    resumed = datetime.now(UTC)
    storage.resume_job("paused", resumed)
    eventually(lambda: len(slots("paused")) > len(before))
    assert all(slot > f"paused:{resumed:%Y-%m-%dT%H:%M:%SZ}" for slot in slots("paused")[len(before) :])
