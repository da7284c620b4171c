"""Draws how often a group has failed over time. No I/O happens here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from goque.dashboard import formats
from goque.dashboard.overview.charts import Chart, Series, bars
from goque.storage.contract import GroupAttempt

HOUR: Final = 3600


@dataclass(frozen=True)
class Window:
    """A length of time that the course of a group is shown for.

    Attributes:
        words: how people call it.
        span: its seconds.
        step: the seconds of one bar.
        each: how people call that.
        clock: the format of a bar's start.
    """

    words: str
    span: int
    step: int
    each: str
    clock: str


WINDOWS: Final = {
    "1h": Window("hour", HOUR, 60, "minute", "%H:%M"),
    "24h": Window("24 hours", 24 * HOUR, HOUR, "hour", "%H:%M"),
    "7d": Window("7 days", 7 * 24 * HOUR, 6 * HOUR, "6 hours", "%b %d %H:%M"),
}
USUAL_WINDOW: Final = "24h"


def course_by_hours(hours: Iterable[tuple[datetime, int]], window: Window, now: datetime) -> Chart:
    """Draw counts of hours."""
    counts: dict[int, int] = {}
    for start, failures in hours:
        slot = int(start.timestamp()) // window.step * window.step
        counts[slot] = counts.get(slot, 0) + failures
    starts = _starts(window, now)
    return _chart([float(counts.get(start, 0)) for start in starts], starts, window)


def course_by_attempts(
    attempts: Sequence[GroupAttempt], window: Window, now: datetime, *, is_cut: bool
) -> Chart:
    """Draw single attempts, newest first.

    Args:
        attempts: the attempts.
        window: the time to draw.
        now: its end.
        is_cut: whether there are more attempts than these; the time before the oldest of them is not known then.
    """
    times = [int(one.ended_at.timestamp()) for one in attempts]
    known_since = min(times, default=0) if is_cut else 0
    counts: dict[int, int] = {}
    for time in times:
        slot = time // window.step * window.step
        counts[slot] = counts.get(slot, 0) + 1
    starts = _starts(window, now)
    values = [float(counts.get(start, 0)) if start >= known_since else None for start in starts]
    return _chart(values, starts, window)


def _starts(window: Window, now: datetime) -> list[int]:
    last = int(now.timestamp()) // window.step * window.step
    return list(range(last - window.span + window.step, last + 1, window.step))


def _chart(values: Sequence[float | None], starts: Sequence[int], window: Window) -> Chart:
    title = f"Failed attempts, each {window.each}"
    series = [Series("failed attempts", "failed", values)]
    chart = bars(title, series, starts, formats.short_count, empty=f"none in the last {window.words}")
    titles = [
        f"{datetime.fromtimestamp(start, UTC):{window.clock}} UTC: "
        + ("not known" if value is None else formats.count(value))
        for start, value in zip(starts, values, strict=True)
    ]
    quarters = [starts[round(part * (len(starts) - 1) / 4)] for part in range(4)]
    return replace(
        chart,
        slots=[replace(slot, title=title) for slot, title in zip(chart.slots, titles, strict=True)],
        times=[f"{datetime.fromtimestamp(start, UTC):{window.clock}}" for start in quarters] + ["now"],
    )
