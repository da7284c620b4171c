"""What the recorded steps of a task say about it: where it is, what it waits for. No I/O happens here."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from goque.steps.question import MAX_NAME
from goque.storage.contract import StepOverview, StepRow
from goque.task_row import HAS_STEPS, TaskRow, TaskStatus

WAITING: Final = frozenset({TaskStatus.NEW, TaskStatus.ERROR})
SLACK: Final = timedelta(seconds=1)
"""How much earlier a task may be due than its sleep is over: two clocks and a way lie between."""


@dataclass(frozen=True)
class ShownProgress:
    """How far a run has said that it is.

    Attributes:
        fraction: 0 to 1.
        note: what it did.
        at: when it said so.
    """

    fraction: float
    note: str
    at: datetime


@dataclass(frozen=True)
class StepStory:
    """What is known of the steps of a task.

    Attributes:
        steps: recorded steps, the oldest first; of many the first and the last ones.
        gap: after how many of `steps` some are left out.
        left_out: how many are left out there.
        total: how many are recorded.
        seconds: how long all of them took together.
        signals: the signals that have come, the oldest first; of many the last ones.
        more_signals: how many older ones there are.
        waits: the signals that the task waits for now; `until` is the deadline.
        sleeps: the sleeps that last now, the one that ends first before the others.
        progress: the last progress, None if no run has reported any, or if the task is done.
        others: all rows that are no steps, in their order.
    """

    steps: Sequence[StepRow] = ()
    gap: int = 0
    left_out: int = 0
    total: int = 0
    seconds: float = 0.0
    signals: Sequence[StepRow] = ()
    more_signals: int = 0
    waits: Sequence[StepRow] = ()
    sleeps: Sequence[StepRow] = ()
    progress: ShownProgress | None = None
    others: Sequence[StepRow] = ()


def has_steps(row: TaskRow) -> bool:
    """Return whether the table may have steps, signals or progress of a task."""
    return bool((row.flags or 0) & HAS_STEPS)


def tell_steps(row: TaskRow, seen: StepOverview, now: datetime, *, first: int) -> StepStory:
    """Make the story of a task out of its rows.

    Args:
        row: the task.
        seen: its rows.
        now: the current time.
        first: how many of the oldest steps were read, if some are left out.
    """
    total = max(seen.counts.get("step", 0), len(seen.steps))
    signals = [one for one in seen.others if one.kind == "signal"]
    is_waiting = row.status in WAITING and row.claimed_by is None
    waits, sleeps = _pauses(row, seen.others, now) if is_waiting else ([], [])
    left_out = total - len(seen.steps)
    reports = [one for one in seen.others if one.kind == "progress" and row.status != TaskStatus.DONE]
    steps = sorted(seen.steps, key=_place)
    return StepStory(
        steps=steps,
        gap=first if left_out else len(steps),
        left_out=left_out,
        total=total,
        seconds=seen.seconds,
        signals=signals,
        more_signals=max(0, seen.counts.get("signal", 0) - len(signals)),
        waits=waits,
        sleeps=sleeps,
        progress=_progress(reports[-1]) if reports else None,
        others=seen.others,
    )


def _place(step: StepRow) -> tuple[datetime, list[tuple[int, str]]]:
    """Return what a step is sorted by: those of one commit are in the order of the numbers in their names."""
    parts = re.split(r"([0-9]+)", step.name[:MAX_NAME])
    return step.made_at, [(int(part), "") if part.isdecimal() else (0, part) for part in parts]


def _pauses(row: TaskRow, others: Sequence[StepRow], now: datetime) -> tuple[list[StepRow], list[StepRow]]:
    """Return the waits and the sleeps that keep a waiting task from going on."""
    come = {one.name for one in others if one.kind == "signal"}
    waits = [
        one
        for one in others
        if one.kind == "wait" and one.value is None and one.claims == row.claims and one.name not in come
    ]
    sleeps = [
        one
        for one in others
        if one.kind == "sleep" and one.until is not None and now < one.until <= row.next_attempt_at + SLACK
    ]
    if row.next_attempt_at <= now:
        return [], []  # it goes on as soon as a worker is free
    return waits, sorted(sleeps, key=lambda one: one.until or now)


def _progress(row: StepRow) -> ShownProgress:
    """Read the progress; what is no number counts as 0, and what is no text as none."""
    value = decoded(row.value)
    fields = value if isinstance(value, dict) else {}
    fraction, note = fields.get("fraction"), fields.get("note")
    is_number = isinstance(fraction, int | float) and math.isfinite(fraction)
    return ShownProgress(
        min(1.0, max(0.0, float(fraction))) if is_number and fraction is not None else 0.0,
        note if isinstance(note, str) else "",
        row.made_at,
    )


def decoded(text: str | None) -> Any:
    """Return a value out of its JSON text; None for what is none, or was cut."""
    try:
        return msgspec.json.decode(text or "null")
    except (msgspec.MsgspecError, RecursionError, ValueError):
        return None
