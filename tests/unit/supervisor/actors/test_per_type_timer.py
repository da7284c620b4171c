"""Each type has its own period and timeout for cleaning and healing."""

from __future__ import annotations

from goque_supervisor.actors.per_type_timer import PERIOD, POLICIES_PERIOD, TIMEOUT, PerTypeTimer

SPECS = [
    {"type": "often", "options": {"cleaner_period": 10.0, "cleaner_timeout": 2.0, "healer_period": 7.0}},
    {"type": "seldom", "options": {"cleaner_period": 1000.0}},
]
TYPES = ["often", "seldom", "of another node", None]


class Clock:
    def __init__(self) -> None:
        self.now = 50.0

    def __call__(self) -> float:
        return self.now


def test_everything_has_its_turn_at_first_and_then_by_its_own_period() -> None:
    clock = Clock()
    rounds = PerTypeTimer("cleaner", SPECS, clock)
    assert rounds.due(TYPES) == TYPES
    ends = [rounds.begin(task_type) for task_type in TYPES]
    assert ends == [52.0, 50.0 + TIMEOUT, 50.0 + TIMEOUT, 50.0 + TIMEOUT]
    assert rounds.due(TYPES) == []
    assert rounds.pause() == 10.0
    clock.now += 10
    assert rounds.due(TYPES) == ["often"]
    rounds.begin("often")
    clock.now += PERIOD
    assert rounds.due(TYPES) == ["often", "of another node", None]


def test_a_type_that_was_never_seen_has_its_turn_at_once_and_one_that_is_gone_is_forgotten() -> None:
    clock = Clock()
    rounds = PerTypeTimer("cleaner", SPECS, clock)
    for task_type in rounds.due(["seldom"]):
        rounds.begin(task_type)
    assert rounds.due(["seldom", "new"]) == ["new"]
    rounds.begin("new")
    assert rounds.due(["seldom"]) == []
    assert rounds.pause() == POLICIES_PERIOD, "a type may be published meanwhile"


def test_healing_has_options_of_its_own() -> None:
    rounds = PerTypeTimer("healer", SPECS, Clock())
    for task_type in rounds.due(["often", "seldom"]):
        rounds.begin(task_type)
    assert rounds.pause() == 7.0


def test_with_nothing_to_look_after_policies_are_read_again_soon() -> None:
    assert PerTypeTimer("cleaner", [], Clock()).pause() == POLICIES_PERIOD


def test_the_types_without_a_policy_may_have_a_period_of_their_own() -> None:
    clock = Clock()
    rounds = PerTypeTimer("healer", SPECS, clock, unpublished_period=5.0)
    for task_type in rounds.due(["seldom", None]):
        rounds.begin(task_type)
    assert rounds.pause() == 5.0
