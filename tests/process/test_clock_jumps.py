"""Clocks that jump an hour, there and back, on a node and on the database: nothing that lives is healed for it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from clock import Clock
from databases import ON_SERVER, Database, make_database, on_every_backend, on_every_server
from private_servers import STOP_FAST, PrivateServer
from tree import StartTree, Tree, eventually

HOUR = 3600
APP = """
options = dict(fetch_tick=0.1, next_attempt_at=retry.static(0.01), timeout=60)
registry.processor("hold", workers=2, **options)(hold)

@registry.processor("quick", workers=1, **options)
def quick(task: Task):
    with run_of(task):
        pass
"""


@pytest.fixture
def clock() -> Iterator[Clock]:
    if shutil.which("cc") is None and not os.environ.get("CI"):
        pytest.skip("NO C COMPILER, install one: the clock is moved by a few words of C")
    with tempfile.TemporaryDirectory(prefix="goque-clock-") as directory:
        yield Clock(Path(directory))


@pytest.fixture
def database(request: pytest.FixtureRequest, backend: str, tmp_path: Path) -> Iterator[Database]:
    """A database; where a test moves its clock, on a server of our own that runs by it."""
    if "server" not in request.fixturenames:
        made = make_database(backend, tmp_path)
        yield made
        made.drop()
        return
    clock, server = request.getfixturevalue("clock"), request.getfixturevalue("server")
    server.stop()
    server.start(**clock.environment)
    on_server = ON_SERVER[backend](server.url)
    yield on_server
    on_server.drop()
    clock.set(0)
    server.restart(STOP_FAST[backend])


def start_with_running_tasks(start_tree: StartTree, database: Database, **first: str) -> list[Tree]:
    """Start two nodes with a running task or two, and a task that is due in half an hour."""
    trees = [start_tree(app=APP, apart=True, **first), start_tree(apart=True, **first)]
    for tree in trees:
        eventually(lambda tree=tree: "up as pid" in tree.log)
    database.enqueue("hold", "one", "two", "three")
    for name in ("one", "two", "three"):
        trees[0].running_pid(name)
    eventually(lambda: database.counts() == {"processing": 3})
    return trees


def beats(database: Database) -> dict[str, int]:
    return dict(database.execute("SELECT id, seq FROM goque_node WHERE state = 'alive'"))


def assert_nothing_is_healed(trees: list[Tree], database: Database) -> None:
    """Watch both nodes beat for longer than the node timeout, in which whoever seems dead would be healed."""
    before = beats(database)
    assert len(before) == 2
    eventually(lambda: all(seq > before[node] + 8 for node, seq in beats(database).items()), within=20)
    assert beats(database).keys() == before.keys()
    assert database.counts("hold") == {"processing": 3}
    for tree in trees:
        assert "has sent no heartbeat" not in tree.log


def finish(trees: list[Tree], database: Database) -> None:
    trees[0].let_go("one", "two", "three")
    eventually(lambda: database.counts("hold") == {"done": 3})
    names = [task.external_id for task in database.tasks() if task.external_id != "later"]
    assert {(task.attempts, task.errors) for task in database.tasks()} == {(0, None)}
    trees[0].assert_each_ran(1, names)


@on_every_backend
@pytest.mark.fault(31)
def test_row_31_when_the_clock_of_the_nodes_jumps_an_hour_nothing_that_lives_is_healed(
    clock: Clock, start_tree: StartTree, database: Database
) -> None:
    """On SQLite the clock of the nodes is the database's, and what is due follows it; elsewhere it does not."""
    trees = start_with_running_tasks(start_tree, database, **clock.environment)
    database.enqueue("quick", "later", delay=HOUR / 2)
    clock.set(HOUR)
    assert_nothing_is_healed(trees, database)
    assert database.task("later").status == ("done" if database.backend == "sqlite" else "new")
    clock.set(-HOUR)
    assert_nothing_is_healed(trees, database)
    clock.set(0)
    database.enqueue("quick", "now")
    eventually(lambda: database.task("now").status == "done")
    finish(trees, database)


@on_every_server
@pytest.mark.fault(31)
def test_row_31_when_the_clock_of_the_database_jumps_an_hour_what_is_due_follows_and_nothing_is_healed(
    clock: Clock, server: PrivateServer, start_tree: StartTree, database: Database
) -> None:
    trees = start_with_running_tasks(start_tree, database)
    database.enqueue("quick", "later", delay=HOUR / 2)
    clock.set(HOUR)
    eventually(lambda: database.task("later").status == "done")
    assert_nothing_is_healed(trees, database)
    database.enqueue("quick", "an-hour-ahead")
    eventually(lambda: database.task("an-hour-ahead").status == "done")
    clock.set(-HOUR)
    assert_nothing_is_healed(trees, database)
    database.enqueue("quick", "an-hour-ago")
    eventually(lambda: database.task("an-hour-ago").status == "done")
    clock.set(0)
    finish(trees, database)
