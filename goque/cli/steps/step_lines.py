"""The steps of a task as `goque show` prints them, as lines and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final

from goque.cli.output import json_value, shortened, time_text
from goque.describe.step_story import StepStory, tell_steps
from goque.describe.step_words import describe_sleep, describe_wait, percent, short_name
from goque.describe.task_state import lasting
from goque.storage import TaskStorage
from goque.storage.contract import StepRow
from goque.task_row import TaskRow
from goque.telemetry.logs import one_line

FIRST, LAST = 5, 10
"""How many of many steps are printed, and how many signals."""

FIRST_IN_JSON, LAST_IN_JSON = 500, 500

BAR: Final = 24
MAX_VALUE: Final = 60
NAME: Final = 24


def read_story(storage: TaskStorage, row: TaskRow, now: datetime, *, for_json: bool) -> StepStory:
    """Read the steps of a task; all of them but of very many."""
    first, last = (FIRST_IN_JSON, LAST_IN_JSON) if for_json else (FIRST, LAST)
    return tell_steps(row, storage.step_overview(row.id, first=first, last=last), now, first=first)


def step_lines(story: StepStory, now: datetime) -> Iterator[str]:
    """Yield what the task has done, how far it is, what it waits for and which signals have come."""
    if story.total:
        yield f"steps: {story.total:,}, {_seconds(story.seconds)} together"
        lines = list(_lines(story.steps))
        yield from lines[: story.gap]
        if story.left_out:
            yield f"  and {story.left_out:,} more"
        yield from lines[story.gap :]
    if story.progress is not None:
        done = round(story.progress.fraction * BAR)
        note = f"  {one_line(story.progress.note)}" if story.progress.note else ""
        age = lasting(max(0.0, (now - story.progress.at).total_seconds()))
        bar = "#" * done + "-" * (BAR - done)
        yield f"progress: [{bar}] {percent(story.progress.fraction)}{note}  ({age} ago)"
    if len(story.waits) + len(story.sleeps) > 1:  # a single one is what happens next
        yield from (f"it {describe_wait(wait, now)}" for wait in story.waits)
        yield from (f"it {describe_sleep(sleep, now)}" for sleep in story.sleeps)
    if story.signals:
        older = f", and {story.more_signals:,} older ones" if story.more_signals else ""
        yield f"signals: {len(story.signals):,}{older}"
        yield from _lines(story.signals)


def _lines(rows: Sequence[StepRow]) -> Iterator[str]:
    names = [short_name(row.name) for row in rows]
    width = min(NAME, max(map(len, names), default=0))
    for row, name in zip(rows, names, strict=True):
        took = "" if row.duration is None else f"{_seconds(row.duration):>7}  "
        value = shortened(one_line(row.value or ""), MAX_VALUE)
        yield f"  {time_text(row.made_at)}  {took}{name:<{width}}  {value}".rstrip()


def steps_json(story: StepStory) -> dict[str, Any]:
    """Return the keys `steps`, `step_count`, `progress`, `waits_for`, `sleeps` and `signals` of `goque show --json`."""
    progress = story.progress
    return {
        "steps": [
            {
                "name": row.name,
                "value": _value(row),
                "duration": row.duration,
                "claims": row.claims,
                "made_at": json_value(row.made_at),
            }
            for row in story.steps
        ],
        "step_count": story.total,
        "progress": None
        if progress is None
        else {"fraction": progress.fraction, "note": progress.note, "at": json_value(progress.at)},
        "waits_for": [
            {"signal": row.name, "since": json_value(row.made_at), "until": json_value(row.until)}
            for row in story.waits
        ],
        "sleeps": [{"name": row.name, "until": json_value(row.until)} for row in story.sleeps],
        "signals": [
            {"name": row.name, "value": _value(row), "at": json_value(row.made_at)} for row in story.signals
        ],
    }


def _value(row: StepRow) -> Any:
    """Return a value as JSON; the beginning of one that is too long as text."""
    return None if row.value is None else json_value(row.value.encode("utf-8", "replace"))


def _seconds(duration: float) -> str:
    """Return a duration in at most six characters: 3ms, 250ms, 3.21s, 45s, 90m."""
    if duration < 1:
        return f"{duration * 1000:.0f}ms" if duration >= 0.0005 else "<1ms"
    return f"{duration:.3g}s" if duration < 120 else lasting(duration)
