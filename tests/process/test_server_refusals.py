"""Servers are full, read-only, locked or silent: trees wait, log one line, and go on."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator

import psycopg
import pymysql
import pytest
from databases import ON_SERVER, MysqlDatabase, PostgresqlDatabase, ServerDatabase, on_every_server
from private_servers import PrivateServer
from tree import StartTree, Tree, eventually

from goque.storage.mysql.url import connection_options

APP = """
options = dict(fetch_tick=0.1, next_attempt_at=retry.static(0.01), timeout=60)
registry.processor("hold", workers=1, **options)(hold)

@registry.processor("quick", workers=2, **options)
def quick(task: Task):
    with run_of(task):
        time.sleep(0.002)
"""


@pytest.fixture
def database(server: PrivateServer) -> Iterator[ServerDatabase]:
    """A database on a server of our own."""
    made = ON_SERVER[server.name](server.url)
    yield made
    server.repair()
    made.drop()


@pytest.fixture
def account_url(database: ServerDatabase) -> Iterator[str]:
    """The URL of an account that is nobody special; a test names it before its trees, so that it outlives them."""
    with database.account() as url:
        yield url


def assert_all_done_at_first_attempt(tree: Tree) -> None:
    tasks = tree.database.tasks()
    assert {(task.status, task.attempts, task.errors) for task in tasks} == {("done", 0, None)}
    tree.assert_each_ran(1, [task.external_id for task in tasks])
    assert "Traceback" not in tree.log


def start_with_a_running_task(start_tree: StartTree, database: ServerDatabase, url: str) -> Tree:
    tree = start_tree(app=APP, GOQUE_DATABASE_URL=url)
    database.enqueue("quick", "before")
    database.enqueue("hold", "long")
    tree.running_pid("long")
    eventually(lambda: database.counts() == {"done": 1, "processing": 1})
    return tree


def ended(tree: Tree, name: str) -> bool:
    return ["end", name] in [line[:2] for line in tree.journal()]


# -- no connection, no writes -------------------------------------------------------------------------------------


@on_every_server
@pytest.mark.fault(26)
def test_row_26_a_tree_that_gets_no_connection_says_so_and_goes_on_when_there_is_one(
    account_url: str, start_tree: StartTree, database: ServerDatabase
) -> None:
    tree = start_with_a_running_task(start_tree, database, account_url)
    with database.full(account_url):
        eventually(lambda: "has no free connection" in tree.log)
        tree.let_go("long")
        eventually(lambda: ended(tree, "long"))
    database.enqueue("quick", "after")
    eventually(database.is_settled)
    assert_all_done_at_first_attempt(tree)


@pytest.mark.parametrize("backend", ["postgresql"])
@pytest.mark.fault(26)
def test_row_26_results_wait_while_a_postgresql_is_a_standby_and_are_written_when_it_is_promoted(
    start_tree: StartTree, database: PostgresqlDatabase, server: PrivateServer
) -> None:
    tree = start_with_a_running_task(start_tree, database, database.url)
    server.stop()
    (server.data / "db" / "standby.signal").touch()
    server.start()
    eventually(lambda: "takes no writes (a standby" in tree.log)
    tree.let_go("long")
    eventually(lambda: ended(tree, "long"))
    assert database.counts() == {"done": 1, "processing": 1}
    database.on_server("SELECT pg_promote()")
    database.enqueue("quick", "after")
    eventually(database.is_settled)
    assert_all_done_at_first_attempt(tree)


@pytest.mark.parametrize("backend", ["mysql"])
@pytest.mark.fault(26)
def test_row_26_results_wait_while_a_mysql_is_read_only_and_are_written_when_it_takes_writes(
    account_url: str, start_tree: StartTree, database: MysqlDatabase
) -> None:
    tree = start_with_a_running_task(start_tree, database, account_url)
    database.on_server("SET GLOBAL read_only = 1")
    eventually(lambda: "takes no writes (read_only" in tree.log)
    tree.let_go("long")
    eventually(lambda: ended(tree, "long"))
    assert database.counts() == {"done": 1, "processing": 1}
    database.on_server("SET GLOBAL read_only = 0")
    database.enqueue("quick", "after")
    eventually(database.is_settled)
    assert_all_done_at_first_attempt(tree)


# -- others in the way --------------------------------------------------------------------------------------------


@on_every_server
@pytest.mark.fault(26)
def test_row_26_a_tree_waits_out_a_lock_on_all_its_tables_for_longer_than_it_waits_at_once(
    start_tree: StartTree, database: ServerDatabase
) -> None:
    tree = start_with_a_running_task(start_tree, database, database.url)
    with database.locked():
        tree.let_go("long")
        eventually(lambda: "the database is not available" in tree.log, within=20)
        assert ended(tree, "long")
    database.enqueue("quick", "after")
    eventually(database.is_settled, within=20)
    assert_all_done_at_first_attempt(tree)


@on_every_server
@pytest.mark.fault(26)
def test_row_26_deadlocks_with_another_writer_cost_no_attempt(
    start_tree: StartTree, database: ServerDatabase
) -> None:
    """The other writer locks what is claimed in the reverse of our order, a transaction after another.

    Whether the two meet within one batch is chance, so there are batches until they have met.
    """
    tree = start_tree("--types", "quick", app=APP)
    done = threading.Event()
    deadlocks: list[Exception] = []
    rival = threading.Thread(target=collide, args=(database, done, deadlocks))
    rival.start()
    try:
        for batch in range(40):
            database.enqueue("quick", *(f"t{batch}.{n}" for n in range(500)))
            eventually(database.is_settled, within=60)
            if deadlocks or "deadlock" in tree.log:
                break
    finally:
        done.set()
        rival.join()
    assert_all_done_at_first_attempt(tree)
    assert deadlocks or "deadlock" in tree.log, "nobody was in anybody's way"


def collide(database: ServerDatabase, done: threading.Event, deadlocks: list[Exception]) -> None:
    """Touch rows that are claimed or running, from the last to the first, until it is over."""
    touch = "UPDATE goque_task SET priority = priority WHERE id = '{}'"
    pick = "SELECT id FROM goque_task WHERE status IN ('pending', 'processing') ORDER BY id DESC LIMIT 20"
    with connect(database) as connection, contextlib.closing(connection.cursor()) as cursor:
        while not done.is_set():
            try:
                cursor.execute("BEGIN")
                cursor.execute(pick)
                for (task_id,) in cursor.fetchall():
                    cursor.execute(touch.format(task_id))
                cursor.execute("COMMIT")
            except (psycopg.errors.DeadlockDetected, pymysql.OperationalError) as error:
                deadlocks.append(error)
                cursor.execute("ROLLBACK")


def connect(database: ServerDatabase) -> contextlib.AbstractContextManager:
    if database.backend == "postgresql":
        return psycopg.connect(database.url, autocommit=True)
    return contextlib.closing(pymysql.connect(**connection_options(database.url), autocommit=True))


# -- silence ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["postgresql"])
@pytest.mark.fault(27)
def test_row_27_a_postgresql_backend_that_is_stopped_is_given_up_for_a_new_connection(
    start_tree: StartTree, database: PostgresqlDatabase
) -> None:
    tree = start_with_a_running_task(start_tree, database, database.url)
    stopped = database.backends(tree.ports("fetcher"))
    assert len(stopped) >= 2
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    database.enqueue("quick", "after")
    tree.let_go("long")
    eventually(lambda: database.counts() == {"done": 3}, within=15)
    for pid in stopped:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
    assert_all_done_at_first_attempt(tree)


@on_every_server
@pytest.mark.fault(27)
def test_row_27_a_server_that_falls_silent_is_asked_again_and_nothing_is_killed_for_it(
    start_tree: StartTree, database: ServerDatabase, server: PrivateServer
) -> None:
    tree = start_with_a_running_task(start_tree, database, database.url)
    fetchers = tree.pids("fetcher")
    server.pause()
    tree.let_go("long")
    eventually(lambda: ended(tree, "long"))
    eventually(lambda: "the database is not available" in tree.log, within=30)
    server.resume()
    database.enqueue("quick", "after")
    eventually(database.is_settled)
    assert_all_done_at_first_attempt(tree)
    assert tree.pids("fetcher") == fetchers
