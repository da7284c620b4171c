"""A timeline with its bars, and all else that the page of a task shows of its steps. No I/O happens here.

A bar is drawn in a picture of 1000 units that is stretched to its cell. Times in which nothing ran are drawn shorter if
they are long, because a task that sleeps for a week would have bars that nobody sees.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Final

from goque.dashboard.steps.entries import Entry

WIDTH: Final = 1000.0
LEAST: Final = 4.0
"""The width of the smallest bar."""

MAX_LINES: Final = 60
"""How many lines a timeline has; of more the first and the last half."""

RUNS: Final = frozenset({"run", "failed", "running"})

IDLE: Final = 0.2
"""How long a pause is drawn at most, in parts of the time in which the task ran."""


@dataclass(frozen=True)
class Line:
    """An entry with its bar; x and width are units of the picture."""

    entry: Entry
    x: str
    width: str


@dataclass(frozen=True)
class Timeline:
    """What is drawn.

    Attributes:
        lines: the first lines, and after a gap the last ones.
        gap: after how many lines some are left out.
        left_out: how many are left out there.
        began: the time from which the others are counted.
        is_shortened: whether pauses are drawn shorter than they were.
    """

    lines: Sequence[Line]
    gap: int
    left_out: int
    began: datetime
    is_shortened: bool


def draw_timeline(entries: Sequence[Entry], began: datetime) -> Timeline:
    """Draw lines with their bars; `began` is the time from which the others are counted."""
    axis = _Axis(entries)
    lines = [_line(entry, axis) for entry in entries]
    left_out = max(0, len(lines) - MAX_LINES)
    if left_out:
        lines = [*lines[: MAX_LINES // 2], *lines[-(MAX_LINES // 2) :]]
    gap = MAX_LINES // 2 if left_out else len(lines)
    return Timeline(lines, gap, left_out, began, axis.is_shortened)


def _line(entry: Entry, axis: _Axis) -> Line:
    start, end = axis.place(entry.start), axis.place(entry.end)
    width = max(LEAST, end - start)
    return Line(entry, f"{min(start, WIDTH - width):.1f}", f"{width:.1f}")


class _Axis:
    """The places of times: what runs is drawn in proportion, and pauses are at most so long."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        knots, active = _knots(entries)
        longest = active * IDLE
        self.is_shortened = False
        self._knots = [instant for instant, _is_busy in knots]
        self._places = [0.0]
        for (before, is_busy), (after, _) in pairwise(knots):
            length = (after - before).total_seconds()
            if not is_busy and longest and length > longest:
                length = longest
                self.is_shortened = True
            self._places.append(self._places[-1] + length)

    def place(self, instant: datetime) -> float:
        """Return where a time is, in units of the picture."""
        whole = self._places[-1]
        at = min(bisect_right(self._knots, instant), len(self._knots) - 1) - 1
        if not whole or at < 0:
            return 0.0
        before, after = self._knots[at], self._knots[at + 1]
        share = (instant - before) / (after - before)
        return (self._places[at] + share * (self._places[at + 1] - self._places[at])) / whole * WIDTH


def _knots(entries: Sequence[Entry]) -> tuple[list[tuple[datetime, bool]], float]:
    """Return the times between which the scale is the same, whether a run goes on after each, and how long all ran."""
    spans: list[tuple[datetime, datetime]] = []
    for start, end in sorted((one.start, one.end) for one in entries if one.kind in RUNS):
        if spans and start <= spans[-1][1]:
            spans[-1] = spans[-1][0], max(end, spans[-1][1])
        else:
            spans.append((start, end))
    busy = dict(pair for start, end in spans for pair in ((start, True), (end, False)))
    edges = {instant: False for one in entries for instant in (one.start, one.end)}
    ends = [min(edges), max(edges)] if edges else []
    knots = sorted({**dict.fromkeys(ends, False), **busy}.items())
    return knots, sum((end - start).total_seconds() for start, end in spans)
