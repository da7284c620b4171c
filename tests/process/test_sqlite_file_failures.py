"""A SQLite file under a running tree: locked for long, its writer killed, the file deleted or replaced."""

from __future__ import annotations

import contextlib
import signal
import sqlite3
import subprocess
import sys
import threading

import pytest
from databases import SqliteDatabase
from tree import StartTree, Tree, eventually

APP = """
options = dict(fetch_tick=0.1, next_attempt_at=retry.static(0.01), timeout=60)
registry.processor("hold", workers=1, **options)(hold)

@registry.processor("quick", workers=2, **options)
def quick(task: Task):
    with run_of(task):
        time.sleep(0.002)
"""
WRITER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
connection.execute("UPDATE goque_task SET attempts = 99, status = 'canceled'")
print("locked", flush=True)
sys.stdin.read()
"""


def start_with_a_running_task(start_tree: StartTree, database: SqliteDatabase) -> Tree:
    tree = start_tree(app=APP)
    database.enqueue("hold", "long")
    tree.running_pid("long")
    database.enqueue("quick", "before")
    eventually(lambda: database.counts() == {"done": 1, "processing": 1})
    return tree


def assert_all_done_at_first_attempt(tree: Tree) -> None:
    tasks = tree.database.tasks()
    assert {(task.status, task.attempts, task.errors) for task in tasks} == {("done", 0, None)}
    tree.assert_each_ran(1, [task.external_id for task in tasks])


def assert_integrity(database: SqliteDatabase) -> None:
    assert database.execute("PRAGMA integrity_check") == [("ok",)]


@pytest.mark.fault(30)
def test_row_30_a_tree_waits_while_another_writer_locks_the_file_for_ten_seconds(
    start_tree: StartTree, database: SqliteDatabase
) -> None:
    tree = start_with_a_running_task(start_tree, database)
    with database.locked():
        tree.let_go("long")
        eventually(lambda: ["end", "long"] in [line[:2] for line in tree.journal()])
        threading.Event().wait(10)  # how long it is locked is what the test is about
        assert database.counts() == {"done": 1, "processing": 1}
    database.enqueue("quick", "after")
    eventually(database.is_settled)
    assert_all_done_at_first_attempt(tree)
    assert "is locked by another writer" in tree.log
    assert "has sent no heartbeat" not in tree.log
    assert_integrity(database)


@pytest.mark.fault(30)
def test_row_30_a_writer_killed_amid_its_transaction_leaves_nothing_of_it(
    start_tree: StartTree, database: SqliteDatabase
) -> None:
    tree = start_with_a_running_task(start_tree, database)
    database.enqueue("quick", *(f"q{n}" for n in range(50)), delay=3600)
    for _ in range(3):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(database.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        with writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"locked\n"
            writer.send_signal(signal.SIGKILL)
    tree.let_go("long")
    eventually(lambda: database.counts("hold") == {"done": 1})
    database.enqueue("quick", "after")
    eventually(lambda: database.task("after").status == "done")
    assert {task.attempts for task in database.tasks()} == {0}
    assert database.counts("quick") == {"done": 2, "new": 50}
    assert_integrity(database)


@pytest.mark.fault(30)
@pytest.mark.parametrize("how", ["deleted", "replaced"])
def test_row_30_a_file_that_is_gone_is_said_so_and_gone_on_with_when_it_is_restored(
    start_tree: StartTree, database: SqliteDatabase, how: str
) -> None:
    tree = start_with_a_running_task(start_tree, database)
    files = list(database.path.parent.glob("goque.db*"))
    aside = database.path.parent / "aside"
    aside.mkdir()
    for path in files:
        path.rename(aside / path.name)
    if how == "replaced":
        with contextlib.closing(sqlite3.connect(database.path)) as connection:
            connection.execute("CREATE TABLE something_else (id INTEGER)")
            connection.commit()
    eventually(lambda: "was deleted or replaced while it was open" in tree.log)
    tree.let_go("long")
    eventually(lambda: ["end", "long"] in [line[:2] for line in tree.journal()])
    if how == "replaced":
        with contextlib.closing(sqlite3.connect(database.path)) as connection:
            tables = connection.execute("SELECT name FROM sqlite_master").fetchall()
        assert tables == [("something_else",)], "a stranger's file was written to"
        database.path.unlink()
    for path in aside.iterdir():
        path.rename(database.path.parent / path.name)
    database.enqueue("quick", "after")
    eventually(database.is_settled)
    assert_all_done_at_first_attempt(tree)
    assert_integrity(database)
