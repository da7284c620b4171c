"""The first and the last line of a task's timeline."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from goque.dashboard.steps.milestones import life_entries
from goque.describe.step_story import StepStory
from goque.storage.contract import AttemptRow, StepRow
from goque.task_row import TaskRow
from goque.task_rules.failed_attempt import FailedAttempt

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def row(status: str, *, ended: float | None = -10, due: float = -30) -> TaskRow:
    updated = None if ended is None else at(ended)
    return TaskRow("id", "mail", "x", b"{}", status, 0, None, None, at(-60), updated, at(due))


def lines(
    task: TaskRow, *attempts: AttemptRow, story: StepStory | None = None
) -> list[tuple[str, float, float]]:
    return [
        (one.kind, (one.start - NOW).total_seconds(), (one.end - NOW).total_seconds())
        for one in life_entries(task, attempts, story or StepStory(), NOW)
    ]


def attempt(start: float, end: float) -> AttemptRow:
    return AttemptRow("id", "node-1", at(start), at(end), FailedAttempt(1, "failed", "boom"))


def long_run(start: float, end: float) -> AttemptRow:
    done = FailedAttempt(1, "done", "", worker_pid=77, duration=end - start)
    return AttemptRow("id", "node-1", at(start), at(end), done)


def test_a_long_run_that_went_well_has_its_time_and_its_place() -> None:
    entries = life_entries(row("done"), (long_run(-15, -10),), StepStory(), NOW)
    assert [one.kind for one in entries] == ["created", "run", "done"]
    assert (entries[1].start, entries[1].took, entries[1].note) == (at(-15), 5.0, "node-1, worker 77")
    assert entries[-1].took is None


def test_a_long_run_with_steps_is_the_run_that_recorded_them() -> None:
    story = StepStory(steps=[StepRow("step", "a", "1", 1, 2.0, None, at(-12))], gap=1, total=1)
    entries = life_entries(row("done"), (long_run(-15, -10),), story, NOW)
    assert [one.kind for one in entries] == ["created", "run", "step", "done"]
    assert (entries[1].start, entries[1].end, entries[1].note) == (at(-15), at(-10), "node-1, worker 77")


def test_a_new_task_has_only_its_creation() -> None:
    assert lines(row("new", ended=None)) == [("created", -60, -60)]


def test_the_end_of_a_done_task_begins_when_it_was_due() -> None:
    assert lines(row("done")) == [("created", -60, -60), ("done", -30, -10)]


def test_the_end_of_a_done_task_begins_after_its_last_failed_attempt() -> None:
    found = lines(row("done", due=-50), attempt(-45, -40))
    assert found == [("created", -60, -60), ("failed", -45, -40), ("done", -40, -10)]


def test_a_done_task_that_somebody_made_due_later_takes_no_time() -> None:
    assert lines(row("done", due=500))[-1] == ("done", -10, -10)


def test_a_done_task_with_steps_has_an_end_without_a_length() -> None:
    step = StepRow("step", "a", "1", 1, 2.0, None, at(-12))
    story = StepStory(steps=[step], gap=1, total=1)
    entries = life_entries(row("done"), (), story, NOW)
    assert [one.kind for one in entries] == ["created", "run", "step", "done"]
    assert entries[-1].took is None


def test_a_canceled_task_has_an_end_and_a_failed_one_its_attempt() -> None:
    assert lines(row("canceled"))[-1] == ("canceled", -10, -10)
    assert [kind for kind, _, _ in lines(row("attempts_left"), attempt(-20, -10))] == ["created", "failed"]
