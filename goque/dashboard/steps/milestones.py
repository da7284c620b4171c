"""A task from its first to its last line: when it was created, what it did, when it ended. No I/O happens here.

The table keeps no start time of a short run that went well. So the last line of a task that is done begins when the
task was due, and the seconds in it are the wait for a worker and the run together.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from goque.dashboard.steps.entries import Entry, timeline_entries
from goque.describe.step_story import StepStory
from goque.storage.contract import AttemptRow
from goque.task_row import TaskRow, TaskStatus


def life_entries(
    row: TaskRow, attempts: Sequence[AttemptRow], story: StepStory, now: datetime
) -> list[Entry]:
    """Return the lines of a timeline: the creation, the runs with their steps and pauses, and the end."""
    created = Entry("created", "", row.created_at, row.created_at)
    middle = timeline_entries(row, attempts, story, now)
    knows_runs = bool(story.steps) or any(one.kind == "run" for one in middle)
    return [created, *middle, *_end(row, middle, knows_runs=knows_runs)]


def _end(row: TaskRow, entries: Sequence[Entry], *, knows_runs: bool) -> list[Entry]:
    """Return the line of the end of a task that is done or canceled; none for others.

    Args:
        row: the task.
        entries: the lines before it.
        knows_runs: whether it is known when its last run began.
    """
    if row.status not in (TaskStatus.DONE, TaskStatus.CANCELED) or row.updated_at is None:
        return []
    end = row.updated_at
    if row.status == TaskStatus.CANCELED or knows_runs:
        return [Entry(row.status, "", end, end)]
    start = min(end, max([row.next_attempt_at, row.created_at, *(one.end for one in entries)]))
    return [Entry(row.status, "", start, end, took=(end - start).total_seconds())]
