"""Roll-ups are read once, and then only the newest slots again."""

from __future__ import annotations

import pytest

from goque.dashboard.readings import past
from goque.dashboard.readings.past import AHEAD, Past
from goque.describe.run_counts import FINE, STEPS, RunCounts, encode_runs
from goque.storage.contract import RollupRow

NOON = 1_795_435_200


class Table:
    """Rows of goque_rollup, which remembers from where it was read."""

    def __init__(self, *rows: RollupRow) -> None:
        self.rows = list(rows)
        self.reads: list[int] = []

    def rollups(self, step: int, since: int, *, limit: int) -> list[RollupRow]:
        self.reads.append(since)
        found = [row for row in self.rows if row.step == step and row.slot >= since]
        return sorted(found, key=lambda row: -row.slot)[:limit]


def row(slot: int, done: int, writer: str = "a", task_type: str = "mail") -> RollupRow:
    return RollupRow(FINE, slot, writer, encode_runs({task_type: RunCounts({"done": done}, {9: done})}))


@pytest.fixture
def always_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(past, "KEPT", 0.0)


def reader(table: Table) -> Past:
    return Past(table, clock=lambda: NOON + 30)  # type: ignore[arg-type] # it has what is called


def test_nodes_and_types_are_added_up() -> None:
    table = Table(row(NOON, 1), row(NOON, 2, "b"), row(NOON - FINE, 4), row(NOON, 8, "c", "ocr"))
    sums = reader(table).sums("6h")
    assert {name: counts.ends["done"] for name, counts in sums.by_type.items()} == {"mail": 7, "ocr": 8}
    assert {point: counts.ends["done"] for point, counts in sums.by_point.items()} == {
        NOON: 11,
        NOON - FINE: 4,
    }
    assert sums.runs["mail"][NOON].run == {9: 3}


def test_what_lies_before_the_range_or_ahead_of_every_clock_is_left_out() -> None:
    table = Table(row(NOON - 7 * 3600, 1), row(NOON, 2), row(NOON + 2 * AHEAD, 4))
    assert reader(table).sums("6h").by_type["mail"].ends == {"done": 2}
    assert reader(table).sums("24h").by_type["mail"].ends == {"done": 3}


def test_sums_are_used_again_for_some_seconds() -> None:
    table = Table(row(NOON, 1))
    found = reader(table)
    assert found.sums("6h") is found.sums("6h")
    assert len(table.reads) == 1


@pytest.mark.usefixtures("always_again")
def test_only_the_newest_slots_are_read_again() -> None:
    table = Table(row(NOON - 10 * FINE, 1), row(NOON, 2))
    found = reader(table)
    assert found.sums("6h").by_type["mail"].ends == {"done": 3}
    table.rows = [row(NOON - 10 * FINE, 1, ""), row(NOON, 5)]  # the old one is merged, the new one has grown
    assert found.sums("6h").by_type["mail"].ends == {"done": 6}
    assert table.reads == [NOON + 30 - STEPS[FINE], NOON - 3 * FINE]


@pytest.mark.usefixtures("always_again")
def test_two_ranges_of_one_length_share_the_rows() -> None:
    table = Table(row(NOON - 20 * 3600, 1), row(NOON, 2))
    found = reader(table)
    assert found.sums("6h").by_type["mail"].ends == {"done": 2}
    assert found.sums("24h").by_type["mail"].ends == {"done": 3}
