"""Says in words what a task waits for inside of its handler, and how far it is. No I/O happens here."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime, timedelta
from typing import Final

from goque.describe.step_story import ShownProgress, StepStory
from goque.describe.task_state import lasting
from goque.errors import MAX_DELAY
from goque.storage.contract import StepRow
from goque.telemetry.logs import one_line

MAX_NAME: Final = 80
"""How many characters of a step's name a sentence has."""

ENDLESS: Final = timedelta(seconds=MAX_DELAY / 2)
"""A task that is due so late waits for a signal without a deadline: it is put off for a hundred years."""

LAST_TIMESTAMP: Final = 2**31 - 1
"""The last second that MySQL stores, for which it takes a later one."""


def describe_pause(story: StepStory, task_id: str, now: datetime) -> str:
    """Say what keeps a task from going on: a signal, a sleep; empty if neither does."""
    if story.waits:
        first = story.waits[0]
        more = len(story.waits) - 1
        others = f", or for {'another one' if more == 1 else f'one of {more:,} others'}" if more else ""
        order = f"`goque signal {task_id} {shlex.quote(one_line(first.name))}` sends it"
        return f"{describe_wait(first, now)}{others}; {order}"
    return describe_sleep(story.sleeps[0], now) if story.sleeps else ""


def describe_wait(wait: StepRow, now: datetime) -> str:
    """Return `waits for the signal approved, until 2026-11-30 17:00:00 UTC (in 23h)`, or since when it waits."""
    name = f"waits for the signal {short_name(wait.name)}"
    if wait.until is not None:
        return f"{name}, until {clock(wait.until)} ({_distance(wait.until, now)})"
    return f"{name}, since {clock(wait.made_at)} ({_distance(wait.made_at, now)})"


def describe_sleep(sleep: StepRow, now: datetime) -> str:
    """Return `sleeps in step cool until 2026-11-30 17:00:00 UTC (in 23h)`."""
    until = sleep.until or now
    return f"sleeps in step {short_name(sleep.name)} until {clock(until)} ({_distance(until, now)})"


def describe_progress(progress: ShownProgress) -> str:
    """Return `40 %, page 12`."""
    note = one_line(progress.note)
    return f"{percent(progress.fraction)}, {note}" if note else percent(progress.fraction)


def percent(fraction: float) -> str:
    """Return a fraction in percent; only what is all is 100 %."""
    return f"{int(fraction * 100 + 1e-9)} %"


def is_endless(next_attempt_at: datetime, now: datetime) -> bool:
    """Return whether a task is not due before a signal comes."""
    return next_attempt_at - now > ENDLESS or int(next_attempt_at.timestamp()) == LAST_TIMESTAMP


def short_name(name: str) -> str:
    """Return the name of a step without what could break a line, cut if it is long."""
    text = one_line(name)
    return text if len(text) <= MAX_NAME else f"{text[: MAX_NAME - 1]}…"


def clock(instant: datetime) -> str:
    """Return an instant in UTC, without fractions of a second."""
    return f"{instant.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _distance(instant: datetime, now: datetime) -> str:
    past = (now - instant).total_seconds()
    return f"{lasting(past)} ago" if past > 0 else f"in {lasting(-past)}"
