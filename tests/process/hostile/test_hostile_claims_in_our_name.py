"""Claims in a live node's name that it never made: its fetchers start and restart between them."""

from __future__ import annotations

import contextlib
import os
import signal

import pytest
from databases import Database, on_every_backend
from hostile_rows import HostileRows
from looking import errors_in
from test_hostile_rows import (
    APP,
    ONE,
    ONE_OF,
    ROWS,
    SEED,
    SOME,
    ended,
    enqueue_good,
    forget_hostile_rows,
    wait,
    write_task,
)
from tree import StartTree, Tree, eventually


@on_every_backend
@pytest.mark.fault(59)
@pytest.mark.timeout(600)
def test_row_59_hostile_rows_in_a_live_nodes_name_stop_nobody(
    start_tree: StartTree, database: Database
) -> None:
    """A fetcher takes over what its node holds, at its start and after a fetcher was killed."""
    database.queue.storage.ping()
    hostile = HostileRows(database, SEED)
    tree = start_tree(app=APP)
    problems: list[str] = []
    try:
        (node,) = eventually(lambda: [row.id for row in database.queue.storage.nodes()], within=60)
        write_claims_of(database, hostile, node)
        run_good_tasks(tree, database, 0, problems)
        for part in (1, 2):
            write_claims_of(database, hostile, node)
            for fetcher in tree.pids("fetcher"):
                os.kill(fetcher, signal.SIGKILL)
            run_good_tasks(tree, database, part, problems)
        wait(lambda: is_served(tree), 60, "the tree is complete", problems)
        workers = tree.workers()
        run_good_tasks(tree, database, 3, problems)
        if tree.workers() != workers:
            problems.append(f"workers were replaced: {workers} became {tree.workers()}")
        problems += [f"in the log {error}" for error in errors_in(tree.log)]
    finally:
        forget_hostile_rows(database)
    assert not problems, f"GOQUE_TEST_HOSTILE_SEED={SEED}\n" + "\n".join(problems)


def run_good_tasks(tree: Tree, database: Database, part: int, problems: list[str]) -> None:
    wait(lambda: is_served(tree), 60, "the tree is complete", problems)
    names = enqueue_good(database, part)
    wait(lambda: ended(tree).issuperset(names), 30, f"every good task of part {part} ran", problems)


def is_served(tree: Tree) -> bool:
    return (len(tree.pids("fetcher")), len(tree.workers())) == (2, 4)


def write_claims_of(database: Database, hostile: HostileRows, node: str) -> None:
    """Write claims in a node's name: random ones, one with each hostile value, and many ids beyond ASCII."""
    hostile.nodes = [node]
    hostile.write(ROWS // 20)
    held = {"claimed_by": f"'{node}'", "status": "'pending'", "claims": 1}
    for values in {**ONE, **ONE_OF[database.backend]}.values():
        with contextlib.suppress(Exception):  # the id is there already
            write_task(database, **{**held, **values})
    if database.backend == "sqlite":
        for _ in range(SOME):
            write_task(database, **held, id=f"'{'ü' * 26}{hostile.random.randrange(10**9):010}'")
