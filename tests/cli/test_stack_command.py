"""`goque stack`: the stack of a running task, for people and as JSON, and one line where there is none."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from stack_node import answering, begin

from goque.storage import open_storage
from goque.storage.contract import TaskStorage

UNKNOWN = "01a20b6d-f9ad-7bbd-861b-dbe0c9408260"


@pytest.fixture
def storage(goque: Any) -> Iterator[TaskStorage]:
    made = open_storage(goque.url)
    made.migrate()
    yield made
    made.close()


def test_it_prints_the_stack_as_a_traceback_does(goque: Any, storage: TaskStorage) -> None:
    row = begin(storage, external_id="order-7")
    with answering(goque.url) as asked:
        by_id = goque("stack", row.id).stdout
        by_external_id = goque("stack", "order-7", "--type", "resize").stdout
    assert asked == [row.id, row.id]
    assert by_id == by_external_id
    assert by_id.splitlines() == [
        f"task {row.id} (resize), attempt 1, running for 12.3 s in step page-3",
        "node node-1 on web-1, worker pid 4711",
        "the stack of its thread, most recent call last:",
        '  File "/srv/app/tasks.py", line 12, in resize',
        "    image = load(path)",
        r'  File "/srv/app/<b>evil\x1b[31m.py", line 3, in load',
    ]


def test_it_prints_json(goque: Any, storage: TaskStorage) -> None:
    row = begin(storage)
    with answering(goque.url):
        printed = json.loads(goque("stack", row.id, "--json").stdout)
    assert printed["task_id"] == row.id
    assert printed["host"] == "web-1"
    assert printed["frames"][0] == {
        "file": "/srv/app/tasks.py",
        "line": 12,
        "function": "resize",
        "code": "image = load(path)",
    }


def test_a_task_that_does_not_run_is_one_line_and_exit_code_1(goque: Any, storage: TaskStorage) -> None:
    row = begin(storage)
    storage.cancel_unless_finished(row.id)
    assert goque("stack", row.id, code=1).stderr == f"goque: task {row.id} does not run: it is canceled\n"
    said = goque("stack", UNKNOWN, code=1).stderr
    assert said.startswith(f"goque: no task has the id or external id '{UNKNOWN}'")
    assert said.count("\n") == 1


def test_a_node_that_does_not_answer_is_one_line_and_exit_code_1(goque: Any, storage: TaskStorage) -> None:
    row = begin(storage)
    said = goque("stack", row.id, code=1).stderr
    assert said.startswith(f"goque: the node of task {row.id} has not answered within 3 s: node-1 on web-1")
    assert said.count("\n") == 1
