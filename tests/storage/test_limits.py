"""Claims by limits: never more than the limit, keys in turns, and a place that is free when the claim is gone."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import pytest
from backends import add, claim, done, move, row_of
from undone_claims import undo_claims

from goque import ConfigurationError, Rate, Registry, TaskStateError
from goque.outcome import Outcome, OutcomeKind, settle
from goque.queue.manager import TaskQueueManager
from goque.storage.contract import HeldBack, TypePolicy
from goque.storage.sql import limit_control
from goque.storage.sql.claiming import keyless as keyless_tasks
from goque.storage.sql.claiming.unclaimable import EMPTY_CLAIMS
from goque.storage.sql.limits import holders
from goque.task import Task
from goque.task_row import TaskStatus
from goque.task_rules.limits import Limits
from goque.task_rules.retry_policy import RetryPolicy


def limited(storage, *, task_type="mail", takes_turns=False, **limits):
    storage.publish_types(
        [
            TypePolicy(
                task_type, 5, None, None, 1.0, 1.0, 1.0, limits=Limits(**limits), takes_turns=takes_turns
            )
        ]
    )


@pytest.fixture
def queue(storage):
    return TaskQueueManager(storage)


def enqueue(queue, *keys, **options):
    return queue.add_tasks([Task("mail", {"n": 1}, limit_key=key, **options) for key in keys])


def keys_of(rows):
    return Counter(row.limit_key for row in rows)


def test_no_more_than_the_limit_are_claimed_and_an_end_frees_a_place(storage, queue):
    limited(storage, limit=3)
    enqueue(queue, *[None] * 5)
    rows = claim(storage, limit=10)
    assert len(rows) == 3
    assert storage.held_back("mail") == HeldBack(places=True)
    assert claim(storage, limit=10, owner="node-2") == []
    storage.settle_if_held([done(rows[0])])
    assert len(claim(storage, limit=10, owner="node-2")) == 1
    assert claim(storage, limit=10) == []


@pytest.mark.parametrize(
    "status", [TaskStatus.ERROR, TaskStatus.NEW, TaskStatus.ATTEMPTS_LEFT, TaskStatus.CANCELED]
)
def test_whatever_returns_the_claim_frees_the_place(storage, queue, status):
    limited(storage, limit=1)
    enqueue(queue, None, None)
    [row] = claim(storage)
    storage.settle_if_held([move(row, status, attempts=1, delay=60.0)])
    assert len(claim(storage)) == 1


def test_a_canceled_task_holds_its_place_until_its_node_lets_go(storage, queue):
    limited(storage, limit=1)
    enqueue(queue, None, None)
    [row] = claim(storage)
    queue.cancel_task(row.id)
    assert claim(storage) == []
    storage.settle_if_held([move(row, TaskStatus.CANCELED)])
    assert len(claim(storage)) == 1


def test_each_key_has_places_of_its_own_and_tasks_without_one_have_none(storage, queue):
    limited(storage, per_key=2)
    enqueue(queue, *"aaaabbb", None, None, None)
    rows = claim(storage, limit=100)
    assert keys_of(rows) == {"a": 2, "b": 2, "": 3}
    assert claim(storage, limit=100) == []
    assert storage.held_back("mail") == HeldBack(places=True)
    storage.settle_if_held([done(next(row for row in rows if row.limit_key == "b"))])
    assert keys_of(claim(storage, limit=100)) == {"b": 1}


def test_keys_take_turns_whatever_their_backlog_and_priority(storage, queue):
    limited(storage, takes_turns=True)
    enqueue(queue, *["big"] * 50, priority=9)
    enqueue(queue, *["a", "b", "c"] * 2)
    order = [claim(storage, limit=1)[0].limit_key for _ in range(8)]
    assert order == ["a", "b", "big", "c"] * 2
    assert keys_of(claim(storage, limit=20)) == {"big": 20}


def test_tasks_without_a_key_take_one_turn_together(storage, queue, monkeypatch):
    monkeypatch.setattr(keyless_tasks, "LOOK_PERIOD", 0.0)
    limited(storage, takes_turns=True)
    enqueue(queue, *[None] * 9, *"aabb")
    order = [claim(storage, limit=1)[0].limit_key or "-" for _ in range(9)]
    assert order == ["-", "a", "b"] * 2 + ["-"] * 3


def test_keys_that_come_later_do_not_wait_behind_tasks_without_a_key(storage, queue, monkeypatch):
    monkeypatch.setattr(keyless_tasks, "LOOK_PERIOD", 0.0)
    limited(storage, takes_turns=True, limit=100)
    enqueue(queue, *[None] * 20, "b")
    assert len(claim(storage, limit=3)) == 3
    enqueue(queue, *"aa")
    order = [claim(storage, limit=1)[0].limit_key or "-" for _ in range(4)]
    assert order.count("a") == 2


def test_turns_go_on_over_all_nodes(storage, queue):
    limited(storage, takes_turns=True)
    enqueue(queue, *"aabbcc")
    order = [claim(storage, limit=1, owner=f"node-{turn % 2}")[0].limit_key for turn in range(6)]
    assert order == list("abcabc")


def test_within_a_key_the_priority_decides(storage, queue):
    limited(storage, per_key=1)
    enqueue(queue, "a", "a")
    [high] = enqueue(queue, "a", priority=5)
    assert [row.id for row in claim(storage, limit=10)] == [high.id]


def test_a_task_of_a_lower_priority_does_not_wait_for_one_that_is_still_to_come(storage, queue):
    limited(storage, per_key=1)
    enqueue(queue, "a", priority=5, delay=3600)
    [low] = enqueue(queue, "a")
    assert [row.id for row in claim(storage, limit=10)] == [low.id]


def test_tasks_without_keys_of_another_program_do_not_starve_behind_full_keys(storage, queue, monkeypatch):
    monkeypatch.setattr(keyless_tasks, "LOOK_PERIOD", 0.0)
    limited(storage, per_key=1)
    enqueue(queue, *["a"] * 300)
    assert len(claim(storage, limit=10)) == 1
    [keyless] = enqueue(queue, None)
    found = claim(storage, limit=10) or claim(storage, limit=10)  # a part of the table is looked at each time
    assert [row.id for row in found] == [keyless.id]


def test_a_type_whose_tasks_have_keys_takes_turns_without_any_option(storage, queue):
    enqueue(queue, *["a"] * 5, "b", "c")
    assert [row.limit_key for row in claim(storage, limit=1)] == ["a"]
    assert [claim(storage, limit=1)[0].limit_key for _ in range(3)] == ["a", "b", "c"]


def test_limits_that_another_app_has_published_hold_here(storage, other, queue):
    enqueue(queue, *[None] * 5)
    assert len(claim(storage, limit=1)) == 1
    limited(other, limit=2)
    assert claim(storage, limit=10) == []
    assert storage.seconds_until_due("mail") == 0
    assert len(claim(storage, limit=10)) == 1  # the one from before is counted


def test_a_rate_lets_a_burst_start_and_then_one_after_the_other(storage, queue, clock):
    limited(storage, rate=Rate(6, per=60, burst=2))
    enqueue(queue, *[None] * 9)
    assert len(claim(storage, limit=9)) == 2
    assert storage.held_back("mail") == HeldBack(places=False, seconds=10.0)
    clock.advance(9.9)
    assert claim(storage, limit=9) == []
    clock.advance(0.2)
    assert len(claim(storage, limit=9)) == 1
    clock.advance(3600)
    assert len(claim(storage, limit=9)) == 2


def test_a_rate_for_each_key(storage, queue, clock):
    limited(storage, rate=Rate(1, per=10, per_key=True))
    enqueue(queue, *"aab", None, None)
    assert keys_of(claim(storage, limit=9)) == {"a": 1, "b": 1, "": 2}
    held = storage.held_back("mail")
    assert held is not None
    assert held == HeldBack(places=False, seconds=held.seconds)
    assert 9.9 < held.seconds <= 10.0
    clock.advance(10)
    assert keys_of(claim(storage, limit=9)) == {"a": 1}


def test_a_rate_for_each_of_more_keys_than_one_claim_looks_at(storage, queue):
    limited(storage, rate=Rate(4, per=4000, per_key=True))
    enqueue(queue, *(f"key-{number:04}" for number in range(1000)), *["last"] * 6)
    assert len(claim(storage, limit=1000)) == 1000
    assert [keys_of(claim(storage, limit=2)) for _ in range(3)] == [{"last": 2}, {"last": 2}, {}]


def test_a_registry_gives_tasks_their_keys(storage):
    registry = Registry()
    registry.processor("mail", limit_key=lambda payload: payload.get("tenant"), limit=5)(lambda payload: None)
    registry.processor("sms", limit_key="provider", limit_per_key=5)(lambda payload: None)
    queue = TaskQueueManager(storage, prepare_tasks=registry.prepare_tasks)
    assert queue.enqueue("mail", {"tenant": "acme"}).limit_key == "acme"
    no_key = queue.enqueue("mail", {"tenant": None})
    assert (no_key.limit_key, queue.get_task(no_key.id).limit_key) == (None, None)
    assert queue.enqueue("mail", {"tenant": None}, limit_key=no_key.limit_key).limit_key is None
    assert queue.enqueue("mail", {}, limit_key="own").limit_key == "own"
    assert queue.enqueue("mail", {"tenant": "acme"}, limit_key=None).limit_key == "acme"
    assert (
        queue.enqueue("sms", {}).limit_key == queue.enqueue("sms", {}, limit_key=None).limit_key == "provider"
    )
    assert queue.enqueue("sms", {}, limit_key="own").limit_key == "own"
    assert row_of(storage, queue.enqueue("mail", {"tenant": "acme"})).limit_key == "acme"


def test_a_paused_type_claims_nothing(storage, queue):
    limited(storage, limit=2)
    enqueue(queue, None)
    storage.pause_type("mail")
    assert claim(storage) == []
    storage.resume_type("mail")
    assert len(claim(storage)) == 1


def test_a_type_without_limits_is_claimed_as_ever(storage):
    for _ in range(3):
        add(storage)
    assert len(claim(storage, limit=10)) == 3
    assert not storage.is_limited("mail")


def test_limits_are_changed_at_run_time_and_the_rest_stays(storage, other, queue):
    limited(storage, limit=5, per_key=2)
    assert queue.set_limits("mail", limit=1) == Limits(limit=1, per_key=2)
    enqueue(queue, *"ab")
    assert len(claim(other)) == 0  # another node has not published the type, and a plain claim is refused
    assert other.seconds_until_due("mail") == 0
    assert len(claim(other)) == 1
    assert queue.set_limits("mail", rate=Rate(1, per=60), limit_per_key=None) == Limits(
        limit=1, rate=Rate(1, per=60)
    )
    assert queue.clear_limits("mail") == Limits(limit=5, per_key=2)
    assert len(claim(other)) == 1


def test_limits_can_be_set_for_a_type_that_declares_none(storage, queue):
    limited(storage)
    enqueue(queue, None, None)
    queue.set_limits("mail", limit=1)
    assert claim(storage) == []
    assert storage.seconds_until_due("mail") == 0
    assert len(claim(storage)) == 1
    queue.clear_limits("mail")
    assert len(claim(storage)) == 1
    assert not storage.is_limited("mail")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "give limit, limit_per_key or rate"),
        ({"limit": 0}, "limit must be a whole number from 1 up, not 0; to stop a type, pause it"),
        ({"limit_per_key": "2"}, "limit_per_key must be a whole number from 1 up, not '2'"),
        ({"rate": 5}, "rate must be a goque.Rate"),
    ],
)
def test_wrong_limits_change_nothing(storage, queue, given, said):
    limited(storage, limit=5)
    with pytest.raises(ConfigurationError, match=said):
        queue.set_limits("mail", **given)
    with pytest.raises(
        ConfigurationError, match="no supervisor has run tasks of type 'mial'; did you mean 'mail'"
    ):
        queue.set_limits("mial", limit=1)
    assert storage.type_policies()["mail"].effective_limits == Limits(limit=5)


def test_uses_name_each_key_with_what_runs_waits_and_starts_next(storage, queue):
    limited(storage, limit=5, per_key=1, rate=Rate(1, per=60, per_key=True))
    enqueue(queue, *"aab", None)
    rows = claim(storage)
    [use] = storage.limit_uses()
    assert (use.type, use.running, use.waiting, use.limits.limit) == ("mail", 3, 1, 5)
    by_key = {key.key: key for key in use.keys}
    assert {key: (of.running, of.waiting) for key, of in by_key.items()} == {
        "a": (1, 1),
        "b": (1, 0),
        "": (1, 0),
    }
    assert 59 < by_key["a"].next_start <= 60
    holder = next(row for row in rows if row.limit_key == "b")
    assert [(held.id, held.owner) for held in by_key["b"].holders] == [(holder.id, "node-1")]
    assert storage.limit_uses("sms") == []


def test_uses_count_what_was_claimed_before_its_type_had_a_limit(storage, queue):
    storage.publish_types([TypePolicy(name, 5, None, None, 1.0, 1.0, 1.0) for name in ("mail", "sms")])
    queue.add_tasks([Task("mail"), Task("mail"), Task("sms")])
    rows = claim(storage)
    claim(storage, task_type="sms")
    queue.set_limits("mail", limit=1)
    [use] = storage.limit_uses()
    assert (use.running, use.waiting) == (2, 0)
    [without] = use.keys
    assert (without.key, without.running) == ("", 2)
    assert {held.id for held in without.holders} == {row.id for row in rows}
    assert {held.owner for held in without.holders} == {"node-1"}


def test_uses_tell_when_a_task_that_waits_may_start(storage, queue):
    limited(storage, per_key=1)

    def starts():
        [use] = storage.limit_uses()
        due = None if use.due_in is None else round(use.due_in)
        return due, use.start_in if use.start_in is None else round(use.start_in), use.is_key_full

    enqueue(queue, "a")
    [row] = claim(storage)
    assert starts() == (None, None, False)
    enqueue(queue, "a")
    assert starts() == (0, None, True)
    enqueue(queue, "b", delay=3600)
    assert starts() == (0, 3600, True)
    enqueue(queue, None, delay=1800)
    assert starts() == (0, 1800, True)
    [use] = storage.limit_uses()
    assert {key.key: key.due_in and round(key.due_in) for key in use.keys} == {"a": 0, "b": 3600, "": 1800}
    storage.settle_if_held([settle(Outcome(OutcomeKind.RATE_LIMITED, delay=30.0), row, RetryPolicy())])
    assert starts() == (0, 30, False)
    enqueue(queue, "c")
    assert starts() == (0, 0, False)
    assert storage.limit_uses()[0].is_start_known


@pytest.mark.parametrize(("most", "known"), [(2, False), (3, True)])
def test_the_next_start_of_very_many_keys_is_known_only_if_one_may_start_now(
    storage, queue, monkeypatch, most, known
):
    monkeypatch.setattr(limit_control, "MAX_WAITING_KEYS", most)
    limited(storage, per_key=1)
    enqueue(queue, *"ab")
    assert len(claim(storage)) == 2
    enqueue(queue, *"aaabbb")
    enqueue(queue, "c", delay=60)
    [use] = storage.limit_uses(most_keys=1)
    assert (use.waiting, round(use.start_in), use.is_start_known) == (7, 60, known)
    enqueue(queue, *"dddd")
    [use] = storage.limit_uses(most_keys=1)
    assert (use.waiting, use.start_in, use.is_start_known) == (11, 0.0, True)


@pytest.mark.parametrize("most", [1, 1000])
def test_the_next_start_knows_the_paces_of_all_keys_that_wait(storage, queue, monkeypatch, most):
    monkeypatch.setattr(limit_control, "MAX_PACES", most)
    limited(storage, rate=Rate(1, per=60, per_key=True))
    enqueue(queue, *"aabbcc")
    assert len(claim(storage)) == 3
    [use] = storage.limit_uses(most_keys=1)
    assert 59 < use.start_in <= 60


def test_who_holds_places_is_whole_where_very_many_tasks_run(storage, queue):
    limited(storage, limit=3000)
    enqueue(queue, *["a"] * 1100, *["b"] * 3, *["c"] * 3, None)
    for owner in ("node-0", "node-1", "node-2", "node-2"):
        claim(storage, limit=500, owner=owner)
    [use] = storage.limit_uses()
    assert use.running == 1107
    found = {key.key: key for key in use.keys}
    assert [key.key for key in use.keys][:3] == ["a", "b", "c"]
    for key in found.values():
        assert sum(owner.running for owner in key.owners) == key.running
        assert key.left_out == 0
    assert [owner.running for owner in found["a"].owners] == sorted(
        (owner.running for owner in found["a"].owners), reverse=True
    )
    assert {owner.owner for owner in found["a"].owners} == {"node-0", "node-1", "node-2"}
    assert len(found["a"].holders) == 20
    assert {held.owner for held in found["a"].holders} == {"node-0", "node-1", "node-2"}
    assert len(found["b"].holders) == len(found["c"].holders) == 3


def test_of_very_many_nodes_those_that_are_left_out_are_counted(storage, queue, monkeypatch):
    monkeypatch.setattr(holders, "MAX_OWNERS", 2)
    limited(storage, limit=9)
    enqueue(queue, *"aaaaaa")
    for node, number in (("node-1", 1), ("node-2", 3), ("node-3", 2)):
        claim(storage, limit=number, owner=node)
    [use] = storage.limit_uses()
    [key] = use.keys
    assert [(owner.owner, owner.running) for owner in key.owners] == [("node-2", 3), ("node-3", 2)]
    assert (key.running, key.left_out) == (6, 1)


def test_rate_limited_holds_back_its_key_or_its_type(storage, queue, clock):
    enqueue(queue, *"ab", None)
    rows = claim(storage)
    by_key = {row.limit_key: row for row in rows}
    refused = by_key["a"]
    change = settle(Outcome(OutcomeKind.RATE_LIMITED, delay=30.0), refused, RetryPolicy())
    storage.settle_if_held([change, done(by_key["b"]), done(by_key[None])])
    enqueue(queue, *"ab")
    assert keys_of(claim(storage)) == {"b": 1}
    assert storage.held_back("mail") == HeldBack(places=False, seconds=30.0)
    clock.advance(31)
    assert keys_of(claim(storage)) == {"a": 2}


def test_rate_limited_without_a_key_holds_back_the_type_on_every_node(storage, other, queue, clock):
    enqueue(queue, None, None)
    limited(storage)
    [row] = claim(storage, limit=1)
    storage.settle_if_held([settle(Outcome(OutcomeKind.RATE_LIMITED, delay=30.0), row, RetryPolicy())])
    for one in (storage, other):
        assert claim(one) == []
        one.seconds_until_due("mail")
        assert claim(one) == []
    clock.advance(31)
    assert len(claim(other)) == 2
    assert not other.is_limited("mail")
    enqueue(queue, None)
    assert len(claim(storage)) == 1


def test_what_rates_of_keys_leave_behind_is_deleted_once_it_says_nothing(storage, backend, queue, clock):
    limited(storage, rate=Rate(1, per=60, per_key=True))
    enqueue(queue, *"abc")
    claim(storage)
    assert storage.forget_idle_keys() == 0
    clock.advance(61)
    assert storage.forget_idle_keys(limit=2) == 2
    assert storage.forget_idle_keys() == 1
    assert backend.execute("SELECT type, limit_key FROM goque_limit") == [("mail", "")]


def test_a_lowered_limit_names_the_keys_that_hold_too_many_places(storage, queue):
    limited(storage, limit=5, per_key=3)
    enqueue(queue, *"aaabbc")
    claim(storage)
    queue.set_limits("mail", limit=2, limit_per_key=1)
    assert claim(storage) == []
    assert storage.held_back("mail") == HeldBack(places=True, over=("", "a", "b"))


def test_every_key_has_its_turn_once_before_one_has_it_twice(storage, queue):
    limited(storage, per_key=1)
    keys = [f"tenant-{number}" for number in range(1500)]
    queue.add_tasks([Task("mail", limit_key=key) for key in keys for _ in range(2)])
    served = Counter()
    while len(served) < len(keys):
        rows = claim(storage, limit=100)
        assert len(rows) == 100
        served.update(keys_of(rows))
    assert set(served.values()) == {1}
    assert claim(storage, limit=100) == []
    assert storage.held_back("mail") == HeldBack(places=True)


def test_keys_with_nothing_due_do_not_hide_one_that_is(storage, queue):
    limited(storage, per_key=1)
    queue.add_tasks([Task("mail", limit_key=f"later-{number}", delay=3600) for number in range(1500)])
    enqueue(queue, "now")
    assert any(
        claim(storage, limit=10) for _ in range(3)
    )  # each looks at a part of the keys, where the last ended


def test_a_late_writer_frees_no_place_that_is_another_claims(storage, queue):
    limited(storage, limit=1)
    enqueue(queue, None, None)
    [row] = claim(storage, owner="frozen")
    storage.settle_if_held([settle(Outcome(OutcomeKind.LOST_RUNNING, "node lost"), row, RetryPolicy())])
    [again] = claim(storage, owner="node-2")
    assert storage.settle_if_held([done(row)]) == set()
    assert claim(storage, owner="node-3") == []
    storage.settle_if_held([done(again)])
    assert len(claim(storage, owner="node-3")) == 1


def test_a_reset_task_waits_for_a_place_like_any_other(storage, queue):
    limited(storage, limit=1)
    enqueue(queue, None, None)
    [row] = claim(storage)
    with pytest.raises(TaskStateError):
        queue.reset_attempts(row.id)
    storage.settle_if_held([move(row, TaskStatus.ATTEMPTS_LEFT, attempts=5)])
    [_other] = claim(storage)
    queue.reset_attempts(row.id)
    assert claim(storage) == []
    assert queue.get_task(row.id).limit_key is None


def test_a_raised_rate_holds_at_once(storage, queue, clock):
    limited(storage, rate=Rate(1, per=3600, burst=2))
    enqueue(queue, *[None] * 20)
    assert len(claim(storage, limit=10)) == 2
    queue.set_limits("mail", rate=Rate(10, per=10, burst=5))
    assert claim(storage, limit=10) == []  # its burst counts as used
    assert storage.held_back("mail").seconds == pytest.approx(1.0, abs=0.01)
    clock.advance(3)
    assert len(claim(storage, limit=10)) == 3


def test_a_raised_rate_of_keys_holds_at_once(storage, queue, clock):
    limited(storage, rate=Rate(1, per=3600, per_key=True))
    enqueue(queue, *["a"] * 5, *["b"] * 5)
    assert keys_of(claim(storage, limit=10)) == {"a": 1, "b": 1}
    limited(storage, rate=Rate(10, per=10, burst=2, per_key=True))  # as a deploy does
    assert claim(storage, limit=10) == []
    clock.advance(2)
    assert keys_of(claim(storage, limit=10)) == {"a": 2, "b": 2}


def test_a_lowered_rate_forgets_nothing(storage, queue, clock):
    limited(storage, rate=Rate(60, per=60))
    enqueue(queue, *[None] * 70)
    assert len(claim(storage, limit=100)) == 60
    limited(storage, rate=Rate(6, per=60))
    assert claim(storage, limit=10) == []
    clock.advance(9)
    assert claim(storage, limit=10) == []
    clock.advance(1)
    assert len(claim(storage, limit=10)) == 1


@pytest.mark.parametrize("jump", [-86_400, 86_400])
def test_a_clock_that_jumps_does_not_stop_a_rate(storage, queue, clock, jump):
    limited(storage, rate=Rate(1, per=10))
    enqueue(queue, *[None] * 4, run_at=clock.now - timedelta(days=7))
    assert len(claim(storage)) == 1
    clock.advance(jump)
    first = claim(storage)
    clock.advance(10)
    assert 1 <= len(first) + len(claim(storage)) <= 2


def test_a_replacement_takes_the_key_of_the_new_content(storage, queue):
    first = queue.enqueue("mail", {"n": 1}, external_id="e", limit_key="a")
    queue.enqueue("mail", {"n": 2}, external_id="e", limit_key="b", on_conflict="replace")
    assert row_of(storage, first).limit_key == "b"


@pytest.mark.parametrize("key", ["", "x" * 256, "a\nb", 7, "\ud800"])
def test_a_wrong_key_is_refused(key):
    with pytest.raises(ConfigurationError, match="limit_key"):
        Task("mail", limit_key=key)


def test_a_function_that_fails_or_returns_no_key_is_named(storage):
    registry = Registry()
    registry.processor("mail", limit_key=lambda payload: payload["tenant"])(lambda payload: None)
    queue = TaskQueueManager(storage, prepare_tasks=registry.prepare_tasks)
    with pytest.raises(ConfigurationError, match="type 'mail': limit_key raised KeyError: 'tenant'"):
        queue.enqueue("mail", {})
    with pytest.raises(ConfigurationError, match="type 'mail': what limit_key returns must be text, not 7"):
        queue.enqueue("mail", {"tenant": 7})
    assert queue.get_tasks() == []


def test_the_rate_of_each_key_holds_where_very_many_keys_have_started(storage, queue, clock):
    limited(storage, rate=Rate(6, per=60, burst=3, per_key=True))
    enqueue(queue, *(f"a-{number:04}" for number in range(1001)))
    enqueue(queue, *["z"] * 9)
    assert sum(len(claim(storage, limit=600)) for _ in range(3)) == 1004
    clock.advance(10.1)
    assert keys_of(claim(storage, limit=9)) == {"z": 1}
    assert claim(storage, limit=9) == []


def test_uses_of_more_keys_than_are_listed_count_all_that_waits_and_tell_each_listed_key_whole(
    storage, queue, monkeypatch
):
    monkeypatch.setattr(limit_control, "MAX_WAITING_KEYS", 2)
    limited(storage, per_key=1)
    enqueue(queue, "runs")
    [row] = claim(storage)
    enqueue(queue, "runs", None, *"aaabbbccd")
    [use] = storage.limit_uses(most_keys=2)
    assert (use.running, use.waiting, use.has_more_keys) == (1, 11, True)
    assert [(key.key, key.running, key.waiting) for key in use.keys] == [("runs", 1, 1), ("a", 0, 3)]
    assert [held.id for held in use.keys[0].holders] == [row.id]
    [use] = storage.limit_uses()
    assert (use.waiting, use.has_more_keys, len(use.keys)) == (11, False, 6)


def test_the_next_start_of_a_key_is_known_behind_very_many_others(storage, queue, monkeypatch):
    monkeypatch.setattr(limit_control, "MAX_PACES", 2)
    limited(storage, rate=Rate(1, per=60, per_key=True))
    enqueue(queue, *"abcz", "z")
    assert len(claim(storage, limit=9)) + len(claim(storage, limit=9)) == 4
    [use] = storage.limit_uses(most_keys=1)
    assert [(key.key, key.running, key.waiting) for key in use.keys] == [("z", 1, 1)]
    assert 59 < use.keys[0].next_start <= 60
    assert use.has_more_keys


def test_the_load_of_a_type_and_of_a_key_tells_places_and_the_next_start(storage, queue, clock):
    limited(storage, limit=5, per_key=2, rate=Rate(2, per=60, per_key=True))
    enqueue(queue, *"aaab", None)
    while claim(storage, limit=10):
        pass
    policy = storage.type_policies()["mail"]
    load = storage.limit_load(policy, "a")
    assert (load.limits, load.running, load.key_running) == (policy.limits, 4, 2)
    assert load.next_start == 0
    assert 29 < load.key_next_start <= 30
    load = storage.limit_load(policy)
    assert (load.running, load.key_running, load.key_next_start) == (4, 1, 0)
    clock.advance(31)
    assert storage.limit_load(policy, "a").key_next_start == 0
    queue.set_limits("mail", rate=Rate(1, per=600))
    storage.limit_load(policy, "nobody")
    for row in claim(storage, limit=10):
        assert row.limit_key
    policy = storage.type_policies()["mail"]
    assert policy.is_limited
    assert storage.limit_load(policy, "a").key_next_start == 0


def test_what_a_handler_has_put_off_is_in_the_load_although_no_limit_is_set(storage, queue):
    limited(storage)
    assert not storage.type_policies()["mail"].is_limited
    enqueue(queue, None)
    [row] = claim(storage)
    storage.settle_if_held([settle(Outcome(OutcomeKind.RATE_LIMITED, delay=30.0), row, RetryPolicy())])
    policy = storage.type_policies()["mail"]
    assert policy.is_limited
    assert 29 < storage.limit_load(policy).next_start <= 30


def test_what_one_key_leaves_of_its_share_another_takes_in_the_same_claim(storage, queue):
    limited(storage, limit=8, per_key=6)
    enqueue(queue, "a", *["b"] * 20, None)
    assert keys_of(claim(storage)) == {"a": 1, "b": 6, "": 1}
    assert storage.held_back("mail") == HeldBack(places=True)


def test_a_key_whose_highest_priority_leaves_places_goes_on_with_the_next(storage, queue):
    limited(storage, per_key=3)
    enqueue(queue, "a", priority=5)
    enqueue(queue, *["a"] * 5)
    assert sorted(row.priority for row in claim(storage)) == [0, 0, 5]


@pytest.mark.parametrize("keys", [[None], ["a"], [None, "a", "b"]])
def test_tasks_of_a_key_go_past_one_of_higher_priority_that_cannot_be_claimed(storage, backend, queue, keys):
    limited(storage, limit=100)
    for number, key in enumerate([*keys, "nothing else"]):
        add(storage, external_id=f"stuck-{number}", limit_key=key, priority=5)
    tasks = enqueue(queue, *keys)
    undo_claims(backend)
    claimed = [row.id for _ in range(EMPTY_CLAIMS) for row in claim(storage, limit=10)]
    assert sorted(claimed) == sorted(task.id for task in tasks)
