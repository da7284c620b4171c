"""Where the next claim of a type may begin."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from goque.storage.sql.claiming.claim_cursor import AGE_PER_CLAIM, MAX_AGE, MIN_CLAIM, ClaimCursor

NOW = 100.0
START = datetime(2026, 11, 23, tzinfo=UTC)


def rows(count, *, priority=0, after=0):
    return [
        SimpleNamespace(priority=priority, next_attempt_at=START + timedelta(seconds=after + number))
        for number in range(count)
    ]


@pytest.fixture
def places():
    places = ClaimCursor()
    places.claimed("mail", rows(MIN_CLAIM), MIN_CLAIM, began=NOW, now=NOW)
    return places


def test_a_claim_begins_at_the_last_row_of_a_full_one(places):
    assert places.of("mail", NOW) == (0, START + timedelta(seconds=MIN_CLAIM - 1))
    assert places.of("report", NOW) is None


def test_after_a_while_it_begins_at_the_head(places):
    assert places.of("mail", NOW + MAX_AGE * 0.99) is not None
    assert places.of("mail", NOW + MAX_AGE) is None


def test_claims_in_between_move_the_place_and_not_the_time(places):
    places.claimed(
        "mail", rows(MIN_CLAIM, priority=-1, after=500), MIN_CLAIM, began=None, now=NOW + MAX_AGE / 2
    )
    assert places.of("mail", NOW + MAX_AGE * 0.99) == (-1, START + timedelta(seconds=500 + MIN_CLAIM - 1))
    assert places.of("mail", NOW + MAX_AGE) is None


def test_one_from_the_head_that_took_long_is_put_off_in_proportion():
    places = ClaimCursor()
    places.claimed("mail", rows(MIN_CLAIM), MIN_CLAIM, began=NOW - 1, now=NOW)
    assert places.of("mail", NOW + AGE_PER_CLAIM * 0.99) is not None
    assert places.of("mail", NOW + AGE_PER_CLAIM) is None


@pytest.mark.parametrize(
    ("found", "limit"), [(MIN_CLAIM - 1, MIN_CLAIM), (MIN_CLAIM - 1, MIN_CLAIM - 1), (0, MIN_CLAIM)]
)
def test_a_claim_that_is_small_or_not_full_forgets_the_place(places, found, limit):
    places.claimed("mail", rows(found), limit, began=None, now=NOW)
    assert places.of("mail", NOW) is None


def test_claims_of_one_priority_and_of_all_have_places_of_their_own(places):
    places.claimed("mail", rows(MIN_CLAIM, priority=5), MIN_CLAIM, began=NOW, now=NOW, priority=5)
    places.claimed("mail", rows(1, priority=4), MIN_CLAIM, began=NOW, now=NOW, priority=4)
    due = START + timedelta(seconds=MIN_CLAIM - 1)
    assert places.of("mail", NOW) == (0, due)
    assert places.of("mail", NOW, priority=5) == (5, due)
    assert places.of("mail", NOW, priority=4) is None
