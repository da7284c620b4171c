"""The entries of a timeline: runs with their steps, sleeps, waits and signals, in their order. No I/O happens here.

A step knows the claim of its run, a recorded attempt knows its time only. So an attempt belongs to the claim whose
steps were recorded in its time. A short run that recorded no step and did not fail has left no trace.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from goque.describe.step_story import StepStory
from goque.storage.contract import AttemptRow, StepRow
from goque.task_row import CLAIMED_STATUSES, TERMINAL_STATUSES, TaskRow, TaskStatus

MIN_GROUP: Final = 3
"""The fewest steps of one `each` that get one entry together."""

_NUMBERED: Final = re.compile(r"(.+)-[0-9]+", re.DOTALL)


@dataclass(frozen=True)
class Entry:
    """One line of a timeline.

    Attributes:
        kind: run, failed, running, step, sleep, wait, signal, or gap for steps that are left out.
        name: of a step, a sleep, a wait or a signal its name; of a group the name of its first step.
        start, end: when it was; the same for what takes no time.
        last_name: of a group, the name of its last step.
        count: how many steps it stands for.
        took: how many seconds it took, None where that means nothing.
        note: the error of a failed attempt; of a run that went well, where it ran.
        attempt: the number of a failed attempt.
        is_open: whether it lasts.
        is_nested: whether it belongs to the run above it.
    """

    kind: str
    name: str
    start: datetime
    end: datetime
    last_name: str = ""
    count: int = 1
    took: float | None = None
    note: str = ""
    attempt: int = 0
    is_open: bool = False
    is_nested: bool = False


@dataclass
class _Run:
    claims: int | None
    start: datetime
    end: datetime
    entries: list[Entry]
    attempt: AttemptRow | None = None
    is_running: bool = False
    is_cut: bool = False


def timeline_entries(
    row: TaskRow, attempts: Sequence[AttemptRow], story: StepStory, now: datetime
) -> list[Entry]:
    """Return the entries in the order in which they are shown.

    Args:
        row: the task.
        attempts: its recorded attempts.
        story: its steps.
        now: the current time.
    """
    runs = list(_runs_with_steps(story))
    for attempt in attempts:
        _add_attempt(runs, attempt)
    if row.status == TaskStatus.PROCESSING and row.updated_at is not None:
        _add_running(runs, row, min(row.updated_at, now), now)
    blocks: list[tuple[datetime, list[Entry]]] = [(run.start, list(_of_run(run))) for run in runs]
    blocks += [(one.start, [one]) for one in (*_gap(story), *_pauses(row, story, now))]
    blocks.sort(key=lambda block: block[0])
    return [entry for _start, entries in blocks for entry in entries]


def _runs_with_steps(story: StepStory) -> Iterator[_Run]:
    """Yield the runs that have recorded steps. Where steps are left out, nobody knows when a run after that began."""
    parts: dict[tuple[int, bool], list[Entry]] = {}
    for number, step in enumerate(story.steps):
        is_after = bool(story.left_out) and number >= story.gap
        parts.setdefault((step.claims, is_after), []).append(_entry_of(step))
    for (claims, is_after), entries in parts.items():
        start, end = min(one.start for one in entries), max(one.end for one in entries)
        yield _Run(claims, start, end, list(_grouped(entries)), is_cut=is_after)


def _gap(story: StepStory) -> Iterator[Entry]:
    """Yield the steps that are left out, which may be of several runs."""
    if story.left_out and story.gap:
        before = story.steps[story.gap - 1]
        yield Entry("gap", "", before.made_at, before.made_at, count=story.left_out)


def _entry_of(step: StepRow) -> Entry:
    took = step.duration or 0.0
    return Entry("step", step.name, _before(step.made_at, took), step.made_at, took=took, is_nested=True)


def _grouped(entries: Sequence[Entry]) -> Iterator[Entry]:
    """Yield neighbours whose names differ in their number only as one entry."""
    group: list[Entry] = []
    for entry in entries:
        if group and (_family(entry) is None or _family(entry) != _family(group[0])):
            yield from _merged(group)
            group = []
        group.append(entry)
    yield from _merged(group)


def _family(entry: Entry) -> str | None:
    found = _NUMBERED.fullmatch(entry.name) if entry.kind == "step" else None
    return found[1] if found else None


def _merged(group: list[Entry]) -> list[Entry]:
    if len(group) < MIN_GROUP:
        return group
    return [
        replace(
            group[0],
            start=min(one.start for one in group),
            end=max(one.end for one in group),
            last_name=group[-1].name,
            count=len(group),
            took=sum(one.took or 0.0 for one in group),
        )
    ]


def _add_attempt(runs: list[_Run], attempt: AttemptRow) -> None:
    """Note of the run that an attempt was how it ended; of the last one, if its time has several."""
    start = attempt.started_at or _before(attempt.ended_at, attempt.failed.duration or 0.0)
    start = min(start, attempt.ended_at)
    run = next(
        (
            one
            for one in reversed(runs)
            if one.attempt is None and one.claims is not None and start <= one.end <= attempt.ended_at
        ),
        None,
    )
    if run is None:
        runs.append(_Run(None, start, attempt.ended_at, [], attempt))
        return
    run = next(
        one for one in runs if one.claims == run.claims
    )  # of a run with steps left out, the first part
    run.start, run.end, run.attempt = min(start, run.start), attempt.ended_at, attempt


def _add_running(runs: list[_Run], row: TaskRow, start: datetime, now: datetime) -> None:
    run = next((one for one in runs if one.claims == row.claims and one.attempt is None), None)
    if run is None:
        runs.append(_Run(row.claims, start, now, [], is_running=True))
        return
    run.start, run.end, run.is_running = min(start, run.start), now, True


def _of_run(run: _Run) -> Iterator[Entry]:
    took = (run.end - run.start).total_seconds()
    if run.attempt is not None and run.attempt.failed.went_well:
        yield Entry("run", "", run.start, run.end, took=took, note=_place(run.attempt))
    elif run.attempt is not None:
        failed = run.attempt.failed
        yield Entry("failed", "", run.start, run.end, took=took, note=failed.error, attempt=failed.attempt)
    elif run.is_running or not run.is_cut:
        kind = "running" if run.is_running else "run"
        yield Entry(kind, "", run.start, run.end, took=took, is_open=run.is_running)
    yield from run.entries


def _place(attempt: AttemptRow) -> str:
    pid = attempt.failed.worker_pid
    return ", ".join(filter(None, (attempt.node, f"worker {pid}" if pid else "")))


def _pauses(row: TaskRow, story: StepStory, now: datetime) -> Iterator[Entry]:
    """Yield sleeps, waits and signals; what had not ended when the task did ends with it."""
    is_over = row.status in TERMINAL_STATUSES
    limit = min(row.updated_at or now, now) if is_over else now
    signals = {one.name: one.made_at for one in story.others if one.kind == "signal"}
    for one in story.others:
        if one.kind == "signal":
            yield Entry("signal", one.name, one.made_at, one.made_at)
        elif one.kind in {"sleep", "wait"}:
            end = signals.get(one.name) if one.kind == "wait" and one.value is None else None
            ends = [instant for instant in (end, one.until, limit) if instant is not None]
            last = max(one.made_at, min(ends))
            is_open = last == limit and not is_over and row.status not in CLAIMED_STATUSES
            took = (last - one.made_at).total_seconds()
            yield Entry(one.kind, one.name, one.made_at, last, took=took, is_open=is_open)


def _before(instant: datetime, seconds: float) -> datetime:
    """Return the time so many seconds earlier, whatever number somebody has written."""
    try:
        return instant - timedelta(seconds=seconds)
    except OverflowError:
        return instant
