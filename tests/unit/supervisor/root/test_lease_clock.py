"""How long a node counts on its lease, as a history of heartbeats."""

from __future__ import annotations

import math

import pytest

from goque_supervisor.root.lease_clock import LeaseClock


def begun(sent_at: float = 100.0) -> LeaseClock:
    clock = LeaseClock(node_timeout=30.0)
    assert clock.begin("first", sent_at) is False
    return clock


def test_there_is_nothing_to_lose_before_the_first_lease() -> None:
    clock = LeaseClock(node_timeout=30.0)
    assert clock.expire(1e9) is False
    assert (clock.may_claim_as, clock.all_owners) == ("", [])


def test_a_lease_is_lost_once_before_others_may_call_the_node_dead_counted_from_when_its_beat_was_sent() -> (
    None
):
    clock = begun(sent_at=100.0)
    assert clock.expire(124.9) is False
    assert clock.may_claim_as == "first"
    assert clock.expire(125.1) is True
    assert clock.expire(125.2) is False
    assert (clock.may_claim_as, clock.owner, clock.all_owners) == ("", "first", ["first"])


@pytest.mark.parametrize(
    ("node_timeout", "hold"), [(1.0, 2 / 3), (3.0, 2.0), (4.0, 3.0), (6.0, 5.0), (60.0, 50.0)]
)
def test_a_second_is_left_for_killing_unless_node_timeout_is_very_short(
    node_timeout: float, hold: float
) -> None:
    clock = LeaseClock(node_timeout=node_timeout)
    clock.begin("first", 100.0)
    assert clock.hold == pytest.approx(hold)
    assert clock.expire(100.0 + hold - 0.01) is False
    assert clock.expire(100.0 + hold + 0.01) is True


def test_it_says_when_it_can_be_lost() -> None:
    clock = LeaseClock(node_timeout=30.0)
    assert clock.seconds_left(100.0) == math.inf
    clock.begin("first", 100.0)
    assert clock.seconds_left(110.0) == pytest.approx(15.0)
    clock.renewed(105.0)
    assert clock.seconds_left(110.0) == pytest.approx(20.0)
    assert clock.seconds_left(131.0) == 0.0
    clock.expire(131.0)
    assert clock.seconds_left(131.0) == math.inf


def test_each_beat_puts_the_loss_off_and_one_after_a_loss_ends_it() -> None:
    clock = begun()
    assert clock.renewed(120.0) is False
    assert clock.expire(140.0) is False
    assert clock.expire(146.0) is True
    assert clock.renewed(150.0) is True
    assert clock.may_claim_as == "first"
    assert clock.expire(160.0) is False


def test_beats_that_are_told_late_or_twice_do_not_shorten_it() -> None:
    clock = begun(sent_at=100.0)
    clock.renewed(120.0)
    clock.renewed(110.0)
    assert clock.expire(144.0) is False


def test_a_node_that_was_declared_dead_goes_on_under_a_new_name_and_still_owns_the_former() -> None:
    clock = begun()
    assert clock.begin("second", 200.0) is True
    assert (clock.may_claim_as, clock.all_owners) == ("second", ["first", "second"])
    assert clock.begin("second", 210.0) is False
