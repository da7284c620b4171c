"""The scheduler: each slot once, and no schedule or factory that goes wrong takes it down."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from databases import Database, on_every_backend
from tree import StartTree, eventually

APP = """
from datetime import UTC, datetime, timedelta

registry.processor("tick", workers=1, fetch_tick=0.1)(lambda task: note("tick", task.external_id))
every_second = lambda after: after.replace(microsecond=0) + timedelta(seconds=1)
begun = datetime.now(UTC) + timedelta(seconds=2)
once = lambda after: begun if after < begun else None

def slow(): time.sleep(1000)

def leaves(): sys.exit(1)

def starts_badly(slot):
    return Task("tick") if slot.microsecond == 0 else 1 / 0

for job in (
    goque.PeriodicJob("raises", every_second, lambda: 1 / 0),
    goque.PeriodicJob("returns-none", every_second, lambda: None),
    goque.PeriodicJob("leaves", every_second, leaves),
    goque.PeriodicJob("stands-still", lambda after: after, lambda: Task("tick")),
    goque.PeriodicJob("schedule-raises", lambda after: 1 / 0, lambda: Task("tick")),
    goque.PeriodicJob("is-over", lambda after: None, lambda: Task("tick")),
    goque.PeriodicJob("blocks", once, slow),
    goque.PeriodicJob("too-large", every_second, lambda: Task("tick", metadata={"x": "y" * 2_000_000})),
    goque.PeriodicJob("unknown", every_second, lambda: Task("tik")),
    goque.PeriodicJob("starts-badly", every_second, starts_badly, run_on_start=True, misfire="all"),
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
    for job in ("raises", "returns-none", "leaves", "stands-still", "schedule-raises", "too-large", "blocks"):
        assert tree.log.count(f"periodic job '{job}'") == 1, "said at once, and then once a minute"
    assert (
        "starts-badly': its factory raised ZeroDivisionError: division by zero: no task is enqueued for this start"
        in tree.log
    )
    assert "periodic job 'unknown': the registry has no type 'tik'; did you mean 'tick'?" in tree.log
    assert (
        "returns-none': its factory must return a goque.Task, not None: no task is enqueued for this slot"
        in tree.log
    )
    slots = [line[1] for line in tree.journal()]
    assert len(set(slots)) == len(slots)
    assert {slot.partition(":")[0] for slot in slots} == {"good", "starts-badly"}
    assert [slot for slot in slots if ":start:" in slot and not slot.startswith("good:")] == []
    assert sum(slot.startswith("good:start:") for slot in slots) == 1


@on_every_backend
def test_two_trees_enqueue_each_slot_once_and_one_goes_on_when_the_other_is_killed(
    start_tree: StartTree, database: Database
) -> None:
    cron = """
registry.processor("tick", workers=1, fetch_tick=0.1)(lambda task: note("tick", task.external_id))
registry.add_periodic_job(goque.cron_job("second", "* * * * * *", lambda: Task("tick"), misfire="all"))
"""
    tree = start_tree(app=cron, apart=True)
    other = start_tree(apart=True)
    for each in (tree, other):
        each.pid("scheduler")
    seen = len(tree.journal())
    eventually(lambda: len(tree.journal()) >= seen + 3)
    tree.kill_root()
    eventually(tree.is_gone)
    seen = len(tree.journal())
    eventually(lambda: len(tree.journal()) >= seen + 3)
    slots = sorted(task.external_id for task in database.tasks("tick"))
    assert slots == [f"second:{slot:%Y-%m-%dT%H:%M:%SZ}" for slot in every_second_of(slots)]
    eventually(lambda: sorted(database.node_states()) == ["alive", "dead"])
    assert other.stop() == 0
    start_tree("--drain", "--roles", "processors,healer", beside=tree).wait()  # sweeps the run directory


def every_second_of(slots: list[str]) -> list[datetime]:
    first, last = (datetime.fromisoformat(slot.partition(":")[2]) for slot in (slots[0], slots[-1]))
    return [first + timedelta(seconds=n) for n in range(int((last - first).total_seconds()) + 1)]


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
