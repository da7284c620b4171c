"""How large each box is, and where the parts inside it are. Lengths are CSS pixels."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import Final

from goque.dashboard.flow.boxes import Box, Form
from goque.dashboard.flow.icons import in_order, look_of
from goque.dashboard.flow.texts import last_characters, one_line, width_of
from goque.dashboard.formats import short_count

TYPE_SIZE: Final = 13.0
SMALL_SIZE: Final = 11.5
ICON: Final = 16.0
PADDING: Final = 10.0
TEXT_LEFT: Final = PADDING + ICON + 8
TASK_HEIGHT: Final = 46.0
COMPACT_HEIGHT: Final = 28.0
MAX_TALL: Final = 16
"""A column with more tasks than this has boxes of one line."""

MIN_WIDTH: Final = 124.0
MAX_WIDTH: Final = 228.0
CELL: Final = 22.0
CELL_STEP: Final = 26.0
MAX_CELLS: Final = 24
ROW: Final = 20.0
HEAD: Final = 30.0
JUNCTION: Final = 9.0
ID_LENGTH: Final = 8
ID_GAP: Final = 10.0


@dataclass(frozen=True)
class CountPlace:
    """Where a box of many tasks has the count of one status; the icon is at `x`, the text to its right."""

    status: str
    text: str
    x: float
    y: float


@dataclass(frozen=True)
class Size:
    """The size of a box, and what is inside it; `across` is the number of cells in a row."""

    width: float
    height: float
    is_compact: bool = False
    counts: tuple[CountPlace, ...] = ()
    across: int = 0
    body: float = 0.0


def size_of(box: Box, *, is_compact: bool) -> Size:
    """Measure a box."""
    if box.form is Form.JUNCTION:
        return Size(JUNCTION, JUNCTION)
    if box.form is not Form.TASK:
        return _size_of_many(box)
    label = width_of(one_line(box.label), TYPE_SIZE)
    if is_compact:
        return Size(
            _between(TEXT_LEFT + label + PADDING, MIN_WIDTH, MAX_WIDTH), COMPACT_HEIGHT, is_compact=True
        )
    node = box.members[0][0]
    below = width_of(look_of(node.status).word, SMALL_SIZE) + ID_GAP + id_width(node.id)
    return Size(_between(TEXT_LEFT + max(label, below) + PADDING, MIN_WIDTH, MAX_WIDTH), TASK_HEIGHT)


def id_width(task_id: str) -> float:
    """Return the width of the end of an id, in a font whose characters have one width."""
    return len(last_characters(task_id, ID_LENGTH)) * 6.5


def _size_of_many(box: Box) -> Size:
    across = 0
    width = _between(width_of(one_line(box.label), TYPE_SIZE) + 90, 196.0, MAX_WIDTH + 20)
    if box.form is Form.GROUP:
        across = _between_whole(math.ceil(math.sqrt(box.total * 1.8)), 7, MAX_CELLS)
        width = max(width, 2 * PADDING + across * CELL_STEP - (CELL_STEP - CELL))
        across = int((width - 2 * PADDING + CELL_STEP - CELL) // CELL_STEP)
    counts, bottom = _place_counts(box.counts, width)
    if box.form is Form.GROUP:
        rows = math.ceil(box.total / across)
        height = bottom + rows * CELL_STEP - (CELL_STEP - CELL) + PADDING
    else:
        height = bottom + 6 + PADDING
    return Size(width, height, counts=counts, across=across, body=bottom)


def _place_counts(counts: Counter[str], width: float) -> tuple[tuple[CountPlace, ...], float]:
    """Put the counts by status into rows, in the order of a summary; return them with the lower end of the last row."""
    places: list[CountPlace] = []
    x, y = PADDING, HEAD
    for status, count in in_order(counts):
        text = short_count(count)
        wide = 14 + 4 + width_of(text, SMALL_SIZE)
        if x > PADDING and x + wide > width - PADDING:
            x, y = PADDING, y + ROW
        places.append(CountPlace(status, text, x, y))
        x += wide + 8
    return tuple(places), y + ROW + 4


def _between(value: float, low: float, high: float) -> float:
    return float(math.ceil(min(max(value, low), high)))


def _between_whole(value: int, low: int, high: int) -> int:
    return min(max(value, low), high)
