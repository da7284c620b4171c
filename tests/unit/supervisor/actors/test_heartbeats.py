"""What a heartbeat means that changed nothing: commits were lost only if the table knows less than it acknowledged."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from goque.storage.contract import NodeRow
from goque_supervisor.actors.heartbeats import MAX_SEQ, Heartbeats, Verdict

THEN = datetime(2026, 11, 23, tzinfo=UTC)


def node(seq: int, state: str = "alive") -> NodeRow:
    return NodeRow("n1", seq, state, "h", 1, THEN, THEN)


@pytest.mark.parametrize(
    ("row", "verdict"),
    [
        (None, Verdict.COMMITS_LOST),
        (node(4), Verdict.COMMITS_LOST),
        (node(4, "dead"), Verdict.COMMITS_LOST),
        (node(5, "dead"), Verdict.DECLARED_DEAD),
        (node(9, "stopped"), Verdict.DECLARED_DEAD),
        (node(6), Verdict.COUNTED),
        (node(8), Verdict.BEHIND),
        (node(MAX_SEQ + 1), Verdict.OVERWRITTEN),
    ],
)
def test_the_row_says_why_a_heartbeat_changed_nothing(row: NodeRow | None, verdict: Verdict) -> None:
    heartbeats = Heartbeats(acknowledged=5)
    assert heartbeats.next() == 6
    assert heartbeats.judge(row) is verdict


def test_each_try_has_a_higher_number_and_the_acknowledged_one_stays() -> None:
    heartbeats = Heartbeats()
    assert [heartbeats.next() for _ in range(3)] == [2, 3, 4]
    assert heartbeats.acknowledged == 1
    heartbeats.acknowledge()
    assert (heartbeats.acknowledged, heartbeats.next()) == (4, 5)


def test_a_number_of_a_dead_lease_that_arrived_late_is_passed() -> None:
    heartbeats = Heartbeats(acknowledged=5)
    heartbeats.next()
    heartbeats.judge(node(8))
    assert heartbeats.next() == 9


def test_the_loss_is_described_by_what_was_acknowledged_and_what_is_there() -> None:
    heartbeats = Heartbeats(acknowledged=41)
    assert (
        heartbeats.describe_loss(node(37)) == "heartbeat 41 was acknowledged, but the table has heartbeat 37"
    )
    assert heartbeats.describe_loss(None) == "heartbeat 41 was acknowledged, but its row is gone"
