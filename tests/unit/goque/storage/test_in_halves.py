from __future__ import annotations

from collections.abc import Sequence

import pytest

from goque.errors import DatabaseUnavailableError
from goque.storage.in_halves import write_in_halves


def test_a_rejected_item_keeps_back_no_other_and_its_substitute_counts() -> None:
    batches: list[Sequence[int]] = []
    rejected = []

    def write(items: Sequence[int]) -> set[int]:
        batches.append(items)
        if not {3, 5}.isdisjoint(items):
            raise ValueError(f"not {items}")
        return set(items)

    def set_aside(item: int, error: Exception) -> set[int]:
        rejected.append((item, str(error)))
        return {-item} if item == 5 else set()

    assert write_in_halves(range(7), write, set_aside) == {0, 1, 2, 4, -5, 6}
    assert rejected == [(3, "not range(3, 4)"), (5, "not range(5, 6)")]
    assert batches[0] == range(7)


def test_a_database_that_is_away_is_asked_no_more() -> None:
    asked = []

    def write(items: Sequence[int]) -> set[int]:
        asked.append(len(items))
        raise DatabaseUnavailableError("away")

    with pytest.raises(DatabaseUnavailableError):
        write_in_halves(range(6), write, lambda _item, _error: set())
    assert asked == [6]


def test_nothing_is_written_for_no_items() -> None:
    def write(items: Sequence[int]) -> set[int]:
        raise AssertionError(items)

    assert write_in_halves([], write, lambda _item, _error: set()) == set()
