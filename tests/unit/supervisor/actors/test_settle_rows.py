from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from goque.errors import DatabaseUnavailableError
from goque.outcome import Change
from goque.retry import DEFAULT, Static, Step
from goque.task import TaskRow, TaskStatus
from goque_supervisor.actors.healing import strategy_of
from goque_supervisor.actors.settle_rows import changes_of, write_in_halves

pytestmark = pytest.mark.fault(59)
NOW = datetime(2026, 11, 23, 21, 2, 33, tzinfo=UTC)
ROWS = [TaskRow(str(n), "mail", "x", b"", "pending", 0, None, None, NOW, None, NOW) for n in range(7)]


def decide(row: TaskRow) -> Change:
    if row.id == "3":
        raise ValueError("not this one")
    return Change(row.token, TaskStatus.NEW, 0)


def test_a_row_that_the_database_rejects_keeps_back_no_other() -> None:
    def write(rows: Sequence[TaskRow], changes: Sequence[Change]) -> set[str]:
        assert [row.token for row in rows] == [change.token for change in changes]
        if any(row.id == "5" for row in rows):
            raise ValueError("integer out of range")
        return {row.id for row in rows}

    rows, changes = changes_of(ROWS, decide)
    assert set[str]().union(*write_in_halves(rows, changes, write)) == set("01246")


def test_a_database_that_is_away_is_asked_no_more() -> None:
    asked = []

    def write(rows: Sequence[TaskRow], changes: Sequence[Change]) -> None:
        asked.append(len(changes))
        raise DatabaseUnavailableError("away")

    rows, changes = changes_of(ROWS, decide)
    with pytest.raises(DatabaseUnavailableError):
        write_in_halves(rows, changes, write)
    assert asked == [6]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "garbage",
        "null",
        "{}",
        '{"type": "step", "periods": []}',
        '{"type": "static", "period": -5}',
        '{"type": "static", "period": 1e300}',
        '{"type": "exponential", "base": 1, "maximum": 2, "jitter": 7}',
        '{"type": "step", "periods": [1, 1e308]}',
        "[" * 10_000,
        "\u017e",
    ],
)
def test_a_published_strategy_that_is_none_is_the_default(text: str) -> None:
    assert strategy_of(text, "mail") == DEFAULT


def test_a_published_strategy_is_read() -> None:
    assert strategy_of('{"type": "static", "period": 5}', "mail") == Static(5.0)
    assert strategy_of('{"type": "step", "periods": [1, 2]}', "mail") == Step((1.0, 2.0))
