"""Charts as data for inline SVG, without scripts, style attributes or assets. No I/O happens here.

A plot is 1000 by 100 units and is stretched to its size. Its labels are HTML, so that letters are not stretched.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

WIDTH: Final = 1000.0
HEIGHT: Final = 100.0
DAY: Final = 80_000
"""Seconds from which on a chart names days."""

GAP: Final = 0.22
"""The fraction of a bar's width that is the gap to the next bar."""


@dataclass(frozen=True)
class Series:
    """Values over time, None for unknown; `kind` is the CSS class of the colour."""

    name: str
    kind: str
    values: Sequence[float | None]


@dataclass(frozen=True)
class Rect:
    """A part of a bar."""

    kind: str
    x: str
    y: str
    width: str
    height: str


@dataclass(frozen=True)
class Slot:
    """The tooltip of one slot of time."""

    x: str
    width: str
    title: str


@dataclass(frozen=True)
class Chart:
    """A plot with its labels; `ticks` go from the top of the scale to its bottom.

    The time that is not counted yet, at the left, is `unknown` units wide.
    """

    title: str
    legend: list[tuple[str, str]]
    ticks: list[str]
    times: list[str]
    slots: list[Slot]
    rects: list[Rect] = field(default_factory=list)
    lines: list[tuple[str, str]] = field(default_factory=list)
    is_empty: bool = False
    summary: str = ""
    unknown: str = ""


def bars(
    title: str, series: Sequence[Series], starts: Sequence[int], show: Callable[[float], str], *, empty: str
) -> Chart:
    """Stack series as bars."""
    sums = [sum(filter(None, values)) for values in zip(*(one.values for one in series), strict=True)]
    top = nice_top(max(sums, default=0))
    step = WIDTH / max(1, len(starts))
    rects = []
    for index in range(len(starts)):
        base = HEIGHT
        for one in series:
            value = one.values[index] or 0
            if value:
                tall = max(1.0, value / top * HEIGHT)
                base -= tall
                rects.append(
                    Rect(
                        f"{one.kind} unfinished" if index == len(starts) - 1 else one.kind,
                        _unit(index * step + step * GAP / 2),
                        _unit(base),
                        _unit(step * (1 - GAP)),
                        _unit(tall),
                    )
                )
    return Chart(
        title,
        legend=[(one.name, one.kind) for one in series],
        ticks=_ticks(top, show),
        times=_times(starts),
        slots=_slots(series, starts, step, show),
        rects=rects,
        is_empty=not any(sums),
        unknown=_unknown(series, step),
        summary=empty if not any(sums) else f"{title}: at most {show(max(sums))}",
    )


def lines(
    title: str, series: Sequence[Series], starts: Sequence[int], show: Callable[[float], str], *, empty: str
) -> Chart:
    """Draw series as lines, with a gap for unknown values."""
    known = [value for one in series for value in one.values if value is not None]
    top = nice_top(max(known, default=0))
    step = WIDTH / max(1, len(starts))
    return Chart(
        title,
        legend=[(one.name, one.kind) for one in series],
        ticks=_ticks(top, show),
        times=_times(starts),
        slots=_slots(series, starts, step, show),
        lines=[(one.kind, path) for one in series if (path := _path(one.values, top, step))],
        is_empty=not known,
        summary=empty if not known else f"{title}: at most {show(max(known))}",
    )


def spark(values: Sequence[float]) -> str:
    """Return the path of a small line without labels."""
    return _path(values, max(*values, 1e-9), WIDTH / len(values)) if any(values) else ""


def nice_top(most: float) -> float:
    """Return the top of the scale for these values: a round number of at most two digits."""
    if most <= 0 or not math.isfinite(most):
        return 1.0
    power = 10.0 ** math.floor(math.log10(most))
    return next(
        factor * power for factor in (1, 1.5, 2, 3, 4, 5, 6, 8, 10) if most <= factor * power * (1 + 1e-9)
    )


def _path(values: Sequence[float | None], top: float, step: float) -> str:
    parts: list[str] = []
    is_down = False
    for index, value in enumerate(values):
        if value is None:
            is_down = False
            continue
        x, y = index * step + step / 2, HEIGHT - value / top * (HEIGHT - 1) - 0.5
        if is_down:
            parts.append(f"L{_unit(x)} {_unit(y)}")
        else:
            alone = index + 1 == len(values) or values[index + 1] is None
            parts.append(f"M{_unit(x)} {_unit(y)}" + (f"h{_unit(step / 4)}" if alone else ""))
        is_down = True
    return "".join(parts)


def _slots(
    series: Sequence[Series], starts: Sequence[int], step: float, show: Callable[[float], str]
) -> list[Slot]:
    titles = []
    for index, start in enumerate(starts):
        values = [f"{one.name} {show(value)}" for one in series if (value := one.values[index]) is not None]
        titles.append(f"{_clock(start, starts, seconds=True)} UTC: {', '.join(values) or 'nothing known'}")
    return [Slot(_unit(index * step), _unit(step), title) for index, title in enumerate(titles)]


def _unknown(series: Sequence[Series], step: float) -> str:
    known = [index for one in series for index, value in enumerate(one.values) if value is not None]
    first = min(known, default=0)
    return _unit(first * step) if first else ""


def _ticks(top: float, show: Callable[[float], str]) -> list[str]:
    return [show(top), show(top / 2), "0"]


def _times(starts: Sequence[int]) -> list[str]:
    if not starts:
        return []
    quarter = (len(starts) - 1) / 4
    return [_clock(starts[round(part * quarter)], starts) for part in range(4)] + ["now"]


def _clock(start: int, starts: Sequence[int], *, seconds: bool = False) -> str:
    """Return the time of a slot, with the day if the chart shows several."""
    day = "%a " if starts[-1] - starts[0] >= DAY else ""
    return f"{datetime.fromtimestamp(start, UTC):{day}{'%H:%M:%S' if seconds and not day else '%H:%M'}}"


def _unit(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")
