"""The scheduler at work on each backend: what it makes of slots that passed, beside others and after its own death."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from backends import done
from test_cleaning_and_healing import Ends

import goque
from goque.errors import DatabaseUnavailableError
from goque_supervisor.actors.scheduler import Scheduler

HOUR = timedelta(hours=1)


@pytest.fixture
def ends():
    made = Ends()
    yield made
    made.close()


@pytest.fixture
def start(storage, backend, ends, monkeypatch):
    """Start a scheduler for some jobs, as another supervisor would; nothing runs but `run_once`."""
    monkeypatch.setattr("goque_supervisor.actors.actor.open_storage", lambda url: storage)

    def start(*jobs, owner="node-1"):
        registry = goque.Registry()
        registry.add_processor("tick", goque.noop_task_processor, workers=1, priority=7)
        for job in jobs:
            registry.add_periodic_job(job)
        monkeypatch.setattr(
            "goque_supervisor.nursery.app_registry.registry_of_this_process", lambda app, descriptor: registry
        )
        boot = {
            "role": "scheduler",
            "database_url": backend.url,
            "owner": owner,
            "app": "",
            "registry_fd": -1,
        }
        return Scheduler(boot, ends.actor)

    return start


def every_ten_minutes(misfire, **options):
    return goque.cron_job("ten", "*/10 * * * *", lambda: goque.Task("tick"), misfire=misfire, **options)


def names(storage):
    return sorted(task.external_id for task in goque.TaskQueueManager(storage).get_tasks())


def slots_since(then):
    """Return the names of the slots of every ten minutes from an instant until now."""
    slot = then.replace(minute=then.minute // 10 * 10, second=0, microsecond=0) + timedelta(minutes=10)
    found = []
    while slot <= datetime.now(UTC):
        found.append(f"ten:{slot:%Y-%m-%dT%H:%M:%SZ}")
        slot += timedelta(minutes=10)
    return found


@pytest.mark.fault(42)
@pytest.mark.parametrize(("misfire", "at_least"), [("skip", 0), ("once", 1), ("all", 144)])
def test_after_a_day_of_suspension_the_policy_decides(storage, start, misfire, at_least):
    yesterday = datetime.now(UTC) - 24 * HOUR
    storage.record_slot("ten", yesterday)
    start(every_ten_minutes(misfire)).run_once()
    missed = slots_since(yesterday)
    wanted = {"skip": [missed[-1:], []], "once": [missed[-1:]], "all": [missed[-100:]]}[misfire]
    assert names(storage) in wanted
    assert len(missed) >= at_least


def test_slots_carry_the_priority_of_their_processor_and_are_made_once_by_any_number(storage, start):
    storage.record_slot("ten", datetime.now(UTC) - HOUR)
    job = every_ten_minutes("all", run_on_start=True)
    for owner in ("node-1", "node-2", "node-1"):
        start(job, owner=owner).run_once()
    made = [name for name in names(storage) if ":start:" not in name]
    assert len(made) == len(set(made)) >= 5
    assert [name for name in names(storage) if ":start:" in name] == ["ten:start:node-1", "ten:start:node-2"]
    assert {task.priority for task in goque.TaskQueueManager(storage).get_tasks()} == {7}


def test_a_scheduler_that_dies_between_a_task_and_its_record_makes_no_slot_twice(storage, start, monkeypatch):
    storage.record_slot("ten", datetime.now(UTC) - HOUR)
    job = every_ten_minutes("all")

    def die(*_):
        raise DatabaseUnavailableError("gone")

    with monkeypatch.context() as patched:
        patched.setattr(storage, "record_slot", die)
        with pytest.raises(DatabaseUnavailableError):
            start(job).run_once()
    assert len(names(storage)) == 1
    start(job).run_once()
    made = names(storage)
    assert len(made) == len(set(made)) >= 5


def test_a_slot_whose_task_was_cleaned_does_not_come_back(storage, start, clock):
    storage.record_slot("ten", datetime.now(UTC) - HOUR)
    job = every_ten_minutes("all")
    start(job).run_once()
    rows = storage.claim_due("tick", "node-1", 100)
    storage.settle_if_held([done(row) for row in rows])
    clock.advance(60)
    assert storage.delete_finished(None, ["done"], 1) == len(rows) >= 5
    start(job).run_once()
    assert len(names(storage)) <= 1, "at most a slot that came meanwhile"


def test_a_paused_job_makes_nothing_and_goes_on_after_its_resumption(storage, start):
    storage.record_slot("ten", datetime.now(UTC) - HOUR)
    job = every_ten_minutes("all", run_on_start=True)
    storage.pause_job("ten", datetime.now(UTC))
    start(job).run_once()
    assert names(storage) == []
    storage.resume_job("ten", datetime.now(UTC))
    start(job).run_once()
    assert len([name for name in names(storage) if ":start:" not in name]) <= 1, "one that came meanwhile"
    assert "ten:start:node-1" in names(storage)


def test_what_no_database_keeps_is_left_out_and_the_slots_go_on(storage, start, caplog):
    storage.record_slot("ten", datetime.now(UTC) - HOUR)
    made = []

    def factory():
        made.append(1)
        return goque.Task("tick", metadata={"x": "y" * 2_000_000} if len(made) == 1 else {})

    start(goque.cron_job("ten", "*/10 * * * *", factory, misfire="all")).run_once()
    assert len(names(storage)) == len(made) - 1
    assert "periodic job 'ten': metadata" in caplog.text
    assert "no task is enqueued for this slot" in caplog.text
