"""Break a wide drawing into lines, like a text, where only one link passes: a long chain then fits on a screen."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Final

from goque.dashboard.flow.boxes import Picture

MAX_LINE: Final = 1150.0
LINE_GAP: Final = 46.0


def find_lines(picture: Picture, columns: Sequence[tuple[float, float]]) -> list[range]:
    """Return the columns of each line, given the left and right end of each column on one line."""
    changes = [0] * (len(columns) + 1)
    for link in picture.links:
        changes[picture.boxes[link.source].column] += 1
        changes[picture.boxes[link.target].column] -= 1
    passing = list(accumulate(changes))
    lines: list[range] = []
    first, last_break = 0, -1
    for at, (_, right) in enumerate(columns):
        if right - columns[first][0] > MAX_LINE and last_break >= first:
            lines.append(range(first, last_break + 1))
            first = last_break + 1
        if passing[at] <= 1:
            last_break = at
    if columns:
        lines.append(range(first, len(columns)))
    return lines
