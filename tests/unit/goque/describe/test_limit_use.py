"""What people read of limits, and of what holds tasks back."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from goque.describe.limit_use import describe_next_start, has_limits, holding_nodes
from goque.storage.contract import KeyUse, LimitUse, NodeRow, Owner
from goque.task_rules.limits import LimitChanges, Limits

NOW = datetime(2026, 11, 23, tzinfo=UTC)


def use(
    limits: Limits, *keys: KeyUse, running: int = 0, next_start: float = 0.0, waiting: int = 1, **start: Any
) -> LimitUse:
    return LimitUse(
        "sync",
        limits,
        limits,
        running=running,
        next_start=next_start,
        keys=keys,
        waiting=waiting,
        **{"start_in": next_start, **start},
    )


def key(name: str, running: int = 0, waiting: int = 1, **wait: float) -> KeyUse:
    return KeyUse(name, running, waiting, **wait)


@pytest.mark.parametrize(
    ("of_type", "of_key", "text"),
    [
        (use(Limits(2), running=1), None, "now"),
        (use(Limits(2), running=2), None, "when a place is free"),
        (use(Limits(2), running=2, next_start=0.2), None, "in 1s, if a place is free"),
        (use(Limits(), running=2, next_start=12.0), None, "in 12s"),
        (use(Limits(2), waiting=0, start_in=None), None, "nothing waits"),
        (use(Limits(2), start_in=None, is_key_full=True), None, "when a place is free"),
        (use(Limits(2), start_in=5.0, is_key_full=True), None, "when a place is free, or in 5s"),
        (use(Limits(2), start_in=0.0, is_key_full=True), None, "now"),
        (use(Limits(2), running=2, start_in=None, is_start_known=False), None, "when a place is free"),
        (use(Limits(), start_in=None, is_start_known=False), None, "as its keys allow"),
        (use(Limits(), start_in=5.0, is_start_known=False), None, "in 5s at the latest"),
        (use(Limits(2), running=1), key("a", 1), "now"),
        (use(Limits(2), running=1), key("a", 1, waiting=0), "nothing waits"),
        (use(Limits(2, 1), running=1), key("a", 1), "when a place is free"),
        (use(Limits(2, 1), running=1), key("a", 1, next_start=9.0), "in 9s, if a place is free"),
        (use(Limits(9, 1), running=3), key("", 3), "now"),
        (use(Limits(2, 9), running=2), key("a"), "when a place is free"),
        (use(Limits(), next_start=5.0), key("a", next_start=60.0), "in 60s"),
        (use(Limits(), next_start=90.0), key("a", next_start=60.0), "in 90s"),
        (use(Limits()), key("a", due_in=60.0), "in 60s"),
    ],
)
def test_the_next_start_waits_for_a_place_or_a_time(
    of_type: LimitUse, of_key: KeyUse | None, text: str
) -> None:
    assert describe_next_start(of_type, of_key) == text
    when_paused = text if text == "nothing waits" else "when it is resumed"
    assert describe_next_start(of_type, of_key, paused=True) == when_paused


def test_a_type_that_nothing_holds_back_has_no_limits() -> None:
    assert not has_limits(use(Limits(), KeyUse("", running=3)))
    assert has_limits(use(Limits(), KeyUse("a")))
    assert has_limits(use(Limits(), next_start=1.0))
    assert has_limits(use(Limits(limit=1)))
    assert has_limits(msgspec.structs.replace(use(Limits()), changes=LimitChanges(limit=None)))


def test_nodes_are_named_by_their_hosts() -> None:
    nodes = {
        node: NodeRow(node, 1, state, host, pid, NOW, NOW)
        for node, host, pid, state in (
            ("n1", "b", 1, "alive"),
            ("n2", "a", 2, "dead"),
            ("n3", "b", 3, "alive"),
        )
    }
    owners = [Owner("n1", 2), Owner("n2", 1), Owner("n9", 1)]
    assert holding_nodes(owners, nodes) == ["a (dead)", "b pid 1", "n9 (not known)"]
