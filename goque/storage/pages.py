"""Goes through the pages of a search for as many tasks as somebody wants to see, or for all that there are."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Final, NamedTuple

from goque.storage.contract import Search
from goque.storage.search_types import TaskLine, TaskPage, TaskSearch

AT_ONCE: Final = 500
MAX_LOOKS: Final = 2
"""How often a search that people wait for may stop early; each time it has looked at some ten thousand tasks."""


class Found(NamedTuple):
    """What a search has found, newest first.

    Attributes:
        lines: the tasks.
        before: the id from which to go on, None if nothing is left.
        looked_back_to: when the last task was created that the search looked at, None if it did not stop early.
    """

    lines: list[TaskLine]
    before: str | None = None
    looked_back_to: datetime | None = None


def pages_of(
    storage: Search, search: TaskSearch, *, before: str | None = None, limit: int = AT_ONCE
) -> Iterator[TaskPage]:
    """Yield every page of a search. A task that matches again later is not seen again: it is on an earlier page."""
    goes_on = False
    while True:
        page = storage.search_tasks(search, before=before, limit=limit, goes_on=goes_on)
        yield page
        goes_on = page.looked_back_to is not None
        before = page.before
        if before is None:
            return


def find_lines(
    storage: Search,
    search: TaskSearch,
    *,
    before: str | None = None,
    limit: int,
    max_looks: float = MAX_LOOKS,
) -> Found:
    """Return the newest tasks of a search, up to a limit; it looks at a bounded number of tasks.

    Args:
        storage: where to look.
        search: the wanted tasks.
        before: the id that all of them are older than.
        limit: how many to return at most.
        max_looks: how often the search may stop early before it ends; infinite to search all tasks.
    """
    lines: list[TaskLine] = []
    looks = 0
    for page in pages_of(storage, search, before=before, limit=min(limit, AT_ONCE)):
        lines += page.lines
        if len(lines) >= limit:
            is_all = page.before is None and len(lines) == limit
            return Found(lines[:limit], None if is_all else lines[limit - 1].id)
        looks += page.looked_back_to is not None
        if looks >= max_looks:
            return Found(lines, page.before, page.looked_back_to)
    return Found(lines)
