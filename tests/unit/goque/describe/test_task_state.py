"""Where a task stands and what follows, in words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from goque.describe.task_state import describe_claims, describe_next, lasting, may_be_held_back
from goque.storage.contract import LimitLoad, NodeRow, TypePolicy
from goque.task_row import TaskRow
from goque.task_rules.limits import Limits

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
NODE = NodeRow("n1", 7, "alive", "web-1", 42, NOW, NOW)
DEAD = NodeRow("n1", 7, "dead", "web-1", 42, NOW, NOW)
POLICY = TypePolicy("mail", 5, None, None, 3600.0, 7 * 86400.0, 60.0)


def row(status: str, **fields: Any) -> TaskRow:
    known = {"updated_at": NOW - timedelta(minutes=10), "next_attempt_at": NOW, "attempts": 0, "errors": None}
    known |= fields
    return TaskRow(
        "an-id",
        "mail",
        "x",
        b"{}",
        status,
        known.pop("attempts"),
        known.pop("errors"),
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
        (row("new", errors="reset attempts: now\n"), None, "never claimed by a supervisor"),
        (
            row("new", errors="attempt 1: boom\nreset attempts: now\n"),
            None,
            "run by the Go library, which does not count its claims",
        ),
        (row("blocked", flags=5), None, "never claimed"),
        (row("blocked", errors="blocked again: a need was reset\n"), None, "never claimed by a supervisor"),
        (row("canceled", errors="canceled: needs mail x: boom\n"), None, "never claimed by a supervisor"),
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
        (row("done", flags=4), None, "finished; will be deleted with its flow"),
        (row("done", flags=2), None, "finished; will be deleted after the tasks that need it"),
        (row("blocked", flags=5), None, "it waits for the end of tasks that it needs"),
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


LIMITED = msgspec.structs.replace(POLICY, limits=Limits(limit=20, per_key=2))


@pytest.mark.parametrize(
    ("load", "key", "text"),
    [
        ({"running": 19, "key_running": 1}, "a", ""),
        (
            {"running": 20, "key_running": 2},
            "a",
            "; it waits for a place: 20 of 20 tasks of its type run",
        ),
        (
            {"running": 5, "key_running": 2, "next_start": 9.0},
            "a",
            "; it waits for a place: 2 of 2 tasks with its key run",
        ),
        ({"running": 5, "key_running": 9}, "", ""),
        ({"running": 5, "key_running": 9}, None, ""),
        ({"next_start": 41.7}, "a", "; the next task of its type may start in 42s"),
        ({"next_start": 0.2}, "a", "; the next task of its type may start in 1s"),
        ({"key_next_start": 7200.0}, "a", "; the next task with its key may start in 2h"),
    ],
)
def test_the_limit_that_holds_a_task_back_is_named(load: dict[str, Any], key: str | None, text: str) -> None:
    waiting = row("new", next_attempt_at=seconds(-300), limit_key=key)
    told = describe_next(waiting, LIMITED, None, NOW, LimitLoad(LIMITED.limits, **load))
    assert told == f"attempt 1 of 5 has been due for 5m{text}"


def test_only_a_due_task_of_a_limited_type_may_be_held_back() -> None:
    waiting = row("new", next_attempt_at=seconds(-300))
    paused = msgspec.structs.replace(LIMITED, paused=True)
    assert may_be_held_back(waiting, LIMITED, NOW)
    assert not may_be_held_back(waiting, paused, NOW)
    assert not may_be_held_back(waiting, POLICY, NOW)
    assert not may_be_held_back(row("new", next_attempt_at=seconds(5)), LIMITED, NOW)
    assert not may_be_held_back(row("processing", claimed_by="n1"), LIMITED, NOW)
    load = LimitLoad(LIMITED.limits, running=20)
    assert "a place" not in describe_next(waiting, paused, None, NOW, load)


def test_lengths_of_time() -> None:
    assert [lasting(value) for value in (0, 119, 120, 7200, 3 * 86400, 800 * 86400)] == [
        "0s",
        "119s",
        "2m",
        "2h",
        "3d",
        "2y",
    ]
