from __future__ import annotations

from datetime import timedelta

import pytest
from backends import add, claim, move, row_of
from test_claiming import policy

from goque.errors import ConfigurationError
from goque.task import Task
from goque.task_row import TERMINAL_STATUSES, TaskStatus
from goque.task_rules.failed_attempt import FailedAttempt

FINISHED = [TaskStatus.DONE, TaskStatus.CANCELED]


def finished(storage, status=TaskStatus.DONE, task_type="mail", **fields):
    task = add(storage, task_type)
    [row] = storage.claim_due(task_type, "node-1", 1)
    storage.settle_if_held([move(row, status, **fields)])
    return task


def test_finished_tasks_go_at_their_age_with_their_attempts(storage, clock):
    failed = FailedAttempt(attempt=1, cause="failed", error="boom")
    old = finished(storage, TaskStatus.ATTEMPTS_LEFT, attempts=1, failed=failed)
    clock.advance(50)
    young = finished(storage)
    clock.advance(50)
    assert storage.delete_finished("mail", TERMINAL_STATUSES, 100) == 0
    assert storage.delete_finished("mail", TERMINAL_STATUSES, 99) == 1
    assert storage.get_task(old.id) is None
    assert storage.failed_attempts(old.id) == []
    assert storage.get_task(young.id) is not None


def test_only_the_statuses_and_the_type_that_were_named_go(storage, clock):
    finished(storage)
    kept = [finished(storage, TaskStatus.ATTEMPTS_LEFT), finished(storage, task_type="sms"), add(storage)]
    clock.advance(10)
    assert storage.delete_finished("mail", FINISHED, 1) == 1
    assert all(storage.get_task(task.id) for task in kept)


def test_a_held_task_is_never_deleted(storage, clock):
    task = add(storage)
    claim(storage)
    storage.cancel_unless_finished(task.id)
    clock.advance(10)
    assert storage.delete_finished("mail", FINISHED, 1) == 0
    assert row_of(storage, task).claimed_by == "node-1"


def test_waiting_and_running_tasks_cannot_be_named(storage):
    for status in set(TaskStatus) - TERMINAL_STATUSES:
        with pytest.raises(ConfigurationError, match="finished"):
            storage.delete_finished("mail", [TaskStatus.DONE, status], 0)


def test_a_batch_is_bounded(storage, clock):
    storage.insert_tasks([Task("mail") for _ in range(25)])
    rows = claim(storage, limit=25)
    storage.settle_if_held([move(row, FINISHED[number % 2]) for number, row in enumerate(rows)])
    clock.advance(10)
    assert [storage.delete_finished("mail", FINISHED, 1, limit=10) for _ in range(4)] == [10, 10, 5, 0]


def test_without_a_type_only_types_that_nobody_published_go(storage, clock):
    published, foreign = finished(storage, task_type="mail"), finished(storage, task_type="sms")
    finished(storage, task_type="fax")
    storage.publish_types([policy("mail")])
    clock.advance(10)
    assert storage.delete_finished(None, FINISHED, 1) == 2
    assert storage.get_task(published.id) is not None
    assert storage.get_task(foreign.id) is None


def test_policies_are_published_and_read_back(storage):
    first = policy("mail", strategy='{"type":"static","period":1.0}', max_crashes=2)
    storage.publish_types([first, policy("sms")])
    storage.publish_types([policy("sms", max_attempts=9)])
    storage.publish_types([])
    assert storage.type_policies() == {"mail": first, "sms": policy("sms", max_attempts=9)}


def test_a_type_is_paused_and_resumed_by_who_asks_first(storage, other):
    storage.publish_types([policy("mail")])
    assert not storage.resume_type("mail")
    assert storage.pause_type("mail")
    assert not other.pause_type("mail")
    assert other.type_policies()["mail"].paused
    assert other.resume_type("mail")
    assert not storage.type_policies()["mail"].paused


def test_a_type_that_nobody_runs_cannot_be_paused(storage):
    with pytest.raises(ConfigurationError, match="no supervisor has run on this database yet"):
        storage.pause_type("mail")
    storage.publish_types([policy("mail"), policy("sms")])
    with pytest.raises(ConfigurationError, match="'mial'; did you mean 'mail'"):
        storage.pause_type("mial")
    with pytest.raises(ConfigurationError, match="there is mail, sms"):
        storage.resume_type("x")


def test_slots_only_move_on(storage, clock):
    assert storage.last_slot("nightly") is None
    slot = clock.now
    storage.record_slot("nightly", slot)
    assert storage.last_slot("nightly") == slot
    clock.advance(60)
    storage.record_slot("nightly", clock.now)
    storage.record_slot("nightly", slot)
    assert storage.last_slot("nightly") == clock.now
    assert storage.last_slot("weekly") is None


def test_a_paused_job_goes_on_with_what_comes_after_its_resumption(storage, clock):
    assert storage.paused_jobs() == frozenset()
    assert not storage.resume_job("nightly", clock.now)
    assert storage.last_slot("nightly") is None
    assert storage.pause_job("nightly", clock.now)
    assert not storage.pause_job("nightly", clock.now)
    assert storage.last_slot("nightly") == clock.now, "a job that is new counts from here"
    storage.record_slot("Nightly", clock.now)
    assert storage.paused_jobs() == {"nightly"}
    later = clock.now + timedelta(days=3)
    assert storage.resume_job("nightly", later)
    assert storage.paused_jobs() == frozenset()
    assert storage.last_slot("nightly") == later
    assert not storage.resume_job("nightly", later + timedelta(days=1))
    assert storage.last_slot("nightly") == later
