from __future__ import annotations

import logging

import pytest

from goque.storage.sql.claiming.unclaimable import EMPTY_CLAIMS, KEPT, Unclaimable

pytestmark = pytest.mark.fault(49)


def test_what_could_not_be_changed_is_left_out_for_a_while() -> None:
    unclaimable = Unclaimable()
    unclaimable.claimed("mail", 1, {7: "a", 8: "b"}, 100.0)
    assert unclaimable.keys("mail", 100.0 + KEPT - 1) == [7, 8]
    assert unclaimable.keys("other", 100.0) == []
    assert not unclaimable.is_due("mail", 100.0)
    assert unclaimable.keys("mail", 100.0 + KEPT) == []
    assert unclaimable.is_due("mail", 100.0 + KEPT)


def test_it_is_logged_once_a_minute_and_type(caplog: pytest.LogCaptureFixture) -> None:
    unclaimable = Unclaimable()
    with caplog.at_level(logging.WARNING, "goque.storage"):
        for now in (100.0, 110.0, 100.0 + KEPT):
            unclaimable.claimed("mail", 0, {"a": "of-the-row"}, now)
        unclaimable.claimed("other", 0, {"a": "of-the-row"}, 110.0)
    assert [record.getMessage().count("of-the-row") for record in caplog.records] == [1, 1, 1]


def test_a_claim_that_gets_nothing_looks_for_the_reason_if_a_task_is_due() -> None:
    unclaimable = Unclaimable()
    assert not unclaimable.is_suspected("mail")
    assert unclaimable.is_due("mail", 0.0)
    assert not unclaimable.is_suspected("mail"), "no claim has got nothing yet"
    unclaimable.claimed("mail", 0, {}, 0.0)
    assert not unclaimable.is_suspected("mail")
    assert unclaimable.is_due("mail", 0.0)
    assert unclaimable.is_suspected("mail")
    unclaimable.claimed("mail", 5, {}, 0.0)
    assert not unclaimable.is_suspected("mail")


def test_it_looks_for_the_reason_once_in_many_claims_that_get_nothing() -> None:
    unclaimable = Unclaimable()
    looked = []
    for number in range(10):
        looked.append(unclaimable.is_suspected("mail"))
        unclaimable.claimed("mail", 0, {}, float(number))
    assert looked.index(True) == EMPTY_CLAIMS - 1
    assert sum(looked) == 1


def test_empty_claims_are_counted_for_each_priority() -> None:
    unclaimable = Unclaimable()
    for _ in range(EMPTY_CLAIMS - 1):
        unclaimable.claimed("mail", 0, {}, 0.0, priority=5)
        unclaimable.claimed("mail", 3, {}, 0.0, priority=0)
    assert unclaimable.is_suspected("mail", 5)
    assert not unclaimable.is_suspected("mail", 0)
    assert not unclaimable.is_suspected("mail")


def test_a_task_that_is_seen_due_in_one_priority_makes_the_next_claim_of_it_and_of_all_look_for_the_reason() -> (
    None
):
    unclaimable = Unclaimable()
    for priority in (5, 0, None):
        unclaimable.claimed("mail", 0, {}, 0.0, priority=priority)
    unclaimable.claimed("other", 0, {}, 0.0)
    unclaimable.seen_due("mail", 5)
    assert [unclaimable.is_suspected("mail", priority) for priority in (5, 0, None)] == [True, False, True]
    assert not unclaimable.is_suspected("other")
