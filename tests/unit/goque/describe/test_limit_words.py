"""What people read of limits."""

from __future__ import annotations

import pytest

from goque import Rate
from goque.describe.limit_words import describe_changes, describe_limits, short_limits, shown_key
from goque.task_rules.limits import LimitChanges, Limits


@pytest.mark.parametrize(
    ("limits", "words", "short"),
    [
        (Limits(), "no limits", "no limits"),
        (Limits(limit=1000), "at most 1,000 at once", "limit 1000"),
        (Limits(per_key=2), "at most 2 for each key", "2 per key"),
        (Limits(rate=Rate(1, per=0.5)), "1 start in 0.5 s", "rate 1/0.5"),
        (Limits(rate=Rate(1, per=1 / 3)), "1 start in 0.333333 s", "rate 1/0.333333333333333"),
        (
            Limits(20, 2, Rate(100, per=60, burst=10, per_key=True)),
            "at most 20 at once, 2 for each key, 100 starts in 60 s for each key, up to 10 after a pause",
            "limit 20, 2 per key, rate 100/60 for each key, burst 10",
        ),
    ],
)
def test_limits_are_told_in_a_phrase_and_by_their_options(limits: Limits, words: str, short: str) -> None:
    assert describe_limits(limits) == words
    assert short_limits(limits) == short


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (None, ""),
        (LimitChanges(), ""),
        (LimitChanges(limit=5), "limit 5"),
        (LimitChanges(limit=None, per_key=3), "no limit, 3 per key"),
        (LimitChanges(per_key=None, rate=None), "no limit per key, no rate"),
        (LimitChanges(rate=Rate(30, per=1)), "rate 30/1"),
    ],
)
def test_what_was_set_at_run_time_is_told(changes: LimitChanges | None, words: str) -> None:
    assert describe_changes(changes) == words


@pytest.mark.parametrize(
    ("key", "shown"),
    [
        ("acme", "acme"),
        ("the acme", "the acme"),
        (" acme", '" acme"'),
        ("acme\u2003", '"acme\u2003"'),
        (" ", '" "'),
        ('" acme"', '"" acme""'),
        ("-", '"-"'),
        ("(no key)", '"(no key)"'),
    ],
)
def test_a_key_that_could_be_taken_for_another_or_for_none_is_quoted(key: str, shown: str) -> None:
    assert shown_key(key) == shown
