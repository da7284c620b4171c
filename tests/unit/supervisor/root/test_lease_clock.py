"""How long a node counts on its lease, as a history of heartbeats."""

from __future__ import annotations

from goque_supervisor.root.lease_clock import LeaseClock


def begun(sent_at: float = 100.0) -> LeaseClock:
    tenure = LeaseClock(node_timeout=30.0)
    assert tenure.begin("first", sent_at) is False
    return tenure


def test_there_is_nothing_to_lose_before_the_first_lease() -> None:
    tenure = LeaseClock(node_timeout=30.0)
    assert tenure.lose(1e9) is False
    assert (tenure.may_claim_as, tenure.all_owners) == ("", [])


def test_a_lease_is_lost_once_before_others_may_call_the_node_dead_counted_from_when_its_beat_was_sent() -> (
    None
):
    tenure = begun(sent_at=100.0)
    assert tenure.lose(124.9) is False
    assert tenure.may_claim_as == "first"
    assert tenure.lose(125.1) is True
    assert tenure.lose(125.2) is False
    assert (tenure.may_claim_as, tenure.owner, tenure.all_owners) == ("", "first", ["first"])


def test_each_beat_puts_the_loss_off_and_one_after_a_loss_ends_it() -> None:
    tenure = begun()
    assert tenure.beaten(120.0) is False
    assert tenure.lose(140.0) is False
    assert tenure.lose(146.0) is True
    assert tenure.beaten(150.0) is True
    assert tenure.may_claim_as == "first"
    assert tenure.lose(160.0) is False


def test_beats_that_are_told_late_or_twice_do_not_shorten_it() -> None:
    tenure = begun(sent_at=100.0)
    tenure.beaten(120.0)
    tenure.beaten(110.0)
    assert tenure.lose(144.0) is False


def test_a_node_that_was_declared_dead_goes_on_under_a_new_name_and_still_owns_the_former() -> None:
    tenure = begun()
    assert tenure.begin("second", 200.0) is True
    assert (tenure.may_claim_as, tenure.all_owners) == ("second", ["first", "second"])
    assert tenure.begin("second", 210.0) is False
