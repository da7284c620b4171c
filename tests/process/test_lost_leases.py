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
        "the lease is held again",
        "going on under a new name",
    )  # the other may have declared it dead by now
    eventually(lambda: any(words in tree.log for words in regained))
