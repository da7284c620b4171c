"""A tree with --drain ends with exit code 0 when no task is due, and neither earlier nor never."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time

import psycopg
import pytest
from databases import Database, PostgresqlDatabase
from tree import StartTree, eventually, write_app

APP = """
def report(failure):
    time.sleep(0.3)
    done.enqueue({}, external_id="follows")

registry = Registry(on_failure=report)

@registry.processor("fails", max_attempts=1)
def fails(task: Task):
    raise ValueError("oops")

@registry.processor("done")
def done(task: Task):
    with run_of(task):
        pass
"""


def test_tasks_that_on_failure_enqueues_are_run(start_tree: StartTree, database: Database) -> None:
    database.enqueue("fails", "first")
    tree = start_tree("--drain", app=APP)
    assert tree.wait() == 0
    assert database.task("follows").status == "done"


def test_tasks_that_the_crash_handler_of_an_idle_worker_enqueues_are_run(
    start_tree: StartTree, database: Database
) -> None:
    app = """
def on_crash(crash):
    time.sleep(0.5)
    quick.enqueue({}, external_id="follows")

@registry.processor("hold", workers=1, crash_handler=on_crash)
def unused(task: Task):
    pass

@registry.processor("quick")
def quick(task: Task):
    with run_of(task):
        pass

registry.processor("other")(hold)
"""
    database.enqueue("other", "long")
    tree = start_tree("--drain", app=app)
    tree.running_pid("long")
    (idle,) = tree.workers("hold")
    os.kill(idle, signal.SIGSEGV)
    eventually(lambda: "while it was idle" in tree.log)
    tree.let_go("long")
    assert tree.wait() == 0
    assert database.task("follows").status == "done"


@pytest.mark.parametrize("backend", ["postgresql"])
@pytest.mark.parametrize("types", ["done", "done,fails"])
def test_a_due_task_that_another_transaction_has_locked_is_waited_for(
    start_tree: StartTree, database: PostgresqlDatabase, types: str
) -> None:
    database.enqueue("done", "locked")
    with psycopg.connect(database.server, options=f"-csearch_path={database.schema}") as connection:
        connection.execute("SELECT id FROM goque_task FOR UPDATE")
        tree = start_tree("--drain", "--types", types, app=APP)
        eventually(lambda: "supervisor up" in tree.log)
        with contextlib.suppress(subprocess.TimeoutExpired):
            tree.wait(within=1.5)
        connection.rollback()
    assert tree.wait() == 0
    assert database.task("locked").status == "done"


def test_a_reload_that_removes_the_last_busy_pool_does_not_keep_the_tree_up(
    start_tree: StartTree, database: Database
) -> None:
    shared = 'registry.processor("done")(hold)\n'
    database.enqueue("hold", "long")
    tree = start_tree("--drain", app=f'{shared}registry.processor("hold", workers=1)(hold)\n')
    tree.running_pid("long")
    write_app(tree.directory, shared)
    tree.signal(signal.SIGHUP)
    eventually(lambda: "is replaced: reload" in tree.log)
    time.sleep(1)  # until the pool that stays has nothing more to say
    tree.let_go("long")
    assert tree.wait() == 0
