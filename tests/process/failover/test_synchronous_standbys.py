"""A synchronous standby that is away: nothing is answered as done before the standby has it, whoever asked."""

from __future__ import annotations

import asyncio
import subprocess
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from databases import Database
from replicated_databases import database_on
from replication import PostgresqlPair, ask_postgresql, pair_of
from tree import StartTree, eventually, python_command

from goque import AsyncTaskQueueManager, Task, TaskStatus
from goque.errors import DatabaseUnavailableError

AWAY = 12.0
"""Seconds: longer than every deadline of a client."""

CANCELED = "canceling wait for synchronous replication"
"""What the server says when a client calls off a statement that is committing; then it commits without the standby."""

APP = """
registry.processor("hold", workers=2, fetch_tick=0.1, timeout=300)(hold)
"""


@pytest.fixture(scope="module")
def module_pair() -> Iterator[PostgresqlPair]:
    with pair_of("postgresql", synchronous=True) as made:
        assert isinstance(made, PostgresqlPair)
        yield made


@pytest.fixture
def pair(module_pair: PostgresqlPair) -> Iterator[PostgresqlPair]:
    yield module_pair
    module_pair.standby.resume()
    module_pair.standby.wait_until_streaming()


@pytest.fixture
def database(pair: PostgresqlPair) -> Iterator[Database]:
    made = database_on(pair)
    yield made
    pair.standby.resume()
    made.drop()


class Call:
    """A call in a thread of its own, that may wait for long."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self._call = call
        self.answer: Any = None
        self.error: Exception | None = None
        self.is_over = threading.Event()
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        try:
            self.answer = self._call()
        except Exception as error:  # noqa: BLE001 - what it is, the test asks
            self.error = error
        self.is_over.set()

    @property
    def has_answered(self) -> bool:
        return self.is_over.is_set() and self.error is None


def enqueue_with_asyncio(database: Database, task: Task) -> Task:
    async def enqueue() -> Task:
        async with AsyncTaskQueueManager(database.url) as queue:
            return await queue.add_task(task)

    return asyncio.run(enqueue())


def enqueue_by_command(database: Database, task: Task) -> None:
    command = python_command("-m", "goque.cli", "enqueue", task.type, "{}", "--external-id", task.external_id)
    subprocess.run([*command, "--database-url", database.url], check=True, capture_output=True)


ENQUEUE: dict[str, Callable[[Database], Any]] = {
    "one": lambda database: database.queue.add_task(Task("sync", {}, external_id="t0")),
    "several": lambda database: database.enqueue("sync", *(f"t{n}" for n in range(3))),
    "thousands": lambda database: database.enqueue("sync", *(f"t{n}" for n in range(5000))),
    "with asyncio": lambda database: enqueue_with_asyncio(database, Task("sync", {}, external_id="t0")),
    "by the command": lambda database: enqueue_by_command(database, Task("sync", {}, external_id="t0")),
}


def on_standby(pair: PostgresqlPair, database: Database) -> list[tuple[str, str]]:
    schema = database.schema  # type: ignore[attr-defined] - it is one of PostgreSQL
    return ask_postgresql(pair.standby, f"SELECT external_id, status FROM {schema}.goque_task ORDER BY 1")


@pytest.mark.fault(44)
@pytest.mark.parametrize("how", sorted(ENQUEUE))
def test_row_44_an_enqueue_is_not_answered_as_done_before_the_standby_has_it(
    how: str, pair: PostgresqlPair, database: Database
) -> None:
    database.enqueue("sync", "before")
    seen = len(pair.primary.log)
    pair.standby.pause()
    call = Call(lambda: ENQUEUE[how](database))
    call.is_over.wait(AWAY)
    assert not call.has_answered, "it was answered as done while no standby had it"
    assert CANCELED not in pair.primary.log[seen:]
    pair.standby.resume()
    assert call.is_over.wait(10), "it still waits, though the standby is back"
    pair.wait_until_equal()
    if call.error is None:
        assert ("t0", "new") in on_standby(pair, database)
    elif how != "by the command":
        assert isinstance(call.error, DatabaseUnavailableError), call.error
    assert CANCELED not in pair.primary.log[seen:]


@pytest.mark.fault(44)
@pytest.mark.parametrize("act", ["cancel", "reset"])
def test_row_44_a_cancel_or_a_reset_tells_what_happened_and_not_before_the_standby_has_it(
    act: str, pair: PostgresqlPair, database: Database
) -> None:
    [task] = database.enqueue("sync", "one")
    if act == "reset":
        assert database.queue.cancel_task(task.id)
    wanted = TaskStatus.CANCELED if act == "cancel" else TaskStatus.NEW
    seen = len(pair.primary.log)
    pair.standby.pause()
    move = database.queue.cancel_task if act == "cancel" else database.queue.reset_attempts
    call = Call(lambda: move(task.id))
    call.is_over.wait(AWAY)
    assert not call.has_answered, "it was answered as done while no standby had it"
    pair.standby.resume()
    assert call.is_over.wait(10), "it still waits, though the standby is back"
    if call.error is None:
        assert call.answer is True or act == "reset", f"it did {act}, and answered {call.answer}"
        assert database.task("one").status == wanted
    else:
        assert isinstance(call.error, DatabaseUnavailableError), call.error
    assert CANCELED not in pair.primary.log[seen:]


@pytest.mark.fault(44)
def test_row_44_a_tree_settles_when_the_standby_is_back_and_calls_off_no_commit(
    pair: PostgresqlPair, start_tree: StartTree, database: Database
) -> None:
    tree = start_tree(app=APP)
    database.enqueue("hold", "one", "two")
    running = {name: tree.running_pid(name) for name in ("one", "two")}
    eventually(lambda: database.counts() == {"processing": 2})
    database.enqueue("hold", "three")
    seen = len(pair.primary.log)
    pair.standby.pause()
    tree.let_go("one", "three")
    threading.Event().wait(AWAY)  # that it lasts is what the test is about
    assert set(running.values()) <= set(tree.workers("hold"))
    assert CANCELED not in pair.primary.log[seen:]
    pair.standby.resume()
    tree.let_go("two")
    eventually(database.is_settled, within=10)
    assert {(task.status, task.attempts) for task in database.tasks()} == {("done", 0)}
    pair.wait_until_equal()
    assert on_standby(pair, database) == [("one", "done"), ("three", "done"), ("two", "done")]
    tree.assert_each_ran(1, ["one", "two", "three"])
    assert CANCELED not in pair.primary.log[seen:]
    assert "Traceback" not in tree.log


@pytest.mark.fault(44)
def test_row_44_what_was_answered_as_done_is_there_after_a_failover() -> None:
    """The case of the report: the primary dies while its standby is away, and the standby is promoted."""
    with pair_of("postgresql", synchronous=True) as pair:
        assert isinstance(pair, PostgresqlPair)
        database = database_on(pair)
        schema = database.schema  # type: ignore[attr-defined] - it is one of PostgreSQL
        database.enqueue("sync", "before")
        pair.standby.pause()
        calls = {name: Call(lambda name=name: database.enqueue("sync", name)) for name in ("a", "b", "c")}
        threading.Event().wait(AWAY)
        answered = {name for name, call in calls.items() if call.has_answered}
        pair.fail_over()
        there = {
            name for (name,) in ask_postgresql(pair.standby, f"SELECT external_id FROM {schema}.goque_task")
        }
        assert answered <= there, f"lost, though answered as done: {answered - there}"
        for call in calls.values():
            assert call.is_over.wait(60), "it waits for a primary that is dead"
        database.queue.close()
