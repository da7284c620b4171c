"""Texts that are not UTF-8, or empty, in rows that others wrote: shown escaped, and no row hides those after it."""

from __future__ import annotations

import contextlib
import json
import subprocess
import uuid

import pytest
from databases import Database
from looking import calls_that_fail, commands_that_fail, errors_in, pages_that_fail
from tree import StartTree, eventually, python_command

from goque import TaskFilter

APP = """
@registry.processor("fine", workers=1, fetch_tick=0.1, max_attempts=1)
def fine(task: Task):
    note("ran", task.id)

@registry.processor("payloads", workers=1, fetch_tick=0.1, max_attempts=1)
def payloads(task: Task):
    note("ran", task.id, type(task.payload).__name__)
"""
CASE_43 = """
    INSERT INTO goque_task (id, type, external_id, payload, status, attempts, metadata, created_at, next_attempt_at)
    VALUES ('01a224c7-1e67-7df6-9986-cdf1dd41ffd6', 'job', 'x', CAST(x'7b2273223a22ff227d' AS TEXT), 'new', 0, '',
            '2026-11-29T00:00:00Z', '2026-11-29T00:00:00Z')"""
COLUMNS = (
    "type",
    "external_id",
    "payload",
    "errors",
    "metadata",
    "result",
    "claimed_by",
    "created_at",
    "updated_at",
)
NOW = "strftime('%Y-%m-%dT%H:%M:%fZ')"
VALUES = {"not UTF-8": "CAST(x'61ff62' AS TEXT)", "empty": "''", "a blob": "x'61ff62'"}


def write(database: Database, **values: str) -> str:
    """Insert a task that has ended, with some of its columns as given."""
    task_id = str(uuid.uuid4())
    row = {
        "id": f"'{task_id}'",
        "type": "'fine'",
        "external_id": f"'{task_id}'",
        "payload": "'{}'",
        "status": "'done'",
        "attempts": "0",
        "metadata": "'{}'",
        "created_at": NOW,
        "next_attempt_at": NOW,
        "updated_at": NOW,  # without one, the cleaner takes a task by its creation
        **values,
    }
    database.execute(f"INSERT INTO goque_task ({', '.join(row)}) VALUES ({', '.join(row.values())})")
    return task_id


def ask(database: Database, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    command = python_command("-m", "goque.cli", *arguments, "--database-url", database.url)
    return subprocess.run(command, capture_output=True, check=False, timeout=60)


@pytest.mark.fault(56)
def test_case_43_a_payload_that_is_not_utf8_and_metadata_that_is_empty_are_shown(database: Database) -> None:
    database.queue.storage.ping()
    database.execute(CASE_43)
    database.enqueue("job", "after", "before")
    task_id = "01a224c7-1e67-7df6-9986-cdf1dd41ffd6"
    for arguments in (["list"], ["list", "--json"], ["show", task_id], ["show", task_id, "--json"]):
        ran = ask(database, *arguments)
        assert (ran.returncode, ran.stderr) == (0, b""), arguments
        if "--json" in arguments:
            rows = [json.loads(line) for line in ran.stdout.decode("utf-8").splitlines()]
            assert task_id in [row["id"] for row in rows]
            assert len(rows) == (3 if "list" in arguments else 1)
    found = {task.external_id: task for task in database.queue.get_tasks(TaskFilter())}
    assert found.keys() == {"x", "after", "before"}
    assert found["x"].metadata == {}, "the Go library reads an empty text so"
    assert database.queue.get_task(task_id).metadata == {}


@pytest.mark.fault(56)
def test_row_56_any_column_may_hold_it_and_every_command_and_page_shows_the_row(
    start_tree: StartTree, database: Database
) -> None:
    database.queue.storage.ping()
    ids = {
        f"{column} {name}": write(database, **{column: value})
        for column in COLUMNS
        for name, value in VALUES.items()
        if not (column == "updated_at" and name == "empty")  # it is older than all that is kept
    }
    tree = start_tree(app=APP)
    problems = commands_that_fail(tree, ids.values())
    problems += calls_that_fail(database, ids.values())
    problems += pages_that_fail(database, ids.values())
    ran = ask(database, "list", "--json", "--limit", "1000")
    listed = {json.loads(line)["id"] for line in ran.stdout.splitlines() if is_json(line)}
    problems += [
        f"goque list --json leaves out the row with {name}" for name, one in ids.items() if one not in listed
    ]
    problems += errors_in(tree.log)
    database.execute("DELETE FROM goque_task")
    assert not problems, "\n".join(problems)


@pytest.mark.fault(56)
def test_row_56_due_tasks_with_such_texts_end_and_those_behind_them_run(
    start_tree: StartTree, database: Database
) -> None:
    database.queue.storage.ping()
    for column in ("payload", "errors", "metadata", "result", "external_id"):
        for value in VALUES.values():
            with contextlib.suppress(Exception):  # the second empty external id is taken
                write(database, **{column: value, "status": "'new'", "type": "'payloads'"})
    tree = start_tree(app=APP)
    database.enqueue("payloads", "behind")
    eventually(lambda: database.task("behind", "payloads").status == "done")
    left = "SELECT count(*) FROM goque_task WHERE status IN ('new', 'pending', 'processing')"
    eventually(lambda: database.execute(left) == [(0,)])
    assert errors_in(tree.log) == []


def is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True
