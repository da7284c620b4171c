"""What the page of a task shows of its recorded steps, read with one call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from goque.dashboard.steps.timeline import Timeline, draw_timeline
from goque.describe.step_story import StepStory, has_steps, tell_steps
from goque.describe.step_words import describe_pause, describe_sleep, describe_wait
from goque.storage import TaskStorage
from goque.storage.contract import AttemptRow
from goque.task_row import TaskRow

EDGE: Final = 100
"""How many of the first and of the last steps a page has, and how many signals."""

OPEN: Final = 8
"""The most steps whose table is not folded."""


@dataclass(frozen=True)
class StepsView:
    """The steps of a task on its page.

    Attributes:
        story: its rows.
        timeline: its runs, steps and pauses, drawn.
        pause: the first thing that it waits for, in words; empty if it waits for nothing.
        pauses: all that it waits for, in words, if that is more than one thing.
        is_folded: whether the table of its steps is folded.
    """

    story: StepStory
    timeline: Timeline
    pause: str
    pauses: Sequence[str]
    is_folded: bool


def read_steps(
    storage: TaskStorage, row: TaskRow, attempts: Sequence[AttemptRow], now: datetime
) -> StepsView | None:
    """Read the steps of a task; None for one that has none, which costs no query.

    Args:
        storage: the database.
        row: the task.
        attempts: its failed attempts, the oldest first.
        now: the current time.
    """
    if not has_steps(row):
        return None
    seen = storage.step_overview(row.id, first=EDGE, last=EDGE)
    story = tell_steps(row, seen, now, first=EDGE)
    pauses = [describe_wait(one, now) for one in story.waits]
    pauses += [describe_sleep(one, now) for one in story.sleeps]
    return StepsView(
        story,
        draw_timeline(row, attempts, story, now),
        describe_pause(story, row.id, now),
        pauses if len(pauses) > 1 else (),
        len(story.steps) > OPEN,
    )
