"""What is answered to a sleep and a wait, by the rows that are there."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from goque.steps.question import Answer, Ask, Question, State
from goque.storage.sql.recorded_steps import decisions
from goque.storage.sql.recorded_steps.decisions import (
    EXPIRED,
    EXPIRED_VALUE,
    KNOWN,
    Found,
    Key,
    Saved,
    decide,
    refusal,
    rows_of_page,
)

NOW = datetime(2026, 11, 23, 21, 2, 33, tzinfo=UTC)
SLEEP, WAIT, SIGNAL = (Key("id", kind, "x") for kind in ("sleep", "wait", "signal"))


def at(seconds):
    return NOW + timedelta(seconds=seconds)


def left(seconds):
    return Answer(State.OPEN, seconds=seconds)


@pytest.mark.parametrize(
    ("rows", "seconds", "answer", "saved"),
    [
        ({}, 5.0, left(5.0), Saved(SLEEP, None, at(5))),
        ({}, 0.0, KNOWN, Saved(SLEEP, None, at(0))),
        ({}, None, KNOWN, Saved(SLEEP, None, at(0))),
        ({SLEEP: Found(None, at(2))}, 5.0, left(2.0), None),
        ({SLEEP: Found(None, at(0))}, 5.0, KNOWN, None),
        ({SLEEP: Found("garbage", None)}, 5.0, KNOWN, None),
    ],
)
def test_a_sleep(rows, seconds, answer, saved):
    assert decide("id", Question(Ask.SLEEP, "x", seconds=seconds), rows, NOW) == (answer, saved)


@pytest.mark.parametrize(
    ("rows", "seconds", "answer", "saved"),
    [
        ({}, 5.0, left(5.0), Saved(WAIT, None, at(5))),
        ({}, None, left(None), Saved(WAIT, None, None)),
        ({}, 0.0, EXPIRED, Saved(WAIT, EXPIRED_VALUE, at(0))),
        ({WAIT: Found(None, at(2))}, 5.0, left(2.0), Saved(WAIT, None, at(2))),
        ({WAIT: Found(None, None)}, 5.0, left(None), Saved(WAIT, None, None)),
        ({WAIT: Found(None, at(-1))}, 5.0, EXPIRED, Saved(WAIT, EXPIRED_VALUE, at(-1))),
        ({WAIT: Found(EXPIRED_VALUE, at(-1))}, 5.0, EXPIRED, None),
        ({WAIT: Found(EXPIRED_VALUE, at(-1)), SIGNAL: Found("1", None)}, 5.0, EXPIRED, None),
        ({WAIT: Found(None, at(-1)), SIGNAL: Found("1", None)}, 5.0, Answer(State.KNOWN, b"1"), None),
        ({SIGNAL: Found("1", None)}, 0.0, Answer(State.KNOWN, b"1"), None),
        ({SIGNAL: Found(None, None)}, 0.0, Answer(State.KNOWN, b"null"), None),
    ],
)
def test_a_wait(rows, seconds, answer, saved):
    assert decide("id", Question(Ask.WAIT, "x", seconds=seconds), rows, NOW) == (answer, saved)


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("x", b"1", ""),
        ("x" * 200, '"é"'.encode(), ""),
        ("x", b'"\\u0000"', ""),
        ("x" * 201, b"1", "name"),
        ("a\0b", b"1", "name"),
        ("\ud800", b"1", "name"),
        ("x", b"\xff", "UTF-8"),
        ("x", b"\0", "NUL"),
        ("x", b"1" * 101, "101 bytes"),
    ],
)
def test_what_no_database_stores_is_refused_with_its_reason(name, value, why):
    refused = refusal(Question(Ask.RECORD, name, value), 100)
    assert why in refused
    assert bool(why) == bool(refused)


def test_a_page_has_at_least_one_step_and_no_more_bytes_than_it_may(monkeypatch):
    monkeypatch.setattr(decisions, "MAX_PAGE_ROWS", 4)
    monkeypatch.setattr(decisions, "MAX_PAGE_BYTES", 10)
    sizes = [[], [11], [11, 1], [5, 5, 1], [1, 1, 1, 1, 1], [0, 0, 0, 0], [9, 2]]
    assert [rows_of_page(one) for one in sizes] == [0, 1, 1, 2, 4, 4, 1]
