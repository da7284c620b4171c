"""Networks between a tree and its server are cut, also in the middle of a commit, fall silent, and come back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from databases import Database, on_every_server
from proxy import Proxy
from tree import StartTree, eventually

APP = """
options = dict(fetch_tick=0.1, next_attempt_at=retry.static(0.01), timeout=60)
registry.processor("hold", workers=2, **options)(hold)

@registry.processor("quick", workers=2, **options)
def quick(task: Task):
    with run_of(task):
        time.sleep(0.002)
"""
COMMIT = {"postgresql": b"COMMIT\0", "mysql": b"\x03COMMIT"}
"""What a client says to commit, on the wire."""


@pytest.fixture
def proxy(database: Database) -> Iterator[Proxy]:
    """The way of one tree to the database; a test names it before its trees, so that it outlives them."""
    made = Proxy(*database.address())
    yield made
    made.close()


@on_every_server
@pytest.mark.fault(25)
def test_row_25_commits_whose_outcome_is_unknown_have_no_effect_twice_and_none_is_missed(
    proxy: Proxy, start_tree: StartTree, database: Database
) -> None:
    tree = start_tree("--types", "quick", app=APP, GOQUE_DATABASE_URL=database.at_port(proxy.port))
    for n in range(8):
        before = len(tree.journal())
        database.enqueue("quick", *(f"r{n}-{m}" for m in range(200)))
        eventually(lambda: len(tree.journal()) > before + 60)  # noqa: B023 - called at once
        if n % 2:
            proxy.cut_before = COMMIT[database.backend]
        else:
            proxy.cut_after = COMMIT[database.backend]
        eventually(lambda: proxy.cut_before is None and proxy.cut_after is None)
    eventually(database.is_settled, within=30)
    tasks = database.tasks()
    assert {(task.status, task.attempts, task.errors) for task in tasks} == {("done", 0, None)}
    tree.assert_each_ran(1, [task.external_id for task in tasks])


@on_every_server
@pytest.mark.parametrize("how", ["cut", "silent"])
@pytest.mark.fault(28)
def test_row_28_the_tasks_of_a_node_that_is_cut_off_are_healed_and_its_stale_results_change_nothing(
    proxy: Proxy, start_tree: StartTree, database: Database, how: str
) -> None:
    far = start_tree("--types", "hold", app=APP, apart=True, GOQUE_DATABASE_URL=database.at_port(proxy.port))
    database.enqueue("hold", "one", "two")
    running = {name: far.running_pid(name) for name in ("one", "two")}
    eventually(lambda: database.counts() == {"processing": 2})
    near = start_tree("--types", "hold", "--node-timeout", "3", apart=True)
    eventually(lambda: "up as pid" in near.log)
    if how == "cut":
        proxy.cut_off()
    else:
        proxy.silent = proxy.deaf = True
    eventually(lambda: all(len(far.started(name)) == 2 for name in running), within=3 + 15)
    assert {far.started(name)[1] for name in running} <= set(near.workers("hold"))
    near.let_go("one", "two")
    eventually(database.is_settled)
    settled = {task.external_id: task for task in database.tasks()}
    eventually(lambda: sum(line[0] == "end" for line in far.journal()) == 4)
    assert near.stop() == 0
    proxy.join()
    database.enqueue("hold", "three")
    far.let_go("three")
    eventually(lambda: database.task("three").status == "done", within=20)
    eventually(lambda: "continues under a new name" in far.log)
    for name, task in settled.items():
        assert (task.status, task.attempts) == ("done", 1)
        assert task.errors.startswith("attempt 1: node lost: ")
        assert database.task(name).updated_at == task.updated_at
    assert "is ignored" in far.log
    assert database.task("three").attempts == 0
    assert running.keys() == {line[1] for line in far.journal() if line[0] == "overlap"}
    far.forget_overlaps()
