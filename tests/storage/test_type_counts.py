"""Counts by type and status for people: exact in a small table, lower bounds that say so in a large one."""

from __future__ import annotations

import pytest
from backends import add, claim, move

from goque.handlers.flow import Flow
from goque.storage.contract import TypePolicy
from goque.storage.search_types import BoundedCount
from goque.storage.sql.task_lists import type_counts
from goque.task_row import TaskStatus


def counted(storage):
    """Return the counts as (type, status): (count, whether there are more)."""
    return {(one.type, one.status): (one.count, one.is_more) for one in storage.bounded_counts().counts}


def finish(storage, task_type, status, count):
    for _ in range(count):
        add(storage, task_type)
    rows = claim(storage, task_type=task_type, limit=count)
    failures = {TaskStatus.ERROR: 1, TaskStatus.ATTEMPTS_LEFT: 5}.get(status, 0)
    storage.settle_if_held([move(row, status, attempts=failures, delay=60.0) for row in rows])


def test_a_small_table_is_counted_whole(storage):
    for place, status in enumerate(
        (TaskStatus.DONE, TaskStatus.CANCELED, TaskStatus.ATTEMPTS_LEFT, TaskStatus.ERROR), 1
    ):
        finish(storage, "mail", status, place)
    flow = Flow("order")
    flow.add("sms", 2, needs=[flow.add("sms", 1)])
    storage.insert_flow(flow.plan())
    for _ in range(3):
        add(storage, "held")
    pending, processing, canceled = claim(storage, task_type="held", limit=3)
    del pending
    storage.mark_processing([processing.token])
    storage.cancel_unless_finished(canceled.id)
    found = storage.bounded_counts()
    exact = [BoundedCount(one.type, one.status, one.count) for one in storage.count_tasks()]
    assert found.counts == exact
    assert len(exact) == 9, exact
    assert not found.is_cut


def test_what_the_original_has_claimed_is_counted(storage, backend):
    add(storage)
    backend.execute("UPDATE goque_task SET status = 'processing'")
    assert counted(storage) == {("mail", "processing"): (1, False)}


@pytest.mark.parametrize("status", [TaskStatus.DONE, TaskStatus.CANCELED, TaskStatus.ATTEMPTS_LEFT])
def test_a_count_of_ended_tasks_ends_at_its_bound(storage, monkeypatch, status):
    monkeypatch.setattr(type_counts, "MAX_COUNTED", 8)
    monkeypatch.setattr(type_counts, "LEAST", 1)
    finish(storage, "mail", status, 5)
    finish(storage, "sms", status, 4)
    assert counted(storage) == {("mail", status.value): (4, True), ("sms", status.value): (4, False)}


def test_a_cut_count_of_waiting_tasks_says_so_of_both_statuses(storage, monkeypatch):
    monkeypatch.setattr(type_counts, "MAX_WAITING", 6)
    monkeypatch.setattr(type_counts, "LEAST_WAITING", 1)
    monkeypatch.setattr(type_counts, "MAX_COUNTED", 6)
    monkeypatch.setattr(type_counts, "LEAST", 1)
    finish(storage, "mail", TaskStatus.ERROR, 4)
    for _ in range(3):
        add(storage, "sms")
    found = counted(storage)
    assert found["mail", "error"] == (3, True)
    assert found["sms", "new"] == (3, False)
    assert found.get(("mail", "new"), (0, False))[0] == 0
    assert ("sms", "error") not in found


def test_claimed_tasks_are_counted_up_to_a_bound(storage, monkeypatch):
    monkeypatch.setattr(type_counts, "MAX_CLAIMED", 3)
    for _ in range(5):
        add(storage)
    claim(storage, limit=5)
    assert counted(storage) == {("mail", "pending"): (3, True), ("mail", "processing"): (0, True)}


def test_of_too_many_types_those_that_run_come_first(storage, monkeypatch):
    monkeypatch.setattr(type_counts, "MAX_TYPES", 2)
    for name in ("a", "b", "z"):
        add(storage, name)
    storage.publish_types([TypePolicy("z", 5, None, None, 10800.0, 604800.0, 3600.0)])
    found = storage.bounded_counts()
    assert [one.type for one in found.counts] == ["a", "z"]
    assert found.is_cut


@pytest.mark.parametrize(
    ("types", "ended", "waiting"), [(0, 100_000, 20_000), (20, 5000, 1000), (500, 500, 100)]
)
def test_the_more_types_the_sooner_a_count_ends(types, ended, waiting):
    assert type_counts.bound_of(types) == ended
    assert type_counts.bound_of(types, is_waiting=True) == waiting
