"""The hour that the overview shows: counted by index, piece by piece, the same after a pause; and how it is drawn."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from backends import START, Backend, claim, done, move
from dashboards import on_every_backend
from msgspec.structs import replace

from goque import Task, TaskStatus
from goque.dashboard import formats
from goque.dashboard.overview import charts, figures
from goque.dashboard.overview.figures import Figures
from goque.dashboard.readings.history import SPAN, History
from goque.dashboard.readings.past import RangeSums
from goque.dashboard.readings.ranges import RANGES
from goque.errors import DatabaseUnavailableError
from goque.task_rules.failed_attempt import FailedAttempt

NOON = START.replace(hour=12, minute=0, second=0, microsecond=0)


@pytest.fixture
def worked(backend: Backend):
    """A queue where a task was done each minute for two hours, each 3 s after it was due, and every tenth failed."""
    storage = backend.new_storage()
    storage.migrate()
    for minute in range(120, 0, -1):
        backend.clock.now = NOON - timedelta(minutes=minute)
        storage.insert_tasks([Task("mail", {})])
        backend.clock.advance(3)
        [row] = claim(storage)
        if minute % 10:
            storage.settle_if_held([done(row)])
        else:
            failed = FailedAttempt(attempt=1, cause="failed", error="boom")
            storage.settle_if_held([move(row, TaskStatus.ATTEMPTS_LEFT, attempts=1, failed=failed)])
    backend.clock.now = NOON
    return backend.new_storage()


def look_until_known(history):
    for _ in range(200):
        history.run_once()
        if history._picture.is_whole:
            return history._picture
    raise AssertionError("the hour never was known")


def hour_of(picture):
    return Figures(picture, RangeSums(), RANGES["1h"], NOON)


@on_every_backend
def test_the_last_hour_is_counted_and_nothing_before_it(worked):
    history = History(worked, clock=NOON.timestamp)
    picture = look_until_known(history)
    assert picture.trouble is None
    assert sum(picture.ended["mail"]["done"].values()) in (53, 54)
    assert sum(picture.ended["mail"]["attempts_left"].values()) in (5, 6)
    assert min(picture.ended["mail"]["done"]) >= NOON.timestamp() - SPAN
    history.close()


def test_what_is_not_counted_yet_is_not_drawn_as_nothing(worked):
    history = History(worked, clock=NOON.timestamp)
    history.run_once()
    assert not history._picture.is_whole
    drawn = hour_of(history._picture).throughput()
    assert float(drawn.unknown) > 900
    assert drawn.slots[0].title.endswith("UTC: nothing known")
    assert hour_of(look_until_known(history)).throughput().unknown == ""
    history.close()


def test_looking_again_counts_nothing_twice(worked):
    history = History(worked, clock=NOON.timestamp)
    before = look_until_known(history).ended["mail"]["done"]
    for _ in range(3):
        history.run_once()
    assert history._picture.ended["mail"]["done"] == before
    history.close()


def test_after_a_long_pause_the_hour_is_counted_anew(worked, backend):
    now = [NOON.timestamp()]
    history = History(worked, clock=lambda: now[0])
    look_until_known(history)
    later = NOON + timedelta(minutes=30)
    now[0] = later.timestamp()
    backend.clock.now = later - timedelta(seconds=20)
    worked.insert_tasks([Task("mail", {})])
    worked.settle_if_held([done(row) for row in claim(worked)])
    picture = look_until_known(history)
    assert sum(picture.ended["mail"]["done"].values()) in (27, 28, 29)
    history.close()


def test_a_database_that_is_away_leaves_what_was_known_and_says_why(worked, monkeypatch):
    history = History(worked, clock=NOON.timestamp)
    history.run_once()

    def away():
        raise DatabaseUnavailableError("nobody answers")

    monkeypatch.setattr(worked, "queue_depths", away)
    history.run_once()
    assert (history._picture.trouble, history._picture.at) == ("nobody answers", NOON.timestamp())
    monkeypatch.undo()
    history.run_once()
    assert history._picture.trouble is None
    history.close()


def test_failures_of_one_group_are_put_together(worked):
    lines = [
        replace(line, error=f"order {number}: refused by 10.0.0.{number}", failure_group="3f9a2c81d0")
        for number, line in enumerate(worked.failures())
    ]
    [trouble] = figures.troubles(lines)
    assert (trouble.count, trouble.tasks, trouble.newest) == (len(lines), len(lines), lines[0])
    assert trouble.path == "/failures/3f9a2c81d0"
    ungrouped = figures.troubles([replace(line, failure_group=None) for line in lines], most=len(lines))
    assert {one.path for one in ungrouped} == {f"/tasks/{line.task_id}" for line in lines}


def test_charts_have_a_place_for_each_slot_and_scales_with_round_ends():
    starts = [int(NOON.timestamp()) + 60 * n for n in range(4)]
    series = [charts.Series("done", "done", [0.0, 5.0, 585.0, 2.0])]
    drawn = charts.bars("Ended", series, starts, formats.short_count, empty="nothing")
    assert drawn.ticks == ["600", "300", "0"]
    assert len(drawn.slots) == 4
    assert drawn.slots[1].title == "12:01:00 UTC: done 5"
    assert [rect.kind for rect in drawn.rects] == ["done", "done", "done unfinished"]
    assert all(float(rect.y) >= 0 and float(rect.y) + float(rect.height) <= 100.01 for rect in drawn.rects)
    gap = charts.lines(
        "Latency", [charts.Series("half", "median", [1.0, None, 2.0, 3.0])], starts, formats.seconds, empty=""
    )
    [(kind, path)] = gap.lines
    assert kind == "median"
    assert [path.count(letter) for letter in "ML"] == [2, 1]
    empty = charts.lines(
        "Latency", [charts.Series("half", "median", [None] * 4)], starts, formats.seconds, empty="nothing"
    )
    assert (empty.is_empty, empty.summary, empty.lines) == (True, "nothing", [])


@pytest.mark.parametrize(
    ("most", "top"),
    [
        (0, 1),
        (0.003, 0.003),
        (0.7, 0.8),
        (1, 1),
        (7, 8),
        (11, 15),
        (585, 600),
        (9_999, 10_000),
        (float("inf"), 1),
    ],
)
def test_a_scale_ends_at_a_round_number(most, top):
    assert charts.nice_top(most) == pytest.approx(top)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (0.01, "<0.1"),
        (2.34, "2.3"),
        (950, "950"),
        (9999, "9,999"),
        (12_345, "12.3k"),
        (123_456, "123k"),
        (4_100_000, "4.1M"),
    ],
)
def test_numbers_are_short(number, text):
    assert formats.short_count(number) == text


@pytest.mark.parametrize(
    ("length", "text"),
    [
        (None, ""),
        (0, "0 ms"),
        (0.0001, "<1 ms"),
        (0.0123, "12 ms"),
        (0.9999, "1.0 s"),
        (9.96, "10 s"),
        (99, "99 s"),
        (310, "5m 10s"),
        (599.98, "10m 0s"),
        (7500, "2h 5m"),
        (172799.9, "2d"),
        (864000, "10d"),
    ],
)
def test_lengths_of_time_are_short(length, text):
    assert formats.seconds(length) == text


def test_text_that_would_hide_or_reorder_a_page_is_escaped():
    assert formats.visible("a\u202eb\x00c\ud800\n\td") == "a\\u202eb\\x00c\\ud800\n\td"
    assert (
        formats.coded("run `goque reset <1>` & wait") == "run <code>goque reset &lt;1&gt;</code> &amp; wait"
    )
    assert formats.document(b'{"a":[1,2]}').count("\n") == 5
    assert formats.document(b"\xff not JSON") == "\ufffd not JSON"
    assert formats.document(b"x" * 70_000).endswith("… and 4,464 bytes more")
    assert (
        str(formats.badge("<b>"))
        == '<span class="badge other" title="not a status of goque">&lt;b&gt;</span>'
    )
    assert formats.ago(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, 0, 5, tzinfo=UTC)) == "5m ago"
