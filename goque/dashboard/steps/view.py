"""What the page of a task shows of its runs and its recorded steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from goque.dashboard.steps.milestones import life_entries
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
) -> StepsView:
    """Read the steps of a task, with one call; a task that has none costs no query.

    Args:
        storage: the database.
        row: the task.
        attempts: its recorded attempts, the oldest first.
        now: the current time.
    """
    story = StepStory()
    if has_steps(row):
        seen = storage.step_overview(row.id, first=EDGE, last=EDGE)
        story = tell_steps(row, seen, now, first=EDGE)
    pauses = [describe_wait(one, now) for one in story.waits]
    pauses += [describe_sleep(one, now) for one in story.sleeps]
    return StepsView(
        story,
        draw_timeline(life_entries(row, attempts, story, now), row.created_at),
        describe_pause(story, row.id, now),
        pauses if len(pauses) > 1 else (),
        len(story.steps) > OPEN,
    )
