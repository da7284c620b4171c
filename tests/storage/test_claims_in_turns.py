"""Claims of several types in one transaction, for a pool."""

from __future__ import annotations

import pytest
from backends import add, claim, done, row_of
from undone_claims import undo_claims

from goque.options import ProcessorOptions
from goque.storage.contract import Claim, policy_of


def test_each_type_gets_what_was_asked_of_its_priority(storage):
    for task_type in ("a", "b", "c"):
        for priority in (0, 0, 0, 5):
            add(storage, task_type, priority=priority)
    rows = storage.claim_in_turns([Claim("a", 0, 2), Claim("b", 5, 10), Claim("c", 7, 10)], "node-1")
    assert sorted((row.type, row.priority) for row in rows) == [("a", 0), ("a", 0), ("b", 5)]
    assert {(row.status, row.claimed_by, row.claims) for row in rows} == {("pending", "node-1", 1)}
    storage.settle_if_held([done(row) for row in rows])
    assert len(storage.claim_in_turns([Claim("a", 0, 9), Claim("b", 0, 9)], "node-1")) == 1 + 3


def test_a_task_is_claimed_once(storage, other):
    for number in range(20):
        add(storage, "ab"[number % 2])
    wanted = [Claim("a", 0, 6), Claim("b", 0, 6)]
    claimed = [row.id for one in (storage, other) for row in one.claim_in_turns(wanted, "node-1")]
    assert len(claimed) == len(set(claimed)) == 20


def test_paused_types_and_types_without_tasks_give_nothing(storage):
    add(storage, "a")
    add(storage, "b")
    storage.publish_types([policy_of("a", ProcessorOptions())])
    storage.pause_type("a")
    rows = storage.claim_in_turns([Claim("a", 0, 5), Claim("b", 0, 5), Claim("c", 0, 5)], "node-1")
    assert [row.type for row in rows] == ["b"]


@pytest.mark.fault(47)
def test_a_task_that_cannot_be_changed_keeps_back_no_other(storage, backend):
    undo_claims(backend)
    stuck = add(storage, "a", external_id="stuck")
    others = {add(storage, task_type).id for task_type in ("a", "b", "b")}
    wanted = [Claim("a", 0, 5), Claim("b", 0, 5)]
    claimed = {row.id for _ in range(4) for row in storage.claim_in_turns(wanted, "node-1")}
    assert claimed == others
    assert row_of(storage, stuck).status == "new"


def test_the_claims_are_those_of_the_owner(storage):
    add(storage, "a")
    add(storage, "b")
    rows = storage.claim_in_turns([Claim("a", 0, 5), Claim("b", 0, 5)], "node-1")
    assert {held.token for held in storage.claims_of_owner("node-1")} == {row.token for row in rows}
    assert claim(storage, "node-2", "a") == []
