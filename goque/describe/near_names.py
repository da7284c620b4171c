"""Finds what somebody probably meant who gave a type or an id that does not exist. No I/O happens here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Final

from goque.storage.search_types import TaskLine

MAX_NAMED: Final = 10
MIN_PART: Final = 4
"""The shortest part of an id that is looked for: fewer characters are in too many ids."""

GOQUES_OWN: Final = "internal-"


def describe_unknown_type(name: str, known: Iterable[str]) -> str:
    """Say that no task has a type, and which type was probably meant; empty if the type is known, or nothing is.

    Args:
        name: the type that somebody gave.
        known: the types that have tasks, a supervisor or a handler.
    """
    types = sorted(set(known))
    if not types or name in types:
        return ""
    near = get_close_matches(name, types, n=1)
    if near:
        return f"there is no type {name!r:.210}; did you mean {near[0]!r}?"
    others = f" and {len(types) - MAX_NAMED} more" if len(types) > MAX_NAMED else ""
    return f"there is no type {name!r:.210}; there is {', '.join(map(repr, types[:MAX_NAMED]))}{others}"


def near_ids(text: str, lines: Sequence[TaskLine], *, limit: int = 3) -> list[str]:
    """Return ids and external ids of tasks that somebody probably meant, the newest task first.

    That is an id that begins or ends with the text, as in a log that shortens it, or an external id that has the text
    as one of its parts, or is nearly the same.

    Args:
        text: the id that no task has.
        lines: the newest tasks.
        limit: the most ids to return.
    """
    part = text.strip(".…").lower()
    own = [line.external_id for line in lines if not line.external_id.startswith(GOQUES_OWN)]
    close = {*get_close_matches(text, own, n=limit), *(one for one in own if _has_part(one, text))}
    found = []
    for line in lines:
        if line.external_id in close:
            found.append(line.external_id)
        elif len(part) >= MIN_PART and (line.id.startswith(part) or line.id.endswith(part)):
            found.append(line.id)
    return list(dict.fromkeys(found))[:limit]


def _has_part(external_id: str, text: str) -> bool:
    """Return whether a text is one of the parts of an external id: 42 is of order-42, and not of order-420."""
    start = external_id.find(text)
    if start < 0 or not text:
        return False
    around = external_id[max(0, start - 1) : start] + external_id[start + len(text) : start + len(text) + 1]
    return not any(char.isalnum() for char in around)
