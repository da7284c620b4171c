"""How many tasks of which key a claim may take."""

from __future__ import annotations

from goque.storage.contract import HeldBack
from goque.storage.sql.claiming.places import LimitState, share_out
from goque.storage.sql.limits.key_queries import KeyHead
from goque.task_rules.limits import Limits, Pace, Rate

NOW = 1_800_000_000.0


def state(*, held=None, **limits):
    return LimitState(Limits(**limits), None, False, None, Pace(), NOW, held or {})


def heads(*keys, is_due=True, **paces):
    return [KeyHead(key, 0, is_due, paces.get(key, Pace())) for key in keys]


def numbers(shares):
    return {share.key: share.number for share in shares}


def test_places_are_shared_equally_in_the_order_of_the_turns():
    shares, held_back = share_out(heads("a", "b", "c"), state(), 10)
    assert (numbers(shares), held_back) == ({"a": 4, "b": 3, "c": 3}, None)
    shares, _ = share_out(heads("a", "b", "c"), state(), 2)
    assert numbers(shares) == {"a": 1, "b": 1}


def test_a_key_takes_what_its_limit_leaves():
    shares, held_back = share_out(heads("a", "b", ""), state(per_key=2, held={"a": 1}), 30)
    assert numbers(shares) == {"a": 1, "b": 2, "": 10}
    assert held_back == HeldBack(places=True)


def test_a_full_key_and_one_with_nothing_due_take_nothing():
    shares, held_back = share_out(
        [*heads("a", "b"), *heads("later", is_due=False)], state(per_key=1, held={"a": 1}), 5
    )
    assert numbers(shares) == {"b": 1}
    assert held_back == HeldBack(places=True)


def test_a_rate_of_keys_bounds_each_and_says_when_the_next_may_start():
    rate = Rate(1, per=10, per_key=True)
    used = Pace(Pace().after(rate, NOW - 4, 1))
    shares, held_back = share_out(heads("a", "b", a=used), state(rate=rate), 5)
    assert numbers(shares) == {"b": 1}
    assert held_back is not None
    assert not held_back.places
    assert 5.9 < (held_back.seconds or 0) <= 6.1


def test_the_keys_that_hold_too_many_are_named():
    lowered = state(limit=2, per_key=1, held={"a": 2, "b": 1, "": 3})
    assert lowered.over == ("", "a")
    assert state(held={"a": 2}).over == ()
