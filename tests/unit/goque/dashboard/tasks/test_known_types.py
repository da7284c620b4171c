"""Types by a part of their name."""

from __future__ import annotations

from dataclasses import replace

import pytest

from goque.dashboard.queries import Query
from goque.dashboard.tasks.known_types import types_with, widened
from goque.storage.search_types import TaskSearch

KNOWN = ["News.Mailer", "mail", "sms"]


@pytest.mark.parametrize(
    ("part", "found"), [("mail", ["News.Mailer", "mail"]), ("NEWS", ["News.Mailer"]), ("x", []), ("", KNOWN)]
)
def test_capitals_do_not_count(part: str, found: list[str]) -> None:
    assert types_with(part, KNOWN) == found


@pytest.mark.parametrize(
    ("text", "task_type", "types"),
    [
        ("mail", "mail", ()),
        ("ail", None, ("News.Mailer", "mail")),
        ("Mail", None, ("News.Mailer", "mail")),
        ("fax", "fax", ()),
        (None, None, ()),
    ],
)
def test_an_exact_name_stays_alone_and_an_unknown_one_finds_nothing(
    text: str | None, task_type: str | None, types: tuple[str, ...]
) -> None:
    query = Query(TaskSearch(task_type=text), {"type": text or "", "types": (), "status": ()})
    search = widened(query, KNOWN).search
    assert (search.task_type, search.types) == (task_type, types)


def test_actions_name_the_types_that_a_query_stands_for() -> None:
    query = Query(TaskSearch(task_type="ail"), {"type": "ail", "types": (), "status": ("new",)})
    assert widened(query, KNOWN).pinned() == "types=News.Mailer&types=mail&status=new"
    assert replace(query, search=TaskSearch(task_type="ail")).pinned() == "type=ail&status=new"
