"""What the steps of a task say about it, in words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from goque.describe.need_words import describe_flags
from goque.describe.step_story import StepStory, has_steps, tell_steps
from goque.describe.step_words import describe_pause, describe_progress, is_endless, percent, short_name
from goque.describe.task_state import describe_next
from goque.storage.contract import StepOverview, StepRow, TypePolicy
from goque.task_row import TaskRow

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
DAY = timedelta(days=1)
POLICY = TypePolicy("ocr", 5, None, None, 3600.0, 7 * 86400.0, 60.0)


def row(status: str = "new", *, due: timedelta = DAY, **fields: Any) -> TaskRow:
    fields = {"flags": 16, "claims": 2} | fields
    return TaskRow("an-id", "ocr", "x", b"{}", status, 0, None, None, NOW, NOW, NOW + due, **fields)


def one(kind: str, name: str, value: str | None = None, **fields: Any) -> StepRow:
    known = {"claims": 2, "duration": None, "until": None, "made_at": NOW - timedelta(seconds=90)} | fields
    return StepRow(kind, name, value, **known)


def told(task: TaskRow, *others: StepRow, steps: tuple[StepRow, ...] = (), **counts: int) -> StepStory:
    return tell_steps(task, StepOverview(list(steps), list(others), counts, 2.5), NOW, first=1)


WAIT = one("wait", "approved")
LIMITED = one("wait", "approved", until=NOW + DAY)
SLEEP = one("sleep", "cool", claims=1, until=NOW + timedelta(hours=3))
ORDER = "`goque signal an-id approved` sends it"


@pytest.mark.parametrize(
    ("task", "others", "text"),
    [
        (row(), (WAIT,), f"waits for the signal approved, since 2026-11-30 11:58:30 UTC (90s ago); {ORDER}"),
        (
            row(),
            (LIMITED,),
            f"waits for the signal approved, until 2026-12-01 12:00:00 UTC (in 24h); {ORDER}",
        ),
        (
            row("error"),
            (WAIT, one("wait", "paid")),
            "waits for the signal approved, since 2026-11-30 11:58:30 UTC (90s ago), or for another one; "
            + ORDER,
        ),
        (row(due=timedelta(hours=3)), (SLEEP,), "sleeps in step cool until 2026-11-30 15:00:00 UTC (in 3h)"),
        (
            row(),
            (one("wait", "it's `here`\n"),),
            (
                "waits for the signal it's `here`\\n, since 2026-11-30 11:58:30 UTC (90s ago); "
                "`goque signal an-id 'it'\"'\"'s `here`\\n'` sends it"
            ),
        ),
    ],
)
def test_a_task_that_pauses_in_its_handler_says_for_what(
    task: TaskRow, others: tuple[StepRow, ...], text: str
) -> None:
    pause = describe_pause(told(task, *others), task.id, NOW)
    assert pause == text
    assert describe_next(task, POLICY, None, NOW, pause=pause) == text


@pytest.mark.parametrize(
    ("task", "others"),
    [
        (row("processing", claimed_by="node-1"), (WAIT, SLEEP)),
        (row("new", claimed_by="node-1"), (WAIT,)),
        (row("done"), (WAIT, SLEEP)),
        (row(due=-DAY), (WAIT, SLEEP)),
        (row(claims=3), (WAIT,)),
        (row(), (WAIT, one("signal", "approved", "true", claims=0))),
        (row(), (one("wait", "approved", '"expired"'),)),
        (row(due=timedelta(hours=1)), (SLEEP,)),
        (row(), (one("sleep", "cool", until=NOW),)),
    ],
    ids=[
        "runs",
        "is claimed",
        "has ended",
        "is due",
        "another run",
        "signal came",
        "expired",
        "retried earlier",
        "over",
    ],
)
def test_a_task_that_does_not_pause_says_nothing(task: TaskRow, others: tuple[StepRow, ...]) -> None:
    assert describe_pause(told(task, *others), task.id, NOW) == ""


def test_a_paused_type_is_named_beside_the_pause() -> None:
    paused = TypePolicy("ocr", 5, None, None, 3600.0, 7 * 86400.0, 60.0, paused=True)
    assert describe_next(row(), paused, None, NOW, pause="sleeps") == "sleeps; the type is paused"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ('{"fraction": 0.4, "note": "page 12"}', "40 %, page 12"),
        ('{"fraction": 0.999, "note": ""}', "99 %"),
        ('{"fraction": 1, "note": "a\\nb"}', "100 %, a\\nb"),
        ('{"fraction": 7, "note": 7}', "100 %"),
        ('{"fraction": "x"}', "0 %"),
        ("[]", "0 %"),
        ("{", "0 %"),
        (None, "0 %"),
    ],
)
def test_progress_is_read_whatever_somebody_has_written(value: str | None, text: str) -> None:
    progress = told(row("processing"), one("progress", "", value)).progress
    assert progress is not None
    assert describe_progress(progress) == text


def test_a_task_that_is_done_shows_no_progress() -> None:
    report = one("progress", "", '{"fraction": 0.9, "note": ""}')
    assert told(row("done"), report).progress is None
    assert told(row("attempts_left"), report).progress is not None


def test_steps_of_one_commit_are_in_the_order_of_their_numbers() -> None:
    steps = tuple(one("step", name) for name in ("page-10", "page-9", "page-1", "a"))
    story = told(row(), steps=steps, step=4)
    assert [step.name for step in story.steps] == ["a", "page-1", "page-9", "page-10"]
    assert (story.total, story.left_out, story.gap) == (4, 0, 4)


def test_of_many_steps_the_gap_is_known() -> None:
    story = told(row(), steps=(one("step", "a"), one("step", "z")), step=1000)
    assert (story.total, story.left_out, story.gap, story.seconds) == (1000, 998, 1, 2.5)


def test_flags_and_names_are_said_in_words() -> None:
    assert describe_flags(16) == "16 (has steps)"
    assert [has_steps(row(flags=flags)) for flags in (None, 15, 16, 31)] == [False, False, True, True]
    assert short_name("a\n" + "x" * 300) == "a\\n" + "x" * 76 + "…"
    assert [percent(number) for number in (0.0, 0.29, 0.57, 1.0)] == ["0 %", "29 %", "57 %", "100 %"]


def test_a_wait_without_a_deadline_is_known_by_its_date() -> None:
    assert is_endless(NOW + timedelta(days=36_600), NOW)
    assert is_endless(datetime(2038, 1, 19, 3, 14, 7, 999999, tzinfo=UTC), NOW)
    assert not is_endless(NOW + timedelta(days=3660), NOW)
