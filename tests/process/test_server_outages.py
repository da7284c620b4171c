"""Database servers that are cut, killed, restarted and down for long: results wait, nothing is lost or done twice."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator

import pytest
from databases import ON_SERVER, Database, PostgresqlDatabase, on_every_server
from private_servers import STOP_AT_ONCE, STOP_FAST, PrivateServer
from tree import StartTree, Tree, eventually

APP = """
options = dict(fetch_tick=0.1, next_attempt_at=retry.static(0.01), timeout=300)
registry.processor("hold", workers=2, min_workers=2, **options)(hold)

@registry.processor("quick", workers=2, min_workers=2, **options)
def quick(task: Task):
    with run_of(task):
        time.sleep(0.002)
"""


@pytest.fixture
def database(server: PrivateServer) -> Iterator[Database]:
    """A database on a server of our own."""
    made = ON_SERVER[server.name](server.url)
    yield made
    server.repair()
    made.drop()


def assert_all_done_at_first_attempt(tree: Tree) -> None:
    tasks = tree.database.tasks()
    assert {(task.status, task.attempts, task.errors) for task in tasks} == {("done", 0, None)}
    tree.assert_each_ran(1, [task.external_id for task in tasks])


def load(tree: Tree, rounds: int, number: int = 300) -> Iterator[None]:
    """Enqueue tasks so many times, and yield each time while they are being run."""
    for n in range(rounds):
        before = len(tree.journal())
        tree.database.enqueue("quick", *(f"r{n}-{m}" for m in range(number)))
        eventually(lambda: len(tree.journal()) > before + number / 3, within=20)  # noqa: B023 - called at once
        yield


# -- cut and restarted --------------------------------------------------------------------------------------------


@on_every_server
@pytest.mark.fault(23)
def test_row_23_connections_killed_over_and_over_under_load_have_no_effect_twice(
    start_tree: StartTree, database: Database
) -> None:
    tree = start_tree("--types", "quick", app=APP)
    for _ in load(tree, rounds=6):
        database.kill_connections()
    eventually(database.is_settled, within=30)
    assert_all_done_at_first_attempt(tree)


@pytest.mark.parametrize("backend", ["postgresql"])
@pytest.mark.fault(23)
def test_row_23_a_postgresql_backend_that_is_killed_cuts_all_clients_and_costs_nothing(
    start_tree: StartTree, database: PostgresqlDatabase, server: PrivateServer
) -> None:
    tree = start_tree("--types", "quick", app=APP)
    for _ in load(tree, rounds=3):
        starts = server.log.count("ready to accept connections")
        os.kill(eventually(lambda: database.backends(tree.ports("fetcher")))[0], signal.SIGKILL)
        eventually(lambda: server.log.count("ready to accept connections") > starts)  # noqa: B023 - called at once
    eventually(database.is_settled, within=30)
    assert_all_done_at_first_attempt(tree)


@on_every_server
@pytest.mark.parametrize("how", ["fast", "immediate"])
@pytest.mark.fault(23)
def test_row_23_a_server_restarted_in_a_loop_under_load_loses_nothing_and_charges_nothing(
    start_tree: StartTree, database: Database, server: PrivateServer, how: str
) -> None:
    tree = start_tree("--types", "quick", app=APP)
    for _ in load(tree, rounds=3):
        server.restart((STOP_FAST if how == "fast" else STOP_AT_ONCE)[server.name])
    eventually(database.is_settled, within=30)
    assert_all_done_at_first_attempt(tree)


@on_every_server
@pytest.mark.fault(23)
def test_row_23_a_tree_outlives_a_server_that_goes_away_while_the_last_of_it_starts(
    start_tree: StartTree, database: Database, server: PrivateServer
) -> None:
    tree = start_tree(app=APP)
    eventually(lambda: "up as pid" in tree.log)
    server.stop(STOP_AT_ONCE[server.name])
    eventually(lambda: "the database is not available" in tree.log or "cannot work" in tree.log)
    server.start()
    database.enqueue("quick", "afterwards")
    eventually(database.is_settled)
    for role in ("lease", "healer", "cleaner"):
        assert tree.pid(role)


# -- down for long ------------------------------------------------------------------------------------------------


@on_every_server
@pytest.mark.fault(24)
@pytest.mark.timeout(240)
@pytest.mark.parametrize("seconds", [5, 60])
def test_row_24_while_a_server_is_down_handlers_finish_and_their_results_are_written_on_its_return(
    start_tree: StartTree, database: Database, server: PrivateServer, seconds: int
) -> None:
    """Down for longer than the node timeout of 3 s, and for twenty times as long."""
    trees = [start_tree(app=APP, apart=True), start_tree(apart=True)]
    wait_until_up(trees)
    names = [f"h{n}" for n in range(4)]
    database.enqueue("hold", *names)
    running = {name: trees[0].running_pid(name) for name in names}
    eventually(lambda: database.counts("hold") == {"processing": 4})
    database.enqueue("quick", "before")
    eventually(lambda: database.task("before").status == "done")
    owners = nodes(database)
    server.stop()
    trees[0].let_go(*names[:2])
    eventually(lambda: sum(line[0] == "end" for line in trees[0].journal()) == 3)
    threading.Event().wait(seconds)  # how long it is down is what the test is about
    assert {pid for tree in trees for pid in tree.workers("hold")} == set(running.values())
    assert len(trees[0].journal()) == 4 + 2 + 2, "something was claimed meanwhile"
    server.start()
    database.enqueue("quick", "after")
    eventually(lambda: database.counts() == {"done": 4, "processing": 2}, within=10)
    trees[0].let_go(*names[2:])
    eventually(database.is_settled)
    assert_all_done_at_first_attempt(trees[0])
    beats = seqs(database)
    eventually(
        lambda: all(seq > beats[node] + 7 for node, seq in seqs(database).items())
    )  # longer than the timeout
    assert nodes(database) == owners
    for tree in trees:
        assert "the database is not available" in tree.log
        assert "Traceback" not in tree.log
        assert "has sent no heartbeat" not in tree.log
        assert tree.log.count("the database answers again") == 1, "one line a tree"
        assert tree.log.count("the database is not available") <= 3, (
            "it tells of each reason once a tree, not of each try"
        )


@on_every_server
@pytest.mark.fault(14)
@pytest.mark.fault(16)
@pytest.mark.fault(24)
def test_row_24_fetchers_and_leases_killed_while_a_server_is_down_wait_for_it_and_handlers_go_on(
    start_tree: StartTree, database: Database, server: PrivateServer
) -> None:
    trees = [start_tree("--types", "hold", app=APP, apart=True), start_tree("--types", "quick", apart=True)]
    wait_until_up(trees)  # a tree that finds no server at its first start ends, as it must
    database.enqueue("hold", "one", "two")
    running = {name: trees[0].running_pid(name) for name in ("one", "two")}
    eventually(lambda: database.counts() == {"processing": 2})
    owners = nodes(database)
    server.stop()
    for role in ("fetcher", "lease", "healer", "cleaner"):
        killed = trees[0].pid(role)
        os.kill(killed, signal.SIGKILL)
        eventually(lambda: [pid for pid in trees[0].pids(role) if pid != killed])  # noqa: B023 - called at once
    trees[0].let_go("one")
    threading.Event().wait(8)  # more than twice the node timeout, and time for many a restart
    server.start()
    database.enqueue("quick", "after")
    eventually(lambda: database.counts() == {"done": 2, "processing": 1}, within=10)
    assert set(trees[0].workers("hold")) == set(running.values())
    beats = seqs(database)
    eventually(
        lambda: all(seq > beats[node] + 7 for node, seq in seqs(database).items())
    )  # longer than the timeout
    assert nodes(database) == owners
    trees[0].let_go("two")
    eventually(database.is_settled)
    assert_all_done_at_first_attempt(trees[0])
    assert "keeps dying" not in trees[0].log


def seqs(database: Database) -> dict[str, int]:
    """Return how often each living node has beaten."""
    return dict(database.execute("SELECT id, seq FROM goque_node WHERE state = 'alive'"))


def nodes(database: Database) -> list[tuple[str, str]]:
    """Return each node with its state."""
    return sorted(database.execute("SELECT id, state FROM goque_node"))


def wait_until_up(trees: list[Tree]) -> None:
    """Wait until each tree has its lease."""
    for tree in trees:
        eventually(lambda tree=tree: "up as pid" in tree.log)
