"""What people see of a task's steps, on every backend."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest
from backends import START, add, claim
from step_questions import ask, record, sleep, wait

from goque.steps.question import Progress
from goque.storage.contract import RecordedValues, StepOverview

UNKNOWN = "01a20b6d-f9ad-7bbd-861b-dbe0c9408260"


@pytest.fixture
def run(storage):
    """Return a task as a fetcher has claimed it."""
    add(storage)
    [row] = claim(storage)
    return row


def test_all_steps_are_read_where_there_are_few(storage, run, clock):
    for number in range(4):
        ask(storage, run, record(f"page-{number}", number, duration=0.25))
        clock.advance(1)
    seen = storage.step_overview(run.id, first=2, last=2)
    assert [(row.name, row.value, row.made_at) for row in seen.steps] == [
        (f"page-{number}", str(number), START + timedelta(seconds=number)) for number in range(4)
    ]
    assert (seen.counts, seen.seconds, seen.others) == ({"step": 4}, 1.0, [])


def test_of_many_steps_the_first_and_the_last_are_read_and_all_are_counted(storage, run, clock):
    for number in range(9):
        ask(storage, run, record(f"page-{number}", "x" * 5000))
        clock.advance(1)
    seen = storage.step_overview(run.id, first=1, last=2)
    assert [row.name for row in seen.steps] == ["page-0", "page-7", "page-8"]
    assert [len(row.value) for row in seen.steps] == [4000] * 3
    assert (seen.counts, seen.seconds) == ({"step": 9}, 4.5)


def test_what_is_no_step_is_read_beside_the_steps(storage, run, clock):
    ask(storage, run, record("download"), sleep("cool", 60), wait("approved", 300))
    clock.advance(1)
    storage.write_progress([(run.token, Progress(0.5, "page 1"))])
    clock.advance(1)
    assert storage.signal_task(run.id, "paid", b"[1]")
    seen = storage.step_overview(run.id, first=1, last=10)
    assert [(row.kind, row.name) for row in seen.steps] == [("step", "download")]
    assert [(row.kind, row.name) for row in seen.others[-2:]] == [("progress", ""), ("signal", "paid")]
    assert {row.kind: row.until for row in seen.others[:2]} == {
        "sleep": START + timedelta(seconds=60),
        "wait": START + timedelta(seconds=300),
    }
    assert seen.counts == {"step": 1, "sleep": 1, "wait": 1, "progress": 1, "signal": 1}


def test_a_task_without_steps_has_an_empty_overview(storage, run):
    for task_id in (run.id, UNKNOWN, "no id"):
        assert storage.step_overview(task_id, first=1, last=1) == StepOverview()


def test_whole_values_are_read_for_a_replay(storage, run):
    large = "x" * 100_000
    ask(storage, run, record("page", large), record("none", None), sleep("cool", 60), wait("approved", 300))
    storage.write_progress([(run.token, Progress(0.5))])
    storage.signal_task(run.id, "paid", b'{"by": [1.50]}')
    found = storage.recorded_values(run.id)
    assert found.steps == {"page": msgspec.json.encode(large), "none": b"null"}
    assert {name: msgspec.json.decode(raw) for name, raw in found.signals.items()} == {"paid": {"by": [1.5]}}
    assert storage.recorded_values(UNKNOWN) == storage.recorded_values("no id") == RecordedValues()
