"""The task types that somebody may mean with a part of a name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from goque.dashboard.queries import Query
from goque.storage import TaskStorage


def known_types(storage: TaskStorage) -> list[str]:
    """Return the published types and those that have tasks, in their order."""
    return sorted({*storage.type_policies(), *storage.task_types()})


def types_with(part: str, known: Sequence[str]) -> list[str]:
    """Return the types whose names contain a text; capitals do not count."""
    wanted = part.casefold()
    return [name for name in known if wanted in name.casefold()]


def widened(query: Query, known: Sequence[str]) -> Query:
    """Return a query for all types whose names contain its text, if no type has exactly that name."""
    text = query.search.task_type
    found = types_with(text, known) if text is not None and text not in known else []
    return replace(query, search=query.search.with_types(found)) if found else query
