"""What a lease writes about the runs of its tree: nothing while nothing runs, and nothing twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import pytest

from goque.describe.run_counts import COARSE, FINE, RunCounts, decode_runs
from goque.errors import DatabaseUnavailableError
from goque.storage.contract import RollupRow
from goque_supervisor.actors.run_rollup import PERIOD, RunRollup

START = datetime(2026, 11, 23, 21, 3, tzinfo=UTC)


class Table:
    """The rows of goque_rollup, by step and slot; each try is counted."""

    def __init__(self) -> None:
        self.now = START
        self.rows: dict[tuple[int, int], int] = {}
        self.tries = 0
        self.is_down = False

    def put_rollups(self, rows_at: Callable[[datetime], Sequence[RollupRow]]) -> None:
        self.tries += 1
        rows = rows_at(self.now)
        if self.is_down:
            raise DatabaseUnavailableError("down")
        self.rows |= {(row.step, row.slot): decode_runs(row.runs)["mail"].total for row in rows}

    def of(self, step: int) -> list[int]:
        return [number for (length, _slot), number in sorted(self.rows.items()) if length == step]


class Tree:
    """Counters of a tree, with its rollup."""

    def __init__(self, done: int = 0) -> None:
        self.done = done
        self.table = Table()
        self.rollup = RunRollup(self.table, self.read)  # type: ignore[arg-type] # it has what is called

    def read(self) -> dict[str, RunCounts]:
        return {"mail": RunCounts({"done": self.done}, {3: self.done})} if self.done else {}

    def run(self, tasks: int, minutes: float) -> None:
        self.done += tasks
        self.table.now += timedelta(minutes=minutes)
        self.rollup.write()


def test_nothing_is_written_while_nothing_runs() -> None:
    tree = Tree(done=7)
    for _ in range(3):
        tree.run(0, 1)
    assert tree.table.tries == 0


def test_the_counts_of_a_slot_grow_and_a_new_slot_begins_with_none() -> None:
    tree = Tree(done=100)
    for tasks, minutes in ((5, 1), (6, 2), (1, 4), (2, 60)):
        tree.run(tasks, minutes)
    assert tree.table.of(FINE) == [11, 1, 2]
    assert tree.table.of(COARSE) == [12, 2]


def test_what_could_not_be_written_is_written_once_later() -> None:
    tree = Tree()
    tree.run(3, 1)
    tree.table.is_down = True
    for _ in range(2):
        with pytest.raises(DatabaseUnavailableError):
            tree.run(4, 0.5)
    tree.table.is_down = False
    tree.run(0, 0.5)
    assert tree.table.of(COARSE) == [11]


def test_it_writes_once_in_a_period() -> None:
    tree = Tree()
    for second in range(0, 300, 5):
        tree.done += 1
        tree.rollup.write_if_due(second)
    assert tree.table.tries == 300 / PERIOD
