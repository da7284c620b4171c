"""An asynchronous standby that takes over without the last commits, while an application and two trees work."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from databases import Database, on_every_server
from replicated_databases import database_on
from replication import Pair, pair_of
from tree import StartTree, eventually

from goque import Task, TaskQueueManager
from goque.errors import GoqueError

APP = """
@registry.processor("quick", workers=2, fetch_tick=0.1, next_attempt_at=retry.static(0.01), timeout=300)
def quick(task: Task):
    with run_of(task):
        time.sleep(0.002)
"""


@pytest.fixture
def pair(backend: str) -> Iterator[Pair]:
    with pair_of(backend) as made:
        yield made


@pytest.fixture
def database(pair: Pair) -> Iterator[Database]:
    made = database_on(pair)
    yield made
    made.queue.close()


class Application:
    """Enqueues a few tasks at a time in a thread of its own, and goes on after errors.

    Attributes:
        answered: names of the tasks whose enqueue was answered, in that order.
    """

    def __init__(self, url: str) -> None:
        self.answered: list[str] = []
        self._url = url
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def stop(self) -> None:
        self._is_over.set()
        self._thread.join()

    def await_answers(self, count: int, within: float = 20.0) -> int:
        """Wait for so many more answers, and return how many there are then."""
        wanted = len(self.answered) + count
        eventually(lambda: len(self.answered) >= wanted, within=within)
        return len(self.answered)

    def _run(self) -> None:
        number = 0
        with TaskQueueManager(self._url) as queue:
            while not self._is_over.wait(0.02):
                names = [f"task{number + n}" for n in range(5)]
                number += len(names)
                try:
                    queue.add_tasks([Task("quick", {}, external_id=name) for name in names])
                except GoqueError:
                    continue  # nothing was promised
                self.answered += names


def living_nodes(database: Database) -> set[str]:
    return {row[0] for row in database.execute("SELECT id FROM goque_node WHERE state = 'alive'")}


@on_every_server
@pytest.mark.fault(45)
@pytest.mark.fault(46)
@pytest.mark.timeout(240)
def test_rows_45_and_46_two_trees_go_on_under_load_after_a_failover_that_loses_commits(
    pair: Pair, start_tree: StartTree, database: Database
) -> None:
    trees = [start_tree(app=APP, apart=True), start_tree(apart=True)]
    for tree in trees:
        eventually(lambda tree=tree: "up as pid" in tree.log)
    former = eventually(lambda: nodes if len(nodes := living_nodes(database)) == 2 else None)
    application = Application(database.url)
    try:
        kept = application.await_answers(50)
        eventually(lambda: database.counts().get("done", 0) >= 50)
        pair.wait_until_equal()
        pair.cut_off()
        ended_before = {line[1] for line in trees[0].journal() if line[0] == "end"}
        application.await_answers(100)
        eventually(
            lambda: len({line[1] for line in trees[0].journal() if line[0] == "end"} - ended_before) > 50
        )
        processes = [tree.actors() for tree in trees]
        pair.fail_over()
        again = application.await_answers(5)
        application.await_answers(50)
    finally:
        application.stop()
    eventually(database.is_settled, within=20)
    eventually(lambda: len(now := living_nodes(database)) == 2 and not now & former, within=10)
    found = {task.external_id: task.status for task in database.tasks()}
    assert set(found.values()) == {"done"}
    assert set(application.answered[:kept]) <= found.keys(), "the standby had them"
    assert set(application.answered[again:]) <= found.keys(), "they were enqueued after the failover"
    assert len(set(application.answered) - found.keys()) > 20, (
        "the standby lacked what came after it was cut off"
    )
    assert [tree.actors() for tree in trees] == processes
    for tree in trees:
        assert "Traceback" not in tree.log
