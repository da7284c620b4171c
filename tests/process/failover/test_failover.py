"""A primary that dies and a standby that takes its place: trees go on, with several hosts in the URL or by a proxy."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator

import pytest
from databases import Database, PostgresqlDatabase, on_every_server
from haproxy import Haproxy, haproxy
from replicated_databases import database_on
from replication import Pair, PostgresqlPair, ask_mysql, ask_postgresql, pair_of
from tree import StartTree, Tree, eventually

from goque import TaskQueueManager

APP = """
options = dict(next_attempt_at=retry.static(0.01), timeout=300)
registry.processor("hold", workers=2, fetch_tick=0.1, **options)(hold)

@registry.processor("rare", workers=1, fetch_tick=30, **options)
def rare(task: Task):
    note("rare", task.external_id, time.time())

@registry.processor("quick", workers=2, fetch_tick=0.1, **options)
def quick(task: Task):
    with run_of(task):
        time.sleep(0.002)
"""
TICK = 30.0
"""Seconds after which a fetcher of `rare` asks, if nobody tells it."""


@pytest.fixture
def pair(backend: str) -> Iterator[Pair]:
    with pair_of(backend, synchronous=backend == "postgresql") as made:
        yield made


@pytest.fixture
def database(pair: Pair) -> Iterator[Database]:
    made = database_on(pair)
    yield made
    made.queue.close()


def processes_of(tree: Tree) -> dict[str, list[int]]:
    return tree.actors() | {"workers": tree.workers("hold")}


def seconds_to_start(tree: Tree, name: str) -> float:
    """Enqueue a task of a type that asks every 30 s only, and return after how long it ran."""
    with TaskQueueManager(tree.database.url) as queue:
        queue.storage.ping()
        began = time.time()
        queue.enqueue("rare", {}, external_id=name)
    line = eventually(lambda: [line for line in tree.journal() if line[:2] == ["rare", name]], within=40)[0]
    return float(line[2]) - began


def assert_it_is_told_of_new_work(tree: Tree, within: float = 40.0) -> None:
    """See that starts are soon as quick as before: its listener has followed, and most take milliseconds."""
    numbers = itertools.count()
    eventually(lambda: seconds_to_start(tree, f"soon{next(numbers)}") < 0.3, within=within + TICK)
    assert sorted(seconds_to_start(tree, f"quickly{n}") for n in range(5))[2] < 0.3, (
        "the listener stayed behind"
    )


def start_two(start_tree: StartTree, database: Database, **env: str) -> list[Tree]:
    trees = [start_tree(app=APP, apart=True, **env), start_tree(apart=True, **env)]
    for tree in trees:
        eventually(lambda tree=tree: "up as pid" in tree.log)
        eventually(lambda tree=tree: len(tree.pids("fetcher")) == 3)
    eventually(lambda: len(database.execute("SELECT id FROM goque_node WHERE state = 'alive'")) == 2)
    return trees


def make_durable(pair: Pair) -> None:
    """Without a synchronous standby, let the replica have what the test does not mean to lose."""
    if not isinstance(pair, PostgresqlPair):
        pair.wait_until_equal()


@on_every_server
@pytest.mark.fault(46)
@pytest.mark.timeout(240)
def test_row_46_trees_with_a_url_of_several_hosts_outlive_the_primary(
    pair: Pair, start_tree: StartTree, database: Database
) -> None:
    trees = start_two(start_tree, database)
    assert seconds_to_start(trees[0], "before") < 3
    database.enqueue("hold", "one", "two")
    for name in ("one", "two"):
        trees[0].running_pid(name)
    eventually(lambda: database.counts("hold") == {"processing": 2})
    make_durable(pair)
    processes = [processes_of(tree) for tree in trees]
    trees[0].let_go("one")
    pair.fail_over()
    promoted = time.monotonic()
    database.enqueue("quick", "after")
    eventually(lambda: database.task("after").status == "done", within=5)
    eventually(lambda: database.task("one").status == "done", within=promoted + 20 - time.monotonic())
    trees[0].let_go("two")
    eventually(database.is_settled, within=20)
    assert_it_is_told_of_new_work(trees[0])
    assert [processes_of(tree) for tree in trees] == processes
    assert {(task.status, task.attempts) for task in database.tasks()} == {("done", 0)}
    for tree in trees:
        assert "Traceback" not in tree.log


@on_every_server
@pytest.mark.fault(46)
@pytest.mark.timeout(240)
def test_row_46_an_old_primary_that_comes_back_without_writes_is_not_used(
    pair: Pair, start_tree: StartTree, database: Database
) -> None:
    trees = start_two(start_tree, database)
    make_durable(pair)
    processes = [processes_of(tree) for tree in trees]
    pair.fail_over()
    database.enqueue("quick", "one")
    eventually(lambda: database.task("one").status == "done", within=20)
    pair.bring_old_primary_back()
    database.kill_connections()
    database.enqueue("quick", "two")
    eventually(lambda: database.task("two").status == "done", within=10)
    threading.Event().wait(3)
    assert [processes_of(tree) for tree in trees] == processes
    fresh = start_tree(apart=True)
    eventually(lambda: "up as pid" in fresh.log)
    for tree in trees:
        assert "Traceback" not in tree.log


@on_every_server
@pytest.mark.fault(46)
@pytest.mark.timeout(240)
def test_row_46_a_primary_that_stops_taking_writes_under_open_connections_is_left(
    pair: Pair, start_tree: StartTree, database: Database
) -> None:
    trees = start_two(start_tree, database)
    make_durable(pair)
    processes = [processes_of(tree) for tree in trees]
    demote_in_place(pair)
    database.enqueue("quick", "one")
    eventually(lambda: database.task("one").status == "done", within=20)
    assert_it_is_told_of_new_work(trees[0])
    assert [processes_of(tree) for tree in trees] == processes


def demote_in_place(pair: Pair) -> None:
    """Let the standby take writes, and the primary none any more, with all its sessions."""
    if isinstance(pair, PostgresqlPair):
        pair.set_on_primary("default_transaction_read_only", "on")
        pair.standby.promote()
    else:
        pair.cut_off()
        ask_mysql(pair.primary, "SET GLOBAL read_only = 1")
        ask_mysql(pair.standby, "SET GLOBAL read_only = 0")
    pair.current = pair.standby


# -- through haproxy ------------------------------------------------------------------------------------------------


class TestThroughHaproxy:
    """One address in the URL, behind which the primary changes."""

    @pytest.fixture
    def backend(self) -> str:
        return "postgresql"

    @pytest.fixture
    def proxy(self, request: pytest.FixtureRequest, pair: Pair) -> Iterator[Haproxy]:
        with haproxy(pair.primary.port, pair.standby.port, cuts_sessions=request.param) as made:
            yield made

    @pytest.fixture
    def database(self, proxy: Haproxy) -> Iterator[Database]:
        made = PostgresqlDatabase(f"postgresql://postgres@127.0.0.1:{proxy.port}/postgres")
        yield made
        made.queue.close()

    @pytest.mark.parametrize("proxy", [True], indirect=True)
    @pytest.mark.fault(46)
    @pytest.mark.timeout(240)
    def test_row_46_the_primary_dies(
        self, pair: Pair, proxy: Haproxy, start_tree: StartTree, database: Database
    ) -> None:
        del proxy
        trees = start_two(start_tree, database)
        processes = [processes_of(tree) for tree in trees]
        pair.fail_over()
        eventually(lambda: can_enqueue(database, "one"), within=5)
        eventually(lambda: status_of(database, "one") == "done", within=10)
        assert_it_is_told_of_new_work(trees[0])
        assert [processes_of(tree) for tree in trees] == processes

    @pytest.mark.parametrize("proxy", [False], indirect=True)
    @pytest.mark.fault(46)
    @pytest.mark.timeout(240)
    def test_row_46_sessions_are_kept_to_a_primary_that_takes_no_writes_any_more(
        self, pair: Pair, proxy: Haproxy, start_tree: StartTree, database: Database
    ) -> None:
        assert isinstance(pair, PostgresqlPair)
        trees = start_two(start_tree, database)
        assert seconds_to_start(trees[0], "before") < 3
        processes = [processes_of(tree) for tree in trees]
        demote_in_place(pair)
        proxy.use("second")
        eventually(lambda: can_enqueue(database, "one"), within=5)
        eventually(lambda: status_of(database, "one") == "done", within=10)
        assert_it_is_told_of_new_work(trees[0])
        assert [processes_of(tree) for tree in trees] == processes

    @pytest.mark.parametrize("proxy", [False], indirect=True)
    @pytest.mark.fault(46)
    @pytest.mark.timeout(240)
    def test_row_46_sessions_are_kept_to_a_primary_that_is_frozen(
        self, pair: Pair, proxy: Haproxy, start_tree: StartTree, database: Database
    ) -> None:
        trees = start_two(start_tree, database)
        processes = [processes_of(tree) for tree in trees]
        pair.primary.pause()
        ask_postgresql(pair.standby, "SELECT pg_promote(wait => true)")
        pair.current = pair.standby
        proxy.use("second")
        eventually(lambda: can_enqueue(database, "one"), within=20)
        eventually(lambda: status_of(database, "one") == "done", within=20)
        assert_it_is_told_of_new_work(trees[0])
        assert [processes_of(tree) for tree in trees] == processes


def status_of(database: Database, name: str) -> str:
    """Read a status by a connection of its own: the test's manager may have kept one to the old primary."""
    [(status,)] = database.execute(f"SELECT status FROM goque_task WHERE external_id = '{name}'")
    return str(status)


def can_enqueue(database: Database, name: str) -> bool:
    """Whether a new process could enqueue now: the test's own connection may be to the old primary."""
    try:
        with TaskQueueManager(database.url) as queue:
            queue.enqueue("quick", {}, external_id=name)
    except Exception:  # noqa: BLE001 - the address may lead nowhere yet
        return False
    return True
