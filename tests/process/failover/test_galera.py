"""A Galera cluster: writers on two nodes, and a node that has no quorum for a while."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from databases import Database, MysqlDatabase
from galera import GaleraPair, galera
from replication import ask_mysql
from tree import StartTree, Tree, eventually

from goque import TaskQueueManager
from goque.errors import DatabaseUnavailableError

APP = """
options = dict(fetch_tick=0.1, next_attempt_at=retry.static(0.01), timeout=300)
registry.processor("hold", workers=2, min_workers=2, **options)(hold)

@registry.processor("quick", workers=2, min_workers=2, **options)
def quick(task: Task):
    with run_of(task):
        time.sleep(0.002)

@registry.processor("failing", workers=1, max_attempts=1, **{**options, "timeout": 300})
def failing(task: Task):
    with run_of(task):
        while not (Path(os.environ["GOQUE_TEST_JOURNAL"]) / "fail.go").exists():
            time.sleep(0.01)
        raise ValueError("it failed")
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[GaleraPair]:
    with galera() as made:
        yield made


@pytest.fixture
def database(cluster: GaleraPair) -> Iterator[Database]:
    made = MysqlDatabase(cluster.nodes[0].url)
    eventually(lambda: ask_mysql(cluster.nodes[1], f"SHOW TABLES FROM {made.name} LIKE 'goque_schedule'"))
    yield made
    cluster.regain_quorum()
    made.drop()


def at_second(cluster: GaleraPair, database: Database) -> str:
    """Return the URL of the same database on the second node."""
    first, second = cluster.nodes
    return database.url.replace(f":{first.port}/", f":{second.port}/")


def processes_of(tree: Tree) -> dict[str, list[int]]:
    return tree.actors() | {"workers": tree.workers()}


@pytest.mark.fault(48)
def test_row_48_two_trees_that_write_on_two_nodes_collide_and_do_everything_once(
    cluster: GaleraPair, start_tree: StartTree, database: Database
) -> None:
    trees = [
        start_tree("--types", "quick", app=APP, apart=True),
        start_tree("--types", "quick", apart=True, GOQUE_DATABASE_URL=at_second(cluster, database)),
    ]
    for tree in trees:
        eventually(lambda tree=tree: "up as pid" in tree.log, within=30)
        eventually(lambda tree=tree: tree.pids("fetcher") and len(tree.workers()) == 2)
    processes = [processes_of(tree) for tree in trees]
    with TaskQueueManager(at_second(cluster, database)) as queue:
        for n in range(10):
            database.enqueue("quick", *(f"first{n}-{m}" for m in range(30)))
            for m in range(30):
                queue.enqueue("quick", {}, external_id=f"second{n}-{m}")
    eventually(database.is_settled, within=60)
    tasks = database.tasks()
    assert len(tasks) == 600
    assert {(task.status, task.attempts, task.errors) for task in tasks} == {("done", 0, None)}
    trees[0].assert_each_ran(1, [task.external_id for task in tasks])
    assert [processes_of(tree) for tree in trees] == processes
    for tree in trees:
        assert "Traceback" not in tree.log


@pytest.mark.fault(48)
@pytest.mark.timeout(240)
def test_row_48_a_node_without_quorum_costs_no_handler_no_result_and_no_process(
    cluster: GaleraPair, start_tree: StartTree, database: Database
) -> None:
    tree = start_tree(app=APP)
    database.enqueue("hold", "one", "two")
    database.enqueue("failing", "fails")
    for name in ("one", "two", "fails"):
        tree.running_pid(name)
    eventually(lambda: database.counts() == {"processing": 3})
    eventually(lambda: len(tree.workers("quick")) == 2)
    processes = processes_of(tree)
    database.queue.close()
    cluster.lose_quorum()
    lines = len(tree.log.splitlines())
    tree.let_go("one", "fail")
    threading.Event().wait(15)  # several node timeouts
    assert processes_of(tree)["workers"] == processes["workers"]
    said = tree.log.splitlines()[lines:]
    assert len(said) < 20, "\n".join(said)
    cluster.regain_quorum()
    tree.let_go("two")
    database.enqueue("quick", "after")
    eventually(database.is_settled, within=10)
    assert {task.external_id: (task.status, task.attempts) for task in database.tasks()} == {
        "one": ("done", 0),
        "two": ("done", 0),
        "after": ("done", 0),
        "fails": ("attempts_left", 1),
    }
    assert database.task("fails").errors == "attempt 1: ValueError: it failed\n"
    assert len(database.attempts(database.task("fails"))) == 1
    tree.assert_each_ran(1, ["one", "two", "after", "fails"])
    assert processes_of(tree) == processes
    assert tree.log.count("Traceback") == 1, "that of the task that failed"


@pytest.mark.fault(48)
def test_row_48_an_application_hears_that_a_node_without_quorum_is_unavailable(
    cluster: GaleraPair, database: Database
) -> None:
    [task] = database.enqueue("quick", "one")
    cluster.lose_quorum()
    with TaskQueueManager(database.url) as queue:
        for call in (
            lambda: queue.enqueue("quick", {}),
            lambda: queue.get_task(task.id),
            lambda: queue.cancel_task(task.id),
        ):
            with pytest.raises(DatabaseUnavailableError):
                call()
