"""What somebody probably meant who gave a type or an id that does not exist."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from goque.describe.near_names import describe_unknown_type, near_ids
from goque.storage.search_types import TaskLine

FIRST = "01a20b6d-f9ad-7bbd-861b-dbe0c9408260"
SECOND = "01a20b6e-0000-7bbd-861b-0123456789ab"


def line(task_id: str, external_id: str = "internal-1") -> TaskLine:
    now = datetime(2026, 11, 23, tzinfo=UTC)
    return TaskLine(task_id, "t", external_id, "new", 0, "", now, None, now, 0, None)


@pytest.mark.parametrize(
    ("text", "near"),
    [
        ("01a20b6d", [FIRST]),
        ("…c9408260", [FIRST]),
        ("01a20b6", [SECOND, FIRST]),
        ("01a", []),
        ("42", []),
    ],
)
def test_a_part_of_an_id_names_it(text: str, near: list[str]) -> None:
    assert near_ids(text, [line(SECOND), line(FIRST)]) == near


@pytest.mark.parametrize(
    ("text", "near"),
    [
        ("42", ["order-42"]),
        ("420", ["order-420"]),
        ("order", ["order-420", "order-42"]),
        ("oder-42", ["order-42", "order-420"]),
        ("4", []),
        ("", []),
        ("internal-1", []),
    ],
)
def test_a_part_of_an_external_id_names_it_and_so_does_a_near_miss(text: str, near: list[str]) -> None:
    lines = [line(SECOND, "order-420"), line(FIRST, "order-42"), line(FIRST)]
    assert sorted(near_ids(text, lines)) == sorted(near)


def test_at_most_three_are_named() -> None:
    lines = [line(FIRST, f"order-{number}") for number in range(10)]
    assert len(near_ids("order", lines)) == 3


def test_an_unknown_type_names_the_nearest_or_those_there_are() -> None:
    known = ["send_sms", "send_email"]
    assert describe_unknown_type("send_emial", known) == (
        "there is no type 'send_emial'; did you mean 'send_email'?"
    )
    assert describe_unknown_type("x", known) == "there is no type 'x'; there is 'send_email', 'send_sms'"
    assert describe_unknown_type("send_sms", known) == ""
    assert describe_unknown_type("x", []) == ""
    many = [f"type{number:02}" for number in range(30)]
    assert describe_unknown_type("x", many).endswith("'type09' and 20 more")
