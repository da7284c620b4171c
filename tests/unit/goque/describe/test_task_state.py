"""Where a task stands and what follows, in words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from goque.describe.task_state import describe_claims, describe_next, lasting
from goque.storage.contract import NodeRow, TypePolicy
from goque.task import TaskRow

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
NODE = NodeRow("n1", 7, "alive", "web-1", 42, NOW, NOW)
DEAD = NodeRow("n1", 7, "dead", "web-1", 42, NOW, NOW)
POLICY = TypePolicy("mail", 5, None, None, 3600.0, 7 * 86400.0, 60.0)


def row(status: str, **fields: Any) -> TaskRow:
    known = {"updated_at": NOW - timedelta(minutes=10), "next_attempt_at": NOW, "attempts": 0}
    known |= fields
    return TaskRow(
        "an-id",
        "mail",
        "x",
        b"{}",
        status,
        known.pop("attempts"),
        None,
        None,
        NOW,
        known.pop("updated_at"),
        known.pop("next_attempt_at"),
        **known,
    )


def seconds(count: float) -> datetime:
    return NOW + timedelta(seconds=count)


@pytest.mark.parametrize(
    ("task", "node", "text"),
    [
        (row("new"), None, "never claimed"),
        (row("canceled"), None, "never claimed by a supervisor"),
        (row("processing"), None, "claimed now by the Go library"),
        (row("pending", claims=1), None, "claimed once, claimed now by the Go library"),
        (row("done"), None, "run by the Go library, which does not count its claims"),
        (row("error", attempts=1), None, "run by the Go library, which does not count its claims"),
        (row("attempts_left", attempts=3), None, "run by the Go library, which does not count its claims"),
        (row("error", claims=1), None, "claimed once, not claimed now"),
        (
            row("new", claims=3, lost_claims=2),
            None,
            "claimed 3 times, the last 2 times by a node that died before the handler started, not claimed now",
        ),
        (
            row("processing", claims=2, claimed_by="n1"),
            NODE,
            "claimed 2 times, claimed now by node n1 (web-1, supervisor pid 42, alive)",
        ),
        (
            row("processing", claims=2, claimed_by="n0"),
            None,
            "claimed 2 times, claimed now by node n0 (no longer known)",
        ),
    ],
)
def test_claims(task: TaskRow, node: NodeRow | None, text: str) -> None:
    assert describe_claims(task, node) == text


@pytest.mark.parametrize(
    ("task", "node", "text"),
    [
        (row("new", next_attempt_at=seconds(35)), None, "attempt 1 of 5 is due in 35s"),
        (row("error", attempts=2, next_attempt_at=seconds(-300)), None, "attempt 3 of 5 has been due for 5m"),
        (row("pending", claimed_by="n1"), NODE, "waiting for a free worker on web-1 for 10m"),
        (row("processing", claimed_by="n1"), NODE, "running on web-1 for 10m"),
        (
            row("processing", claimed_by="n1"),
            DEAD,
            "its node is gone; a healer returns it and charges an attempt",
        ),
        (
            row("pending", claimed_by="n1"),
            None,
            "its node is gone; a healer returns it without charging an attempt",
        ),
        (
            row("processing"),
            None,
            "running for 10m, claimed by the Go library; a healer returns it when it is too old",
        ),
        (row("canceled", claimed_by="n1"), NODE, "its handler is being stopped"),
        (row("canceled", claimed_by="n1"), DEAD, "its node is gone; a healer releases its claim"),
        (row("canceled", claimed_by="n0"), None, "its node is gone; a healer releases its claim"),
        (row("done"), None, "finished; will be deleted in 50m"),
        (
            row("canceled", updated_at=seconds(-9999)),
            None,
            "finished; will be deleted in the next round of the cleaner",
        ),
        (row("attempts_left"), None, "failed; `goque reset an-id` tries it again; will be deleted in 6d"),
    ],
)
def test_what_follows(task: TaskRow, node: NodeRow | None, text: str) -> None:
    assert describe_next(task, POLICY, node, NOW) == text


def test_what_follows_where_nobody_may_claim_or_has_claimed() -> None:
    paused = TypePolicy("mail", 5, None, None, 3600.0, 600.0, 60.0, paused=True)
    assert describe_next(row("new"), paused, None, NOW) == (
        "attempt 1 of 5 has been due for 0s; the type is paused; `goque resume mail` starts it again"
    )
    assert describe_next(row("processing", claimed_by="n1"), None, DEAD, NOW) == (
        "its node is gone; a healer returns it without charging an attempt"
    )
    assert describe_next(row("new"), None, None, NOW) == (
        "attempt 1 has been due for 0s; no supervisor has run tasks of type 'mail' yet"
    )
    assert describe_next(row("done"), None, None, NOW) == "finished"


def test_lengths_of_time() -> None:
    assert [lasting(value) for value in (0, 119, 120, 7200, 3 * 86400, 800 * 86400)] == [
        "0s",
        "119s",
        "2m",
        "2h",
        "3d",
        "2y",
    ]
