"""What the storage tells of commits that it has lost, and of claims in a node's name, on each backend."""

from __future__ import annotations

import pytest
from backends import add, claim, row_of

from goque.outcome import release


@pytest.fixture
def node(storage):
    storage.register_node("node-1", host="web-1", pid=42, info="{}")
    return "node-1"


def test_a_heartbeat_counts_from_the_acknowledged_number_on_and_its_number_rises(storage, node):
    assert storage.beat_after(node, 1, 2)
    assert storage.beat_after(node, 2, 5, info='{"app": "a"}'), "two tries were not answered"
    assert storage.beat_after(node, 2, 6), "and one was written whose answer was lost"
    found = storage.node(node)
    assert (found.seq, found.state, found.info) == (6, "alive", '{"app": "a"}')


@pytest.mark.parametrize(("acknowledged", "seq"), [(5, 6), (3, 4), (4, 4), (2, 3)])
def test_a_heartbeat_changes_nothing_if_the_table_knows_less_or_as_much(storage, node, acknowledged, seq):
    storage.beat_after(node, 1, 4)
    assert not storage.beat_after(node, acknowledged, seq)
    assert storage.node(node).seq == 4


def test_a_node_that_is_gone_or_declared_dead_does_not_beat(storage, node):
    assert not storage.beat_after("node-2", 1, 2)
    assert storage.node("node-2") is None
    storage.mark_node_dead(node, 1)
    assert not storage.beat_after(node, 1, 2)
    assert storage.node(node).state == "dead"


def test_the_claims_of_an_owner_show_whatever_the_status_of_their_task(storage):
    for task_type in ("mail", "mail", "report"):
        add(storage, task_type)
    first, second = claim(storage, limit=2)
    [report] = claim(storage, task_type="report")
    storage.mark_processing([first.token])
    storage.cancel_unless_finished(second.id)
    assert {held.token for held in storage.claims_of_owner("node-1", "mail")} == {first.token, second.token}
    assert {(held.token, held.type) for held in storage.claims_of_owner("node-1")} == {
        (first.token, "mail"),
        (second.token, "mail"),
        (report.token, "report"),
    }
    assert storage.claims_of_owner("node-2") == []
    assert storage.claims_in_doubt() == set()


def test_claims_move_to_another_owner_if_they_still_hold(storage):
    for _ in range(2):
        add(storage)
    kept, settled = claim(storage, limit=2)
    storage.settle_if_held([release(settled)])
    storage.move_claims([kept.token, settled.token], "node-2")
    [moved] = storage.claims_of_owner("node-2")
    assert (moved.token.task_id, moved.token.claims) == (kept.id, kept.claims)
    assert storage.claims_of_owner("node-1") == []
    assert row_of(storage, settled).claimed_by is None
    assert storage.settle_if_held([release(kept)]) == set(), "the former owner's token does not hold any more"


@pytest.mark.parametrize("end", ["pending", "processing", "canceled"])
def test_a_claim_is_released_uncharged_and_a_task_that_has_ended_loses_its_owner_alone(storage, end):
    add(storage)
    [row] = claim(storage)
    if end == "processing":
        storage.mark_processing([row.token])
    elif end == "canceled":
        storage.cancel_unless_finished(row.id)
    storage.settle_if_held([release(storage.get_task(row.id))])
    left = storage.get_task(row.id)
    assert (left.status, left.claimed_by, left.attempts) == (
        "canceled" if end == "canceled" else "new",
        None,
        0,
    )
