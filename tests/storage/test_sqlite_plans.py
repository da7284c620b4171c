"""The plans that make the hot statements flat, however the table grows and whether it is analyzed or not."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from dataclasses import fields

import pytest
from backends import SqliteBackend, claim
from go_schema import ORIGINAL

from goque.storage.sql.statements.complete import Statements
from goque.storage.sql.statements.kinds import AllOrNone
from goque.storage.sql.storage import SqlStorage
from goque.storage.sqlite.counting import COUNT_BY_INDEXES, COUNT_TASKS
from goque.storage.sqlite.statements import SQLITE_STATEMENTS
from goque.task import Task
from goque.task_row import TaskStatus

DONE = [TaskStatus.DONE]
BY_ID = "SEARCH goque_task USING INDEX sqlite_autoindex_goque_task_1 (id=?)"
CLAIM = "USING INDEX goque_task_claim_idx"
FINISHED = "SEARCH goque_task USING INDEX goque_task_finished_idx (type=? AND status=? AND <expr><?)"
PARTIAL = re.compile("USING (COVERING )?INDEX goque_task_(blocked|claim|owner|unowned)_idx")
EXPECTED = {
    "due_priorities": [
        f"{CLAIM} (type=?)",
        f"{CLAIM} (type=? AND priority<?)",
        "priority=? AND next_attempt_at<?",
    ],
    "next_due": [f"{CLAIM} (type=?)", f"{CLAIM} (type=? AND priority<?)"],
    "due_levels": [
        f"{CLAIM} (type=?)",
        f"{CLAIM} (type=? AND priority<?)",
        f"{CLAIM} (type=? AND priority=? AND next_attempt_at=?)",
        "SEARCH highest USING INTEGER PRIMARY KEY (rowid=?)",
        "SEARCH lower USING INTEGER PRIMARY KEY (rowid=?)",
    ],
    "claim_due": ["(rowid=?)", f"{CLAIM} (type=? AND priority=? AND next_attempt_at<?)"],
    "mark_processing": [BY_ID],
    "settle_done": [BY_ID],
    "settle_unneeded": [BY_ID],
    "settle_moves": [BY_ID],
    "release_stale": [BY_ID],
    "tasks_by_id": [BY_ID],
    "get_task": [BY_ID],
    "cancel": [BY_ID],
    "reset": [BY_ID],
    "claimed_by_owner": ["USING INDEX goque_task_owner_idx (claimed_by=?)"],
    "changed_by_others": ["USING INDEX goque_task_owner_idx (claimed_by=?)"],
    "unowned_claims": ["USING INDEX goque_task_unowned_idx (<expr><?)"],
    "finished_exists": [FINISHED],
    "delete_finished": ["(rowid=?)", FINISHED],
    "delete_attempts": ["goque_attempt_task_id_idx (task_id=?)"],
    "attempts": ["goque_attempt_task_id_idx (task_id=?)"],
    "queue_depths": [
        CLAIM,
        "USING INDEX goque_task_owner_idx",
        "USING INDEX goque_task_unowned_idx",
        "USING COVERING INDEX goque_task_blocked_idx",
    ],
    "next_types": ["COVERING INDEX", "(type>?)"],
}


def plans(backend: SqliteBackend) -> dict[str, list[str]]:
    connection = sqlite3.connect(backend.path)
    texts = {field.name: getattr(SQLITE_STATEMENTS, field.name) for field in fields(Statements)}
    found = {}
    for name, text in texts.items():
        if name in EXPECTED:
            sql = text.change if isinstance(text, AllOrNone) else text
            params = dict.fromkeys(re.findall(r":(\w+)", sql)) | {"batch": "[]", "types": "[]", "past": "[]"}
            found[name] = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", params)]
    connection.close()
    return found


def fill(backend: SqliteBackend, tasks: int) -> None:
    storage = backend.new_storage()
    for _ in range(0, tasks, 5000):
        storage.insert_tasks([Task(f"type-{n % 3}", priority=n % 2) for n in range(min(tasks, 5000))])
    backend.execute("UPDATE goque_task SET status = 'done', updated_at = created_at WHERE rowid % 20 <> 0")
    backend.execute("UPDATE goque_task SET status = 'pending', claimed_by = 'node-1' WHERE rowid % 200 = 0")


@pytest.mark.fault(32)
@pytest.mark.parametrize("original", [False, True], ids=["own", "taken over"])
@pytest.mark.parametrize("tasks", [0, 50, 20_000])
@pytest.mark.parametrize("analyzed", [False, True], ids=["", "analyzed"])
def test_hot_statements_keep_to_their_index(tmp_path, tasks, analyzed, original):
    backend = SqliteBackend(tmp_path)
    if original:
        backend.script(ORIGINAL["sqlite"])
    backend.new_storage().require_schema()
    fill(backend, tasks)
    if analyzed:
        backend.execute("ANALYZE")
    found = plans(backend)
    for name, steps in EXPECTED.items():
        scans = [step for step in found[name] if step.startswith("SCAN goque_task")]
        assert all(PARTIAL.search(step) for step in scans), (name, found[name])
        for step in steps:
            assert any(step in line for line in found[name]), (name, found[name])
    backend.close()


def test_all_tasks_are_counted_along_indexes(tmp_path):
    backend = SqliteBackend(tmp_path)
    storage = backend.new_storage()
    storage.require_schema()
    fill(backend, 5000)
    backend.execute("UPDATE goque_task SET status = 'blocked' WHERE rowid % 20 = 10")
    backend.execute("UPDATE goque_task SET status = 'pending' WHERE rowid % 500 = 3")
    backend.execute("UPDATE goque_task SET status = 'canceled', claimed_by = 'node-1' WHERE rowid % 500 = 7")
    connection = sqlite3.connect(backend.path)
    plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {COUNT_BY_INDEXES}")]
    assert [line for line in plan if "goque_task" in line and "INDEX" not in line] == []
    exact = {
        (task_type, status): count
        for task_type, status, count, _ in connection.execute(COUNT_TASKS).fetchall()
    }
    connection.close()
    assert {(row.type, row.status): row.count for row in storage.count_tasks()} == exact
    few = steps_of(storage, storage.count_tasks)
    backend.execute("UPDATE goque_task SET status = 'strange' WHERE rowid = 1")
    assert ("strange", 1) in [(row.status, row.count) for row in storage.count_tasks()]
    assert sum(row.count for row in storage.count_tasks()) == 5000
    assert steps_of(storage, storage.count_tasks) > 2 * few
    backend.close()


def steps_of(storage: SqlStorage, call: Callable[[], object]) -> int:
    """Return how many hundreds of instructions SQLite's machine takes for a call."""
    steps = 0

    def count() -> None:
        nonlocal steps
        steps += 1

    with storage._connections as session:
        session.connection.set_progress_handler(count, 100)
    call()
    with storage._connections as session:
        session.connection.set_progress_handler(None, 0)
    return steps


@pytest.mark.fault(32)
def test_a_claim_and_a_round_of_cleaning_take_as_many_steps_in_a_large_table_as_in_a_small_one(tmp_path):
    steps = {}
    for tasks in (4000, 40_000):
        (tmp_path / f"{tasks}").mkdir()
        backend = SqliteBackend(tmp_path / f"{tasks}")
        storage = backend.new_storage()
        storage.require_schema()
        fill(backend, tasks)
        backend.clock.advance(60)
        steps[tasks] = [
            steps_of(storage, lambda storage=storage: claim(storage, task_type="type-1", limit=50)),
            steps_of(storage, lambda storage=storage: storage.seconds_until_due("type-1")),
            steps_of(storage, lambda storage=storage: storage.due_levels(["type-1", "type-2", "none"])),
            steps_of(
                storage, lambda storage=storage: storage.delete_finished("type-1", DONE, 30.0, limit=500)
            ),
        ]
        assert storage.delete_finished("type-1", DONE, 30.0, limit=500) == 500
        assert len(storage.claimed_by_owner("node-1", "type-1")) >= 50
        backend.close()
    for small, large in zip(*steps.values(), strict=True):
        assert large <= small * 1.5 + 2, steps


@pytest.mark.fault(32)
@pytest.mark.parametrize("delay", [0, 3600], ids=["due", "scheduled"])
def test_the_levels_of_60_types_take_as_many_steps_in_a_large_table_as_in_a_small_one(tmp_path, delay):
    types = [f"type-{number}" for number in range(60)]
    steps = {}
    for tasks in (600, 20_000):
        (tmp_path / f"{tasks}").mkdir()
        backend = SqliteBackend(tmp_path / f"{tasks}")
        storage = backend.new_storage()
        storage.migrate()
        storage.insert_tasks([Task(f"type-{number % 60}", delay=delay) for number in range(tasks)])
        backend.execute("UPDATE goque_task SET status = 'done' WHERE rowid / 60 % 2 = 0")
        steps[tasks] = steps_of(storage, lambda storage=storage: storage.due_levels(types))
        assert len(storage.due_levels(types)) == 60
        backend.close()
    assert steps[20_000] <= steps[600] * 1.5 + 2, steps
