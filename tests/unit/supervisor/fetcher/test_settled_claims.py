"""The claims that were settled lately, and what the table shows of them after a failover."""

from __future__ import annotations

import pytest

from goque.task_row import Token
from goque_supervisor.fetcher.settled_claims import MAX_AGE, MAX_REMEMBERED, SettledClaims
from unit.rows import row

NOW = 1000.0


def test_the_newest_are_looked_at_while_they_are_recent() -> None:
    settled = SettledClaims(rows_stay=True)
    settled.add([Token(f"t{n}", 1, "n1") for n in range(5)], NOW)
    assert [token.task_id for token in settled.sample(NOW + 1)] == ["t4", "t3", "t2"]
    assert settled.sample(NOW + MAX_AGE) == []


def test_no_more_than_a_bounded_number_is_remembered_and_the_newest_stay() -> None:
    settled = SettledClaims(rows_stay=True)
    for start in range(0, 3 * MAX_REMEMBERED, 500):
        settled.add([Token(f"t{start + n}", 1, "n1") for n in range(500)], NOW)
        settled.add([], NOW)
    newest = 3 * MAX_REMEMBERED - 1
    assert settled.sample(NOW)[0].task_id == f"t{newest}"
    assert settled.undone([Token(f"t{newest - MAX_REMEMBERED + 1}", 1, "n1")])
    assert not settled.undone([Token(f"t{newest - MAX_REMEMBERED - 500}", 1, "n1")])
    assert len(settled._batches) == MAX_REMEMBERED // 500


@pytest.mark.parametrize(
    ("claims", "rows_stay", "after_outage", "lost"),
    [
        (2, True, True, False),
        (3, True, True, False),
        (1, True, False, True),
        (1, False, True, True),
        (None, True, True, True),
        (None, True, False, False),
        (None, False, True, False),
    ],
)
def test_a_row_that_moved_back_or_is_gone_after_an_outage_is_lost(
    claims: int | None, rows_stay: bool, after_outage: bool, lost: bool
) -> None:
    settled = SettledClaims(rows_stay=rows_stay)
    rows = [] if claims is None else [row(id="a", claims=claims)]
    assert bool(settled.judge([Token("a", 2, "n1")], rows, after_outage=after_outage)) is lost
