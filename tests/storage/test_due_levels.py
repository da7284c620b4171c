"""When the first task of each type and priority is due, on each backend."""

from __future__ import annotations

import pytest
from backends import SqliteBackend, add, claim, move
from test_claiming import policy
from test_sqlite_rows import insert
from undone_claims import undo_claims

from goque.storage.contract import Claim, DueLevel
from goque.storage.sql.claiming.unclaimable import EMPTY_CLAIMS
from goque.task import Task
from goque.task_row import TaskStatus


def levels(storage, *types):
    return sorted((level.type, level.priority, level.seconds) for level in storage.due_levels(types))


# -- levels --------------------------------------------------------------------------------


def test_each_priority_of_each_type_tells_when_its_first_task_is_due(storage, clock):
    for task_type, priority, delay in [
        ("mail", 0, 60),
        ("mail", 0, 30),
        ("mail", 9, 3600),
        ("mail", -9, 0),
        ("sms", 0, 0.5),
        ("other", 0, 0),
    ]:
        add(storage, task_type, priority=priority, delay=delay)
    assert levels(storage, "sms", "mail", "none") == [
        ("mail", -9, 0.0),
        ("mail", 0, 30.0),
        ("mail", 9, 3600.0),
        ("sms", 0, 0.5),
    ]
    clock.advance(30)
    assert levels(storage, "mail", "sms") == [
        ("mail", -9, 0.0),
        ("mail", 0, 0.0),
        ("mail", 9, 3570.0),
        ("sms", 0, 0.0),
    ]


def test_a_level_is_a_record_of_the_contract(storage):
    add(storage, priority=3)
    assert storage.due_levels(["mail"]) == [DueLevel(type="mail", priority=3, seconds=0.0)]


def test_no_types_have_no_levels_and_a_type_that_is_named_twice_has_them_once(storage):
    add(storage)
    assert storage.due_levels([]) == []
    assert len(storage.due_levels(["mail", "sms", "mail"])) == 1


def test_tasks_that_are_claimed_or_finished_are_in_no_level_and_those_that_failed_are(storage, clock):
    add(storage)
    [row] = claim(storage)
    assert levels(storage, "mail") == []
    storage.settle_if_held([move(row, TaskStatus.ERROR, delay=5.0)])
    assert levels(storage, "mail") == [("mail", 0, 5.0)]
    clock.advance(5)
    [row] = claim(storage)
    storage.settle_if_held([move(row, TaskStatus.DONE)])
    assert levels(storage, "mail") == []


def test_a_paused_type_has_no_levels_and_the_others_have(storage):
    for task_type in ("mail", "sms"):
        add(storage, task_type)
        add(storage, task_type, priority=-1)
    storage.publish_types([policy("mail"), policy("sms")])
    storage.pause_type("mail")
    assert levels(storage, "mail", "sms") == [("sms", -1, 0.0), ("sms", 0, 0.0)]


def test_types_of_any_name_have_levels(storage):
    names = ["a'b", 'a"b', "a\\b", "ж %s :now", "A", "a", "a ", "1"]
    for name in names:
        add(storage, name)
    assert sorted(level.type for level in storage.due_levels(names)) == sorted(names)


def test_more_types_than_one_statement_asks_about_have_levels(storage):
    names = [f"type-{number}" for number in range(250)]
    storage.insert_tasks([Task(name, priority=priority) for name in names for priority in (1, 2)])
    assert levels(storage, *names) == sorted((name, priority, 0.0) for name in names for priority in (1, 2))


# -- levels whose tasks cannot be claimed --------------------------------------------------


def test_a_level_of_tasks_that_cannot_be_claimed_is_left_out_when_that_is_known(storage, backend):
    add(storage, external_id="stuck", priority=5)
    add(storage, priority=0)
    add(storage, "sms")
    undo_claims(backend)
    assert ("mail", 5, 0.0) in levels(storage, "mail", "sms")
    claim(storage, priority=5)
    assert ("mail", 5, 0.0) in levels(storage, "mail", "sms"), "another process may have been faster"
    claim(storage, priority=5)
    assert levels(storage, "mail", "sms") == [("mail", 0, 0.0), ("sms", 0, 0.0)]


def test_a_level_with_other_tasks_tells_when_the_first_of_these_is_due(storage, backend, clock):
    add(storage, external_id="stuck", priority=5)
    later = add(storage, priority=5, delay=10)
    undo_claims(backend)
    for _ in range(EMPTY_CLAIMS):
        assert claim(storage, priority=5) == []
    assert levels(storage, "mail") == [("mail", 5, 10.0)]
    clock.advance(10)
    assert levels(storage, "mail") == [("mail", 5, 0.0)]
    assert [row.id for row in claim(storage, priority=5)] == [later.id]


def test_a_level_that_is_due_after_an_empty_claim_of_all_makes_the_next_one_look_why(storage, backend, clock):
    add(storage, external_id="stuck", priority=5)
    good = add(storage, priority=5, delay=1)
    clock.advance(1)
    undo_claims(backend)
    assert claim(storage, limit=1) == []
    assert ("mail", 5, 0.0) in levels(storage, "mail")
    assert [row.id for row in claim(storage, limit=1)] == [good.id]


# -- what only a SQLite file holds ---------------------------------------------------------


@pytest.fixture
def file(tmp_path):
    made = SqliteBackend(tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize(
    ("due_at", "wait"),
    [
        (["2026-11-23T21:02:33.500000Z"], 0.376544),
        (["2026-11-23T21:02:33.500000Z", "2026-11-23T21:02:33Z"], 0.0),
        (["2026-11-23T21:02:34Z"], 0.876544),
        (["2026-11-23 21:02:33"], 0.0),
        ([""], 0.0),
    ],
)
def test_a_level_is_due_when_a_claim_finds_a_task_in_it(file, due_at, wait):
    storage = file.new_storage()
    storage.migrate()
    for number, text in enumerate(due_at):
        insert(file, text, task_id=f"019ab5a0-7c3e-7d5e-8f00-{number:012x}")
    [level] = storage.due_levels(["mail"])
    assert level.seconds == pytest.approx(wait)
    assert bool(claim(storage, priority=0)) == (wait == 0)


@pytest.mark.parametrize("value", ["text", b"\xff"])
def test_a_time_that_is_none_makes_no_level_and_hides_none(file, value):
    storage = file.new_storage()
    storage.migrate()
    odd, good = add(storage, priority=5), add(storage)
    file.execute("UPDATE goque_task SET next_attempt_at = :value WHERE id = :id", value=value, id=odd.id)
    assert levels(storage, "mail") == [("mail", 0, 0.0)]
    assert [row.id for row in claim(storage, priority=0)] == [good.id]


@pytest.mark.fault(59)
@pytest.mark.parametrize("priority", [0.5, "high", b"\xff"])
@pytest.mark.parametrize("types", [["a"], ["a", "b"]])
def test_tasks_whose_priority_is_no_whole_number_are_claimed_too(file, priority, types):
    storage = file.new_storage()
    storage.migrate()
    tasks = [add(storage, task_type) for task_type in types]
    file.execute(
        "UPDATE goque_task SET priority = :priority WHERE id = :id", priority=priority, id=tasks[0].id
    )
    wanted = [Claim(level.type, level.priority, 5) for level in storage.due_levels(types)]
    assert {row.id for row in storage.claim_in_turns(wanted, "node-1")} == {task.id for task in tasks}
