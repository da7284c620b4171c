"""A node that cannot beat its heart: it lets go before others take what it has, and never runs it beside them."""

from __future__ import annotations

import os
import signal

import pytest
from databases import Database, on_every_backend
from tree import StartTree, eventually

APP = """
registry.processor("hold", workers=1, fetch_tick=0.1, next_attempt_at=retry.static(0))(hold)
"""
LATER = """
registry.processor("later", workers=1, fetch_tick=0.1)(hold)
"""
KILL = ("--on-lost-lease", "kill")


@on_every_backend
@pytest.mark.fault(16)
def test_a_lease_that_is_stopped_loses_what_runs_before_another_node_takes_it(
    start_tree: StartTree, database: Database
) -> None:
    tree = start_tree(*KILL, app=APP, apart=True)
    database.enqueue("hold", "long")
    first = tree.running_pid("long")
    lease = tree.pid("lease")
    other = start_tree(*KILL, apart=True)
    eventually(lambda: other.workers("hold"))
    os.kill(lease, signal.SIGSTOP)
    eventually(lambda: len(tree.started("long")) == 2)
    assert first not in tree.workers("hold")
    assert tree.started("long")[1] in other.workers("hold")
    os.kill(lease, signal.SIGCONT)
    tree.let_go("long")
    eventually(database.is_settled)
    task = database.task("long")
    assert (task.status, task.attempts, task.errors) == ("done", 0, None)
    tree.assert_each_ran(2, ["long"])
    database.enqueue("hold", "next-1", "next-2", "next-3")
    tree.let_go("next-1", "next-2", "next-3")
    eventually(database.is_settled)
    assert tree.log.count("the lease is lost") == 1
    regained = (
        "this node holds its lease again",
        "continues under a new name",
    )  # the other may have declared it dead by now
    eventually(lambda: any(words in tree.log for words in regained))


@on_every_backend
@pytest.mark.fault(59)
def test_claims_of_a_node_that_the_table_does_not_have_are_returned(
    start_tree: StartTree, database: Database
) -> None:
    tree = start_tree(app=APP + LATER)
    names = ("processing", "pending", "canceled")
    tree.let_go(*names)
    database.enqueue("hold", "running")
    tree.running_pid("running")
    eventually(lambda: "later" in database.queue.storage.type_policies())
    database.queue.storage.pause_type("later")
    database.enqueue("later", *names)
    database.execute(
        f"UPDATE goque_task SET status = external_id, claimed_by = 'nobody', claims = 1 WHERE external_id IN {names}"
    )
    eventually(lambda: not any(database.task(name).claimed_by for name in names), 60)
    eventually(lambda: "returned 2 task(s) of dead node nobody" in tree.log)
    database.queue.storage.resume_type("later")
    tree.let_go("running")
    eventually(database.is_settled)
    found = {name: (database.task(name).status, database.task(name).attempts) for name in names}
    assert found == {"processing": ("done", 1), "pending": ("done", 0), "canceled": ("canceled", 0)}
    assert "goque_node has no row of the node" in (database.task("processing").errors or "")
    tree.assert_each_ran(1, ["running", "pending", "processing"])
