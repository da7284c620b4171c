"""Steps of runs that have lost their claim, of transactions that are rolled back, over restarts and clock jumps."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from clock import Clock
from databases import Database, on_every_backend
from tree import StartTree, Tree, eventually

from goque import Task
from goque.task_row import TERMINAL_STATUSES

APP = """
import sqlite3
from urllib.parse import unquote, urlsplit

registry.pool("default", workers=2, min_workers=2, async_workers=1, fetch_tick=0.1)
options = dict(next_attempt_at=retry.static(0), timeout=60, timeout_grace=0.3, max_attempts=4, store_result=True)

def ran(task, name, value=None):
    note(f"{task.external_id} {name}")
    return value

@registry.processor("zombie", **options)
def zombie(task: Task):
    task.step("before", ran, task, "before")
    hold(task)
    try:
        task.step("after", ran, task, "after")
    except goque.TaskLost as error:
        note(f"{task.external_id} lost")
        raise
    task.step("last", ran, task, "last")

@registry.processor("naps", **options)
def naps(task: Task):
    note(f"{task.external_id} begins")
    task.sleep("nap", task.payload)
    return ran(task, "wakes")

@registry.processor("reports", **(options | {"next_attempt_at": retry.static(600)}))
def reports(task: Task):
    for page in range(10):
        task.progress(page / 10, "page")
    task.progress(0.9, "all written")
    match task.payload:
        case "raises": raise ValueError("after that")
        case "dies": os.kill(os.getpid(), signal.SIGKILL)
    task.wait_for("approved")

@registry.processor("many", **options)
async def many(task: Task):
    async def nothing():
        pass
    await asyncio.gather(*(task.astep(f"n{n}", nothing) for n in range(task.payload)))

def connect():
    url = urlsplit(os.environ["PAYS_URL"])
    if url.scheme == "sqlite":
        return sqlite3.connect(unquote(url.path[1:]), timeout=30)
    if url.scheme == "postgresql":
        import psycopg
        return psycopg.connect(os.environ["PAYS_URL"])
    from goque.storage.mysql.url import connection_options
    import pymysql
    options = connection_options(os.environ["PAYS_URL"])
    wanted = ("host", "port", "user", "password", "database")
    return pymysql.connect(**{key: options[key] for key in wanted if key in options})

@registry.processor("pays", **options)
def pays(task: Task):
    conn = connect()
    try:
        def charge(amount) -> int:
            note(f"{task.external_id} charged")
            conn.cursor().execute(f"INSERT INTO paid VALUES ({amount})")
            return amount
        paid = task.step("charge", charge, 7, conn=conn)
        match (task.payload, task.attempts):
            case ("rollback", 0):
                conn.rollback()
                raise ValueError("rolled back")
            case ("left open", 0):
                raise ValueError("and the transaction is open yet")
            case ("killed", 0):
                os.kill(os.getpid(), signal.SIGKILL)
        conn.commit()
        if task.payload == "after" and not task.attempts:
            os.kill(os.getpid(), signal.SIGKILL)
        return paid
    finally:
        if task.payload != "left open" or task.attempts:
            conn.close()
"""


@pytest.fixture
def clock(tmp_path: Path) -> Clock:
    return Clock(tmp_path)


def noted(tree: Tree, name: str) -> list[str]:
    """Return what the handlers of a task have written down, in order."""
    return [" ".join(line[1:]) for line in tree.journal() if line[0] == name]


def ended(database: Database, name: str, within: float = 30.0) -> Task:
    """Wait until a task has ended."""
    return eventually(
        lambda: task if (task := database.task(name)).status in TERMINAL_STATUSES else None, within=within
    )


def recorded(database: Database, name: str) -> list[str]:
    """Return the names of a task's recorded steps."""
    rows = database.queue.storage.steps_of(database.task(name).id, limit=100_000)
    return sorted(row.name for row in rows if row.kind == "step")


@on_every_backend
def test_a_node_that_was_frozen_records_nothing_any_more(start_tree: StartTree, database: Database) -> None:
    frozen = start_tree(app=APP, apart=True)
    database.enqueue("zombie", "doc")
    frozen.running_pid("doc")
    other = start_tree(apart=True)
    eventually(lambda: other.workers("default"))
    pids = list(frozen.living())
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    eventually(lambda: len(frozen.started("doc")) == 2, within=60)
    frozen.let_go("doc")
    done = ended(database, "doc")
    assert (done.status, recorded(database, "doc")) == ("done", ["after", "before", "last"])
    assert noted(frozen, "doc") == ["before", "after", "last"]
    for pid in pids:
        os.kill(pid, signal.SIGCONT)
    eventually(lambda: "lost" in noted(frozen, "doc"))
    assert noted(frozen, "doc").count("last") == 1
    frozen.forget_overlaps()


@on_every_backend
@pytest.mark.parametrize(
    ("payload", "charges"),
    [("fine", 1), ("rollback", 2), ("killed", 2), ("left open", 2), ("after", 1)],
)
def test_a_step_in_the_apps_transaction_is_recorded_with_it_or_not_at_all(
    start_tree: StartTree, database: Database, payload: str, charges: int
) -> None:
    tree = start_tree(app=APP, PAYS_URL=database.url)
    database.execute("CREATE TABLE paid (amount INTEGER)")
    database.enqueue("pays", "doc", payload=payload)
    done = ended(database, "doc")
    assert (done.status, done.result, done.attempts) == ("done", 7, 0 if payload == "fine" else 1)
    assert database.execute("SELECT amount FROM paid") == [(7,)]
    assert noted(tree, "doc") == ["charged"] * charges
    assert recorded(database, "doc") == ["charge"]


@on_every_backend
@pytest.mark.parametrize("ends", ["waits", "raises", "dies"])
def test_the_last_progress_of_a_run_that_is_not_done_is_written(
    start_tree: StartTree, database: Database, ends: str
) -> None:
    start_tree(app=APP)
    [task] = database.enqueue("reports", "doc", payload=ends)
    eventually(lambda: database.task("doc").claims == 1 and not database.task("doc").claimed_by)
    rows = database.queue.storage.steps_of(task.id)
    assert [row.value for row in rows if row.kind == "progress"] == ['{"fraction":0.9,"note":"all written"}']


@on_every_backend
def test_a_sleep_lasts_over_a_restart_of_the_tree(start_tree: StartTree, database: Database) -> None:
    tree = start_tree(app=APP)
    database.enqueue("naps", "short", payload=2)
    database.enqueue("naps", "long", payload=3600)
    eventually(lambda: noted(tree, "short") and noted(tree, "long"))
    eventually(lambda: database.counts() == {"new": 2})
    tree.kill_root()
    eventually(tree.is_gone)
    again = start_tree()
    assert ended(database, "short").attempts == 0
    assert noted(again, "short") == ["begins", "begins", "wakes"]
    assert noted(again, "long") == ["begins"]


@on_every_backend
def test_a_nodes_clock_that_jumps_changes_no_sleep(
    start_tree: StartTree, database: Database, clock: Clock, backend: str
) -> None:
    if backend == "sqlite":
        clock.set(0)  # the database's clock is that of the processes which use it: nothing to tell apart
    tree = start_tree(app=APP, **clock.environment)
    database.enqueue("naps", "long", payload=1800)
    database.enqueue("naps", "short", payload=1)
    eventually(lambda: noted(tree, "long"))
    if backend != "sqlite":
        clock.set(3600)
    assert ended(database, "short").status == "done"
    assert noted(tree, "long") == ["begins"]
    assert database.task("long").status == "new"


@on_every_backend
def test_ten_thousand_steps_of_coroutines_wait_their_turn(start_tree: StartTree, database: Database) -> None:
    start_tree(app=APP)
    database.enqueue("many", "doc", payload=10_000)
    assert ended(database, "doc", within=60).status == "done"
    assert len(recorded(database, "doc")) == 10_000
