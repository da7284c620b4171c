"""What lists of tasks show: both orders, several types, counts that end, beginnings of payloads, tasks by name."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from backends import START, add, claim, move
from test_searching import HOSTILE, ids, insert_made_at, newest_first

from goque.storage.search_types import TaskSearch
from goque.storage.sql import search as sql_search
from goque.storage.sql.task_lists.reads import id_bounds
from goque.task import Task
from goque.task_row import TaskStatus


def oldest_first(*tasks):
    return newest_first(*tasks)[::-1]


def add_with(storage, payload):
    return storage.insert_tasks([Task("mail", payload)])[0]


def all_upwards(storage, search, limit=3):
    found, after = [], None
    for _ in range(1000):
        page = storage.search_tasks(search, before=after, limit=limit, oldest_first=True)
        found += ids(page)
        after = page.before
        if after is None:
            return found
    raise AssertionError("the pages have no end")


def counts(storage, *types, most=100):
    return {
        one.status: (one.count, one.is_more) for one in storage.status_counts(types, most=most) if one.count
    }


@pytest.mark.parametrize("limit", [1, 3, 7, 8])
def test_pages_go_from_the_oldest_task_to_newer_ones_without_a_gap(storage, limit):
    tasks = [add(storage) for _ in range(7)]
    assert all_upwards(storage, TaskSearch(), limit) == oldest_first(*tasks)
    rest = storage.search_tasks(TaskSearch(), before=tasks[4].id, oldest_first=True)
    assert ids(rest) == [tasks[5].id, tasks[6].id]


@pytest.mark.parametrize("walk", [2, 1000], ids=["by an index", "by a walk"])
def test_rare_tasks_are_found_upwards_among_many(storage, monkeypatch, walk):
    monkeypatch.setattr(sql_search, "FIRST_WALK", walk)
    rare = [add(storage, "rare", external_id=f"order-{n}") for n in range(3)]
    common = [add(storage, "common") for _ in range(20)]
    rare.append(add(storage, "rare"))
    assert all_upwards(storage, TaskSearch(task_type="rare"), 2) == oldest_first(*rare)
    assert all_upwards(storage, TaskSearch(types=("common",)), 7) == oldest_first(*common)
    assert all_upwards(storage, TaskSearch(external_id="order-1")) == [rare[1].id]


def test_a_walk_upwards_that_is_too_long_says_how_far_it_came(storage, monkeypatch):
    monkeypatch.setattr(sql_search, "FIRST_WALK", 3)
    monkeypatch.setattr(sql_search, "MAX_WALK", 5)
    tasks = [add_with(storage, {"n": n}) for n in range(12)]
    search = TaskSearch(payload='"last"')
    last = add_with(storage, "last")
    page = storage.search_tasks(search, oldest_first=True)
    assert page.lines == []
    assert page.before == tasks[4].id
    assert page.looked_back_to is not None
    assert all_upwards(storage, search) == [last.id]


def test_a_span_of_time_bounds_the_way_upwards(storage, clock):
    made = []
    for hours in range(5):
        clock.now = START + timedelta(hours=hours)
        made.append(insert_made_at(storage, clock))
    search = TaskSearch(created_from=START + timedelta(hours=1), created_before=START + timedelta(hours=4))
    assert all_upwards(storage, search, 2) == [task.id for task in made[1:4]]


@pytest.mark.parametrize("walk", [2, 1000], ids=["by an index", "by a walk"])
def test_tasks_of_several_types_are_found(storage, monkeypatch, walk):
    monkeypatch.setattr(sql_search, "FIRST_WALK", walk)
    wanted = [add(storage, name) for name in ("mail", "mailer") for _ in range(2)]
    for _ in range(5):
        add(storage, "sms")
    page = storage.search_tasks(TaskSearch(types=("mail", "mailer"), statuses=(TaskStatus.NEW,)))
    assert ids(page) == newest_first(*wanted)
    assert ids(storage.search_tasks(TaskSearch(types=(HOSTILE,)))) == []


def test_tasks_are_counted_by_status(storage):
    assert counts(storage) == {}
    for _ in range(6):
        add(storage)
    add(storage, "sms")
    rows = claim(storage, limit=5)
    storage.settle_if_held([
        move(rows[0], TaskStatus.DONE),
        move(rows[1], TaskStatus.ATTEMPTS_LEFT, attempts=1),
        move(rows[2], TaskStatus.ERROR, attempts=1, delay=60.0),
    ])  # fmt: skip
    storage.mark_processing([rows[3].token])
    of_mail = {"new": 1, "done": 1, "attempts_left": 1, "error": 1, "processing": 1, "pending": 1}
    assert counts(storage, "mail") == {status: (count, False) for status, count in of_mail.items()}
    assert counts(storage)["new"] == (2, False)
    assert counts(storage, "sms") == {"new": (1, False)}
    assert counts(storage, "sms", "mail") == counts(storage)
    assert counts(storage, HOSTILE) == {}


def test_a_canceled_task_whose_handler_is_being_stopped_counts_as_canceled(storage):
    add(storage)
    [row] = claim(storage)
    storage.cancel_unless_finished(row.id)
    assert counts(storage) == {"canceled": (1, False)}


def test_counts_end_at_a_bound(storage):
    for _ in range(5):
        add(storage)
    assert counts(storage, most=5) == {"new": (5, False)}
    assert counts(storage, most=4) == {"new": (4, True)}


def test_previews_are_the_beginnings_of_payloads(storage):
    short = add_with(storage, {"to": "ada"})
    long = add_with(storage, {"text": "ä☃" * 500})
    hostile = add_with(storage, HOSTILE)
    large = add_with(storage, [f"{number:x}-{number * number:x}" for number in range(20_000)])
    asked = [short.id, long.id, hostile.id, large.id, "00000000-0000-7000-8000-000000000000"]
    found = storage.payload_previews(asked, length=100)
    assert found.keys() == {short.id, long.id, hostile.id, large.id}
    assert json.loads(found[short.id]) == {"to": "ada"}
    assert len(found[long.id]) == 100
    assert found[long.id].replace(" ", "").startswith('{"text":"ä☃ä☃')
    assert json.loads(found[hostile.id]) == HOSTILE
    assert found[large.id] is None
    assert storage.payload_previews([], length=100) == {}


def test_tasks_are_found_by_their_external_ids_and_what_these_begin_with(storage):
    seven, seventy = add(storage, external_id="order-70"), add(storage, "sms", external_id="order-7")
    add(storage, external_id="border-7")
    add(storage, external_id="Order-7")
    assert ids_of(storage.tasks_named("order-7")) == [seventy.id, seven.id]
    assert ids_of(storage.tasks_named("order-70")) == [seven.id]
    assert storage.tasks_named("order-8") == []
    assert len(storage.tasks_named("order", limit=1)) == 1


@pytest.mark.parametrize("text", ["%", "_", "100%", HOSTILE, "日本", "a b", "\\"])
def test_odd_texts_are_looked_for_as_they_are(storage, text):
    wanted = add(storage, external_id=f"{text}-1")
    add(storage, external_id="x-1")
    add(storage, external_id="100-1")
    assert ids_of(storage.tasks_named(text)) == [wanted.id]


def test_tasks_are_found_by_the_beginning_of_their_ids(storage):
    first, second = add(storage), add(storage)
    for length in (36, 35):
        assert ids_of(storage.tasks_named(first.id[:length])) == [first.id], length
    assert set(ids_of(storage.tasks_named(first.id[:8].upper()))) >= {first.id, second.id}
    assert storage.tasks_named("ffff") == []
    assert storage.tasks_named(first.id[:3]) == []


def test_a_task_that_is_found_twice_is_listed_once(storage):
    first = add(storage)
    named = add(storage, external_id=first.id)
    assert set(ids_of(storage.tasks_named(first.id))) == {first.id, named.id}
    assert len(storage.tasks_named(first.id)) == 2


def ids_of(lines):
    return [line.id for line in lines]


@pytest.mark.parametrize(
    ("text", "bounds"),
    [
        ("01a2", ("01a20000-0000-0000-0000-000000000000", "01a2ffff-ffff-ffff-ffff-ffffffffffff")),
        ("01a21501-", ("01a21501-0000-0000-0000-000000000000", "01a21501-ffff-ffff-ffff-ffffffffffff")),
        ("01a21501-4", ("01a21501-4000-0000-0000-000000000000", "01a21501-4fff-ffff-ffff-ffffffffffff")),
        ("01a", None),
        ("01a215014", None),
        ("01a-", None),
        ("order", None),
        ("0" * 37, None),
        ("", None),
    ],
)
def test_the_beginning_of_an_id_bounds_it(text, bounds):
    assert id_bounds(text) == bounds
