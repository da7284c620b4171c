"""From which type a pool claims next."""

from __future__ import annotations

from collections import Counter

import pytest

from goque.storage.contract import Claim, DueLevel
from goque_supervisor.fetcher.claiming.turns import FRESH, Turns

NOW = 1000.0


def due(*levels: tuple[str, int]) -> list[DueLevel]:
    return [DueLevel(name, priority, 0.0) for name, priority in levels]


def ten(_task_type: str) -> int:
    return 10


def take(turns: Turns, found: int = 10) -> tuple[str, int]:
    """Claim from the type whose turn it is."""
    name = turns.next(ten)[0]
    claim = Claim(name, turns.priority(name), 10)
    turns.claimed(claim, found, NOW)
    return name, claim.priority


def test_types_of_one_priority_take_turns() -> None:
    turns = Turns("abc", 1.0)
    turns.learn(due(("a", 0), ("b", 0), ("c", 0)), NOW)
    assert turns.next(ten) == ["a", "b", "c"]
    assert [take(turns)[0] for _ in range(6)] == ["a", "b", "c"] * 2


def test_a_backlog_delays_the_next_task_of_another_type_by_one_claim() -> None:
    turns = Turns(["busy", "rare"], 1.0)
    turns.learn(due(("busy", 0)), NOW)
    assert {take(turns) for _ in range(100)} == {("busy", 0)}
    turns.learn(due(("busy", 0), ("rare", 0)), NOW)
    assert turns.next(ten) == ["rare", "busy"]


def test_a_higher_priority_comes_first_whatever_the_type() -> None:
    turns = Turns("abc", 1.0)
    turns.learn(due(("a", 0), ("a", 5), ("b", 3), ("c", 5)), NOW)
    assert turns.next(ten) == ["a", "c"]
    claims = [take(turns, found) for found in (10, 9, 4, 10, 2, 1)]
    assert claims == [("a", 5), ("c", 5), ("a", 5), ("b", 3), ("b", 3), ("a", 0)]
    assert not turns.has_due


def test_a_type_that_no_worker_can_take_loses_no_turn() -> None:
    turns = Turns("ab", 1.0)
    turns.learn(due(("a", 9), ("b", 0)), NOW)
    assert turns.next(lambda name: 5 if name == "b" else 0) == ["b"]
    assert turns.next(lambda name: 0) == []
    assert turns.next(ten) == ["a"]


def test_what_is_learned_is_trusted_for_a_moment_and_forgotten_at_a_wakeup() -> None:
    turns = Turns("a", 1.0)
    assert not turns.is_fresh(NOW)
    turns.learn(due(("a", 0)), NOW)
    assert turns.is_fresh(NOW + FRESH / 2)
    assert not turns.is_fresh(NOW + FRESH * 2)
    turns.learn(due(("a", 0)), NOW, took=0.5)
    assert turns.is_fresh(NOW + 4)
    turns.forget()
    assert not turns.is_fresh(NOW)


@pytest.mark.parametrize(
    ("levels", "seconds"),
    [([], None), ([DueLevel("a", 0, 7.0), DueLevel("a", 5, 3.0)], 3.0), (due(("a", 0)), None)],
)
def test_it_tells_when_more_is_due(levels: list[DueLevel], seconds: float | None) -> None:
    assert Turns("a", 1.0).learn(levels, NOW) == seconds


def test_a_type_whose_due_tasks_cannot_be_claimed_rests_and_takes_no_turn() -> None:
    turns = Turns("ab", 1.0)
    levels = due(("a", 5), ("b", 0))
    turns.learn(levels, NOW)
    turns.claimed(Claim("a", 5, 10), 0, NOW)
    assert turns.learn(levels, NOW + 0.4) == pytest.approx(0.6)
    assert turns.next(ten) == ["b"]
    turns.learn(levels, NOW + 1)
    assert turns.next(ten) == ["a"]


def test_a_thousand_claims_are_shared_evenly() -> None:
    turns = Turns([f"t{number}" for number in range(60)], 1.0)
    turns.learn(due(*((f"t{number}", 0) for number in range(60))), NOW)
    counts: Counter[str] = Counter()
    for _ in range(1200):
        counts[take(turns)[0]] += 1
    assert set(counts.values()) == {20}


def test_a_type_whose_last_due_task_was_taken_by_the_claim_before_does_not_rest() -> None:
    turns = Turns("a", 1.0)
    turns.learn(due(("a", 0)), NOW)
    take(turns, found=10)
    take(turns, found=0)
    assert not turns.has_due
    turns.learn(due(("a", 0)), NOW + 0.03)  # a task that failed is due at once
    assert turns.next(ten) == ["a"]


def test_due_tasks_of_a_type_that_rests_are_not_forgotten() -> None:
    turns = Turns("ab", 1.0)
    turns.learn(due(("a", 0)), NOW)
    assert not turns.leaves_due
    take(turns, found=0)
    turns.learn(due(("a", 0)), NOW + 0.03)
    assert (turns.has_due, turns.leaves_due) == (False, True)
    turns.learn(due(("a", 0)), NOW + 1.03)
    assert (turns.has_due, turns.leaves_due) == (True, False)
