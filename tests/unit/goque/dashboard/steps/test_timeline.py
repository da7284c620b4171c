"""The timeline of a task: which lines it has, and where their bars are."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from goque.dashboard.steps.entries import Entry, timeline_entries
from goque.dashboard.steps.timeline import MAX_LINES, Timeline, draw_timeline
from goque.describe.step_story import StepStory, tell_steps
from goque.storage.contract import AttemptRow, StepOverview, StepRow
from goque.task_row import TaskRow
from goque.task_rules.failed_attempt import FailedAttempt

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)


def draw(task: TaskRow, attempts: Sequence[AttemptRow], story: StepStory, now: datetime) -> Timeline:
    entries = timeline_entries(task, attempts, story, now)
    return draw_timeline(entries, min((one.start for one in entries), default=now))


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def row(status: str = "new", *, updated: float = 0, due: float = 100, **fields: Any) -> TaskRow:
    fields = {"flags": 16, "claims": 2} | fields
    return TaskRow("id", "ocr", "x", b"{}", status, 0, None, None, at(-900), at(updated), at(due), **fields)


def step(name: str, made: float, took: float = 1.0, claims: int = 1) -> StepRow:
    return StepRow("step", name, "1", claims, took, None, at(made))


def pause(kind: str, name: str, made: float, until: float | None = None, value: str | None = None) -> StepRow:
    return StepRow(kind, name, value, 2, None, None if until is None else at(until), at(made))


def attempt(start: float | None, end: float, number: int = 1, took: float | None = None) -> AttemptRow:
    failed = FailedAttempt(number, "crashed", "worker crashed in step page-4", duration=took)
    return AttemptRow("id", "n", None if start is None else at(start), at(end), failed)


def story(task: TaskRow, *rows: StepRow, count: int | None = None, first: int = 100) -> StepStory:
    steps = [one for one in rows if one.kind == "step"]
    others = [one for one in rows if one.kind != "step"]
    counts = {"step": len(steps) if count is None else count}
    return tell_steps(task, StepOverview(steps, others, counts, 1.0), NOW, first=first)


def short(entry: Entry) -> tuple[str, str, float, float]:
    start, end = ((instant - NOW).total_seconds() for instant in (entry.start, entry.end))
    return entry.kind, entry.name, start, end


def test_a_failed_attempt_has_the_steps_that_it_recorded_below_it() -> None:
    task = row("processing", updated=-20, claimed_by="node-1")
    seen = story(task, step("download", -58, 2), step("page-4", -10, 3, claims=2))
    entries = timeline_entries(task, [attempt(-61, -50)], seen, NOW)
    assert [short(one) for one in entries] == [
        ("failed", "", -61, -50),
        ("step", "download", -60, -58),
        ("running", "", -20, 0),
        ("step", "page-4", -13, -10),
    ]
    assert [one.is_nested for one in entries] == [False, True, False, True]
    assert (entries[0].note, entries[0].attempt) == ("worker crashed in step page-4", 1)
    assert [one.is_open for one in entries] == [False, False, True, False]


def test_runs_without_steps_and_steps_without_a_failure_have_lines_too() -> None:
    task = row("done", updated=-1)
    seen = story(task, step("a", -30, 5, claims=3))
    attempts = [attempt(None, -80, 1, took=4), attempt(-60, -50, 2)]
    entries = timeline_entries(task, attempts, seen, NOW)
    assert [short(one) for one in entries] == [
        ("failed", "", -84, -80),
        ("failed", "", -60, -50),
        ("run", "", -35, -30),
        ("step", "a", -35, -30),
    ]


def test_steps_of_one_loop_are_one_line() -> None:
    task = row()
    names = ["page-1", "page-2", "page-3", "x-1", "x-2", "end"]
    seen = story(task, *(step(name, -50 + number) for number, name in enumerate(names)))
    _run, *entries = timeline_entries(task, [], seen, NOW)
    assert [(one.name, one.last_name, one.count, one.took) for one in entries] == [
        ("page-1", "page-3", 3, 3.0),
        ("x-1", "", 1, 1.0),
        ("x-2", "", 1, 1.0),
        ("end", "", 1, 1.0),
    ]


def test_steps_that_are_left_out_have_a_line_of_their_own() -> None:
    task = row()
    seen = story(task, step("page-1", -50), step("page-900", -5, claims=2), count=900, first=1)
    entries = timeline_entries(task, [], seen, NOW)
    assert [(one.kind, one.count) for one in entries] == [
        ("run", 1),
        ("step", 1),
        ("gap", 898),
        ("step", 1),
    ]


def test_pauses_end_with_their_time_their_signal_or_the_task() -> None:
    rows = (
        pause("sleep", "over", -50, -40),
        pause("sleep", "lasts", -45, 60),
        pause("wait", "came", -39),
        pause("wait", "expired", -38, -30, '"expired"'),
        pause("wait", "open", -20),
        pause("signal", "came", -25),
    )
    task = row()
    open_entries = timeline_entries(task, [], story(task, *rows), NOW)
    assert [(*short(one), one.is_open) for one in open_entries] == [
        ("sleep", "over", -50, -40, False),
        ("sleep", "lasts", -45, 0, True),
        ("wait", "came", -39, -25, False),
        ("wait", "expired", -38, -30, False),
        ("signal", "came", -25, -25, False),
        ("wait", "open", -20, 0, True),
    ]
    task = row("canceled", updated=-10)
    ended = timeline_entries(task, [], story(task, *rows), NOW)
    assert [(one.name, one.is_open) for one in ended if one.end == at(-10)] == [
        ("lasts", False),
        ("open", False),
    ]


def bars(task: TaskRow, attempts: list[AttemptRow], seen: StepStory) -> list[tuple[float, float]]:
    drawn = draw(task, attempts, seen, NOW)
    return [(float(line.x), float(line.width)) for line in drawn.lines]


def test_bars_are_in_proportion_to_the_time() -> None:
    task = row("canceled", updated=0)
    seen = story(task, step("a", -80, 20), step("b", 0, 50))
    assert bars(task, [], seen) == [(0, 1000), (0, 200), (500, 500)]


def test_a_long_pause_is_drawn_shorter_and_that_is_told() -> None:
    task = row(claims=2)
    seen = story(task, step("a", -86_500, 60), pause("sleep", "cool", -86_500, -100), step("b", -60, 40, 2))
    drawn = draw(task, [], seen, NOW)
    assert drawn.is_shortened
    assert drawn.began == at(-86_560)
    places = [(float(line.x), float(line.width)) for line in drawn.lines]
    assert places[0] == places[1] == (0, 500)
    assert places[2] == (500, 166.7)
    assert places[3] == places[4] == (666.7, 333.3)
    assert not draw(task, [], story(task, step("a", -10), step("b", -5)), NOW).is_shortened


def test_the_smallest_bar_is_seen_and_stays_in_the_picture() -> None:
    task = row()
    seen = story(task, step("a", -10, 100), step("b", -10, 0))
    assert bars(task, [], seen)[-1] == (996, 4)


def test_of_many_lines_the_first_and_the_last_are_drawn() -> None:
    attempts = [attempt(-1000 + number, -999.5 + number, number) for number in range(500)]
    drawn = draw(row(), attempts, StepStory(), NOW)
    assert (len(drawn.lines), drawn.gap, drawn.left_out) == (MAX_LINES, 30, 440)
    assert [drawn.lines[at].entry.attempt for at in (0, 29, 30, 59)] == [0, 29, 470, 499]


def test_a_timeline_of_nothing_is_empty_and_odd_times_break_none() -> None:
    task = row("processing", updated=50, claimed_by="n")
    assert draw(row(), [], StepStory(), NOW).lines == []
    seen = story(task, step("a", 0, 1e300), pause("sleep", "odd", 10, -10))
    assert len(bars(task, [attempt(30, 20)], seen)) == 5
