"""Going through the pages of a search: up to a limit, to the end, or until it has looked far enough."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

from goque.storage.pages import MAX_LOOKS, find_lines, pages_of
from goque.storage.search_types import TaskLine, TaskPage, TaskSearch

NOW = datetime(2026, 11, 23, tzinfo=UTC)


def line(number: int) -> TaskLine:
    return TaskLine(f"{number:04}", "t", "", "new", 0, "", NOW, None, NOW, 0, None)


class Table:
    """Tasks with falling ids; a page ends after `looks` of them, if any."""

    def __init__(self, tasks: int, looks: int | None = None, matches: Any = lambda number: True) -> None:
        self.ids = list(range(tasks, 0, -1))
        self.looks = looks
        self.matches = matches
        self.asked: list[str | None] = []
        self.gone_on: list[bool] = []

    def search_tasks(
        self, search: TaskSearch, *, before: str | None = None, limit: int = 50, goes_on: bool = False
    ) -> TaskPage:
        del search
        self.asked.append(before)
        self.gone_on.append(goes_on)
        left = [number for number in self.ids if before is None or number < int(before)]
        lines: list[TaskLine] = []
        for looked, number in enumerate(left):
            if self.looks is not None and looked == self.looks:
                return TaskPage(lines, f"{left[looked - 1]:04}", NOW)
            if self.matches(number):
                if len(lines) == limit:
                    return TaskPage(lines, lines[-1].id)
                lines.append(line(number))
        return TaskPage(lines)


def found(table: Table, limit: int, before: str | None = None) -> tuple[list[int], str | None, bool]:
    result = find_lines(table, TaskSearch(), before=before, limit=limit)  # type: ignore[arg-type]  # a search is enough
    return [int(one.id) for one in result.lines], result.before, result.looked_back_to is not None


def test_a_limit_ends_the_search_and_says_where_to_go_on() -> None:
    assert found(Table(5), 3) == ([5, 4, 3], "0003", False)
    assert found(Table(5), 3, before="0003") == ([2, 1], None, False)
    assert found(Table(5), 5) == ([5, 4, 3, 2, 1], None, False)
    assert found(Table(0), 5) == ([], None, False)


def test_a_long_list_takes_several_pages() -> None:
    table = Table(1203)
    numbers, before, stopped = found(table, 1100)
    assert numbers == list(range(1203, 103, -1))
    assert (before, stopped) == ("0104", False)
    assert len(table.asked) == 3


def test_a_search_looks_a_bounded_number_of_times() -> None:
    table = Table(1000, looks=10, matches=lambda number: number == 1)
    assert found(table, 5) == ([], f"{1001 - 10 * MAX_LOOKS:04}", True)
    assert len(table.asked) == MAX_LOOKS
    assert table.gone_on == [False, *[True] * (MAX_LOOKS - 1)]
    assert found(Table(10 * MAX_LOOKS, looks=10, matches=lambda number: number == 1), 5) == ([1], None, False)


def test_a_search_may_look_at_all_tasks() -> None:
    table = Table(1000, looks=10, matches=lambda number: number in (1, 7))
    result = find_lines(table, TaskSearch(), limit=5, max_looks=math.inf)  # type: ignore[arg-type]  # as above
    assert [int(one.id) for one in result.lines] == [7, 1]
    assert (result.before, result.looked_back_to) == (None, None)


def test_every_page_is_seen_once() -> None:
    table = Table(50, looks=7)
    pages = pages_of(table, TaskSearch(), limit=3)  # type: ignore[arg-type]  # a search is enough
    assert [int(one.id) for page in pages for one in page.lines] == list(range(50, 0, -1))
