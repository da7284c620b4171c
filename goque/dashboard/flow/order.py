"""The order of boxes within their columns, so that few links cross: barycenter sweeps over layers."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from goque.dashboard.flow.boxes import Picture

SWEEPS: Final = 12
MAX_BENDS: Final = 4000
"""Links beyond this many bends are drawn straight, behind boxes."""


@dataclass(frozen=True)
class Web:
    """Items in columns: boxes first, by their positions, then the bends of links that pass a column.

    `routes` has for each link its items from source to target.
    """

    columns: list[list[int]]
    left: list[list[int]]
    right: list[list[int]]
    routes: list[list[int]]


def weave(picture: Picture) -> Web:
    """Give a bend to each link in each column that it passes."""
    column_of = [box.column for box in picture.boxes]
    routes: list[list[int]] = []
    bends = 0
    for link in picture.links:
        between = range(column_of[link.source] + 1, column_of[link.target])
        if bends + len(between) > MAX_BENDS:
            between = range(0)
        bends += len(between)
        first = len(column_of)
        column_of.extend(between)
        routes.append([link.source, *range(first, len(column_of)), link.target])
    columns: list[list[int]] = [[] for _ in range(picture.columns)]
    left: list[list[int]] = [[] for _ in column_of]
    right: list[list[int]] = [[] for _ in column_of]
    for item, column in enumerate(column_of):
        columns[column].append(item)
    for route in routes:
        for one, other in pairwise(route):
            if column_of[other] == column_of[one] + 1:
                right[one].append(other)
                left[other].append(one)
    return Web(columns, left, right, routes)


def order_columns(web: Web) -> None:
    """Sort each column of a web in place by the mean place of its neighbors, and keep the best of some sweeps."""
    places = [0] * len(web.left)
    for column in web.columns:
        _number(column, places)
    best, least = [column.copy() for column in web.columns], crossings(web)
    for sweep in range(SWEEPS):
        if least == 0:
            break
        columns, near = (web.columns, web.left) if sweep % 2 == 0 else (web.columns[::-1], web.right)
        for column in columns[1:]:
            column.sort(key=lambda item: _mean_place(item, near, places))
            _number(column, places)
        count = crossings(web)
        if count < least:
            best, least = [column.copy() for column in web.columns], count
    web.columns[:] = best


def crossings(web: Web) -> int:
    """Count the crossings of links between neighboring columns."""
    places = [0] * len(web.left)
    for column in web.columns:
        _number(column, places)
    count = 0
    for column in web.columns:
        seen: list[int] = []
        for item in column:
            ends = sorted(places[other] for other in web.right[item])
            count += sum(len(seen) - bisect_right(seen, end) for end in ends)
            for end in ends:
                insort(seen, end)
    return count


def _number(column: Sequence[int], places: list[int]) -> None:
    for place, item in enumerate(column):
        places[item] = place


def _mean_place(item: int, near: Sequence[Sequence[int]], places: Sequence[int]) -> float:
    others = near[item]
    return sum(places[other] for other in others) / len(others) if others else places[item]
