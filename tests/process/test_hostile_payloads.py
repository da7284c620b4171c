"""Documents that reached the table behind goque's back: their attempts fail in one line, and nobody else notices."""

from __future__ import annotations

from typing import Any

import pytest
from databases import Database, on_every_server
from tree import StartTree, eventually

APP = """
import msgspec

class Order(msgspec.Struct):
    number: int

options = dict(workers=1, fetch_tick=0.1, next_attempt_at=retry.static(0), max_attempts=2)

@registry.processor("order", **options)
def order(order: Order):
    pass

@registry.processor("strict", cancel_on_decode_error=True, **options)
def strict(order: Order):
    pass

@registry.processor("look", **options)
def look(task: Task):
    note("looked", task.external_id, type(task.payload).__name__)

@registry.processor("fine", **options)
def fine(task: Task):
    with run_of(task):
        pass
"""
DEEP = "[" * 10_000 + "]" * 10_000
LONG = '{"number": "' + "x" * 17_000_000 + '"}'  # more than goque ever takes
NO_JSON = {
    "no-json": "{'a': 1}",
    "empty": "",
    "cut": '{"number": 1',
    "nul": '{"number": "\x00"}',
    "surrogate": '"\\ud800"',
}
JSON = {"deep": DEEP, "infinite": '{"number": 1e400}', "long": LONG}
ON_SERVERS = {
    "postgresql": {
        "deep": "[" * 2000 + "]" * 2000,  # deeper ones are over its max_stack_depth
        "tiny": '{"number": 1e-400}',
        "long": LONG,
    },
    "mysql": {
        "infinite": '{"number": 1e400}',
        "no-json": '{"number": 1e}',
        "nul": r'{"number": "\\u0000"}',
        "long": LONG[:15_000_000] + '"}',  # longer ones are over its max_allowed_packet
    },
}
"""Documents that are no Order, and that a server takes for JSON; MySQL is stricter than MariaDB."""


def smuggle(database: Database, task_type: str, payloads: dict[str, str]) -> None:
    """Write payloads as some other program might, into tasks that were not due before."""
    for name in payloads:
        database.enqueue(task_type, f"{task_type}-{name}", delay=3600)
    for name, payload in payloads.items():
        database.write_payload(f"{task_type}-{name}", payload)
    database.execute("UPDATE goque_task SET next_attempt_at = created_at")


def see_that_they_fail(tree: Any, payloads: dict[str, str]) -> None:
    database = tree.database
    for task_type in ("order", "strict", "look"):
        smuggle(database, task_type, payloads)
    database.enqueue("fine", *(f"f{n}" for n in range(20)))
    fetchers = tree.pids("fetcher")
    eventually(lambda: database.counts("fine") == {"done": 20}, within=60)  # SQLite writes all of a row anew
    eventually(database.is_settled, within=60)
    assert database.counts("order") == {"attempts_left": len(payloads)}
    assert database.counts("strict") == {"canceled": len(payloads)}
    for task in database.tasks("order"):
        lines = (task.errors or "").splitlines()
        assert [line.partition(":")[0] for line in lines] == ["attempt 1", "attempt 2"]
        assert all(len(line) < 600 for line in lines)
    assert tree.pids("fetcher") == fetchers
    assert "Traceback" not in tree.log


@pytest.mark.fault(34)
def test_a_sqlite_file_may_hold_anything_and_it_fails_as_an_attempt(
    start_tree: StartTree, database: Database
) -> None:
    tree = start_tree(app=APP)
    eventually(lambda: len(tree.pids("fetcher")) == 4)
    see_that_they_fail(tree, NO_JSON | JSON)
    assert database.counts("look").get("processing", 0) == 0


@on_every_server
@pytest.mark.fault(34)
def test_documents_that_a_server_takes_and_python_does_not_fail_as_an_attempt(
    start_tree: StartTree, database: Database, backend: str
) -> None:
    tree = start_tree(app=APP)
    eventually(lambda: len(tree.pids("fetcher")) == 4)
    payloads = ON_SERVERS[backend]
    if backend == "mysql":
        valid = "SELECT JSON_VALID('{}')"
        payloads = {
            name: text for name, text in payloads.items() if database.execute(valid.format(text)) == [(1,)]
        }
    see_that_they_fail(tree, payloads)
