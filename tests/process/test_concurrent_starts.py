"""Supervisors that start together on an empty database, each with `goque migrate` before it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from databases import Database, make_database, on_every_backend
from tree import StartTree, eventually

APP = """
@registry.processor("quick", workers=1, fetch_tick=0.1)
def quick(task: Task):
    with run_of(task):
        pass
"""


@pytest.fixture
def database(backend: str, tmp_path: Path) -> Iterator[Database]:
    """A database without goque's tables."""
    made = make_database(backend, tmp_path, migrate=False)
    yield made
    made.drop()


@on_every_backend
@pytest.mark.fault(43)
def test_row_43_ten_supervisors_that_migrate_and_start_at_once_make_one_schema_and_no_error(
    start_tree: StartTree, database: Database
) -> None:
    trees = [
        start_tree("--roles", "processors", app=APP if n == 0 else None, apart=True, migrate_first=True)
        for n in range(10)
    ]
    for tree in trees:
        eventually(lambda tree=tree: "up as pid" in tree.log, within=60)
    names = [f"t{n}" for n in range(100)]
    database.enqueue("quick", *names)
    eventually(database.is_settled)
    assert {(task.status, task.attempts) for task in database.tasks()} == {("done", 0)}
    trees[0].assert_each_ran(1, names)
    applied = [name for (name,) in database.execute("SELECT name FROM goque_migration")]
    assert len(applied) == len(set(applied)) == sum(tree.log.count("applied ") for tree in trees)
    assert database.node_states() == ["alive"] * 10
    for tree in trees:
        troubles = [line for line in tree.log.splitlines() if " ERROR " in line or " WARN " in line]
        assert [
            line for line in troubles if "is still being imported" not in line
        ] == []  # ten imports on two cores
        assert "goque: " not in tree.log
