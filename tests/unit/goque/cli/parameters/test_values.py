"""What the options of commands take, and what they refuse."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import click
import pytest

from goque.cli.parameters.statuses import Statuses
from goque.cli.parameters.values import Seconds, Since, is_task_id, seconds_of
from goque.task_row import TERMINAL_STATUSES, TaskStatus


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("90", 90),
        (" 1.5 ", 1.5),
        (2, 2),
        ("90s", 90),
        ("250ms", 0.25),
        ("5m", 300),
        ("2H", 7200),
        ("1h30m", 5400),
        ("1.5d", 129600),
        ("2w", 1209600),
        ("-4", -4),
    ],
)
def test_a_length_of_time_is_seconds_or_has_units(text: object, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "m", "5 m", "5x", "5m3", "1h-3m", "inf", "nan", "five", None, [], "9" * 400]
)
def test_other_text_is_no_length_of_time(text: object) -> None:
    assert seconds_of(text) is None


@pytest.mark.parametrize(("zero", "text"), [(True, "-1"), (False, "0"), (False, "-5m"), (True, "soon")])
def test_a_wrong_length_says_what_it_must_be(zero: bool, text: str) -> None:
    with pytest.raises(click.BadParameter, match="seconds, such as 90, 90s, 5m or 2h, not"):
        Seconds(zero=zero).convert(text, None, None)


def test_since_is_a_time_or_an_age() -> None:
    before = datetime.now(UTC)
    age = Since().convert("2h", None, None)
    assert timedelta(hours=2) - timedelta(seconds=60) < before - age <= timedelta(hours=2)
    assert Since().convert("2026-11-23T22:00:00+01:00", None, None) == datetime(2026, 11, 23, 21, tzinfo=UTC)


@pytest.mark.parametrize("text", ["yesterday", "2026-11-23", "-2h", "1e300", "0001-01-01T00:00:00+14:00"])
def test_since_refuses_what_is_neither(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is neither an age"):
        Since().convert(text, None, None)


def test_statuses_are_words_or_raw_with_commas() -> None:
    kind = Statuses()
    assert kind.convert("waiting,failed", None, None) == ("new", "error", "attempts_left")
    assert kind.convert("new, waiting", None, None) == ("new", "error")


def test_a_word_names_only_the_statuses_that_make_sense() -> None:
    resettable = TERMINAL_STATUSES | {TaskStatus.ERROR}
    assert Statuses(resettable).convert("waiting", None, None) == ("error",)
    with pytest.raises(click.BadParameter, match=r"'running' is not one of waiting \(error\), done"):
        Statuses(resettable).convert("done,running", None, None)
    with pytest.raises(click.BadParameter, match="'' is not one of"):
        Statuses().convert("done,", None, None)


def test_an_id_has_the_form_of_a_uuid_in_lower_case() -> None:
    assert is_task_id("01a20b6d-f9ad-7bbd-861b-dbe0c9408260")
    assert not is_task_id("01A20B6D-f9ad-7bbd-861b-dbe0c9408260")
    assert not is_task_id("42")
