"""Ended tasks are found by the times of their ends, however many newer tasks there are."""

from __future__ import annotations

import pytest
from backends import add, claim, move

from goque.storage.search_types import TaskSearch, first_id_at
from goque.storage.sql import search as sql_search
from goque.storage.sql.ended import newest_ended
from goque.task import Task
from goque.task_row import TaskStatus

FAILED = TaskSearch(statuses=(TaskStatus.ATTEMPTS_LEFT,))


@pytest.fixture(autouse=True)
def few(monkeypatch):
    """Make a small table as large for a search as millions of tasks are."""
    monkeypatch.setattr(sql_search, "FIRST_WALK", 3)
    monkeypatch.setattr(sql_search, "MAX_WALK", 6)
    monkeypatch.setattr(sql_search, "MAX_CANDIDATES", 3)
    monkeypatch.setattr(newest_ended, "MAX_READ", 16)
    monkeypatch.setattr(newest_ended, "LEAST", 1)


def insert_now(storage, clock, task_type):
    task = Task(task_type, {})
    task.id = first_id_at(clock.now)[:14] + task.id[14:]
    return storage.insert_tasks([task])[0].id


def end(storage, clock, status, task_type, seconds=1):
    """Insert a task that ends after some seconds, and return its id."""
    made = insert_now(storage, clock, task_type)
    clock.advance(seconds)
    [row] = [row for row in claim(storage, task_type=task_type, limit=50) if row.id == made]
    storage.settle_if_held([move(row, status, attempts=1)])
    return made


def incident(storage, clock, count=16, later=30):
    """Let tasks of two types fail, an hour apart; then others are done. Return the ids of the failed, newest first."""
    failed = []
    for number in range(count):
        failed.append(end(storage, clock, TaskStatus.ATTEMPTS_LEFT, ("mail", "sms")[number % 2]))
        clock.advance(3600)
    for _ in range(later):
        end(storage, clock, TaskStatus.DONE, "other")
    return sorted(failed, reverse=True)


def test_the_newest_failed_tasks_come_at_once_though_many_others_are_newer(storage, clock):
    failed = incident(storage, clock)
    page = storage.search_tasks(FAILED, limit=4)
    assert [line.id for line in page.lines] == failed[:4]
    assert (page.before, page.looked_back_to) == (failed[3], None)


@pytest.mark.parametrize("limit", [1, 3, 5, 50])
def test_pages_go_through_all_failed_tasks_in_the_order_of_their_ids(storage, clock, limit):
    failed = incident(storage, clock)
    found, before, goes_on = [], None, False
    for _ in range(100):
        page = storage.search_tasks(FAILED, before=before, limit=limit, goes_on=goes_on)
        found += [line.id for line in page.lines]
        before, goes_on = page.before, page.looked_back_to is not None
        if before is None:
            break
    assert found == failed


def test_a_page_that_is_not_full_says_how_far_back_it_is_complete(storage, clock):
    failed = incident(storage, clock)
    page = storage.search_tasks(FAILED, limit=50)
    assert page.before is not None
    assert page.looked_back_to is not None
    assert [line.id for line in page.lines] == [one for one in failed if one >= page.before]
    assert len(page.lines) >= 3


def test_tasks_that_ended_long_after_they_were_made_keep_their_place(storage, clock):
    slow = [insert_now(storage, clock, "slow") for _ in range(2)]
    failed = incident(storage, clock, later=10)
    rows = claim(storage, task_type="slow", limit=2)
    storage.settle_if_held([move(row, TaskStatus.ATTEMPTS_LEFT, attempts=1) for row in rows])
    page = storage.search_tasks(FAILED, limit=3)
    assert [line.id for line in page.lines] == failed[:3]
    found = []
    before = None
    while True:
        page = storage.search_tasks(FAILED, before=before, limit=3)
        found += [line.id for line in page.lines]
        if (before := page.before) is None:
            break
    assert found == sorted([*failed, *slow], reverse=True)


def test_other_conditions_hold_too(storage, clock):
    failed = incident(storage, clock)
    search = TaskSearch(statuses=(TaskStatus.ATTEMPTS_LEFT,), task_type="sms")
    page = storage.search_tasks(search, limit=2)
    assert [line.id for line in page.lines] == [failed[0], failed[2]]
    search = TaskSearch(statuses=(TaskStatus.ATTEMPTS_LEFT,), error="nothing of the kind")
    page = storage.search_tasks(search, limit=2)
    assert page.lines == []
    assert page.looked_back_to is not None


def test_a_canceled_task_that_is_still_held_is_found(storage, clock):
    incident(storage, clock)
    for _ in range(5):
        end(storage, clock, TaskStatus.CANCELED, "mail")
        clock.advance(3600)
    held = insert_now(storage, clock, "mail")
    claim(storage, task_type="mail")
    storage.cancel_unless_finished(held)
    for _ in range(10):
        end(storage, clock, TaskStatus.DONE, "other")
    page = storage.search_tasks(TaskSearch(statuses=(TaskStatus.CANCELED,)), limit=2)
    assert held in [line.id for line in page.lines]


def test_ids_from_the_future_are_left_to_the_walk(storage, clock):
    incident(storage, clock)
    strange = [
        add(storage, "strange").id for _ in range(5)
    ]  # these tell today's time, and the clock is behind it
    assert all(one > first_id_at(clock.now) for one in strange)
    page = storage.search_tasks(FAILED, limit=2)
    assert page.lines == []
    assert page.looked_back_to is not None
