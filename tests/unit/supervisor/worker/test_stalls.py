"""How a worker keeps the time of handlers that must move: in itself, and in its black box for the root."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from goque import Registry
from goque.handlers.processor_table import processors_of
from goque.options import ProcessorOptions
from goque.outcome import Outcome, OutcomeKind
from goque.task_row import TaskRow
from goque_supervisor.ipc.blackbox import BlackBox
from goque_supervisor.ipc.blackbox_writer import BlackBoxWriter
from goque_supervisor.ipc.box_records import Running, RunProgress
from goque_supervisor.ipc.messages import Job
from goque_supervisor.worker.held_signals import HeldSignals
from goque_supervisor.worker.stall import Stall
from goque_supervisor.worker.worker import Worker

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class OneBox:
    """A worker without its process and its sockets, and a reader of its black box."""

    def __init__(self, path: Path) -> None:
        registry = Registry()
        registry.processor("moving", timeout=30, stall_timeout=10, timeout_grace=2)(lambda _task: None)
        registry.processor("patient", timeout=30, stall_timeout=60, timeout_grace=2)(lambda _task: None)
        registry.processor("plain", timeout=30, timeout_grace=2)(lambda _task: None)
        BlackBox.create(path)
        self.worker: Any = Worker.__new__(Worker)
        self.worker.box, self.worker.results, self.worker.begun = BlackBoxWriter(path), [], 0
        self.worker.held_signals, self.worker._stalls, self.worker._stderr_until = HeldSignals(), {}, 0.0
        self.worker.processors = processors_of(registry)
        self.reader = BlackBox(path)

    def begin(self, task_type: str, seq: int = 1) -> Job:
        task_id = f"01a20ad1-3943-75c9-a997-{seq:012}"
        job = Job(seq, TaskRow(task_id, task_type, "x", b"{}", "pending", 0, None, None, NOW, None, NOW))
        assert self.worker.begin(job) == self.running(seq).deadline
        return job

    def running(self, seq: int = 1) -> Running:
        return self.reader.read().running[seq]

    def text_of_timeout(self, task_type: str, seq: int = 1) -> Any:
        return self.worker.time_out(seq, self.worker.processors.get(task_type).spec.options)

    def let_stall(self, seq: int = 1) -> None:
        self.worker._stalls[seq].at = time.monotonic() - 1


@pytest.fixture
def one(tmp_path: Path) -> Iterator[OneBox]:
    made = OneBox(tmp_path / "w.box")
    yield made
    made.reader.close()
    made.worker.box.close()


def test_a_run_that_may_not_stall_is_due_early(one: OneBox) -> None:
    one.begin("moving")
    running = one.running()
    assert running.stalls_at == pytest.approx(running.started + 10)
    assert one.worker.due(1, running.deadline) == running.stalls_at == running.due
    assert one.reader.kill_at == pytest.approx(running.started + 12)


def test_a_type_without_stall_timeout_keeps_nothing(one: OneBox) -> None:
    one.begin("plain")
    one.worker.moved(1)
    running = one.running()
    assert (running.stalls_at, one.worker.due(1, running.deadline)) == (math.inf, running.deadline)
    assert (one.worker._stalls, one.worker.box._notes) == ({}, {})
    assert one.reader.kill_at == running.deadline + 2


def test_the_timeout_is_the_end_of_a_run_that_might_stand_still_for_longer(one: OneBox) -> None:
    one.begin("patient")
    running = one.running()
    assert one.worker.due(1, running.deadline) == running.due == running.deadline
    assert one.reader.kill_at == running.deadline + 2
    assert one.text_of_timeout("patient") == "task processing timeout: 30s"


@pytest.mark.parametrize("how", ["progress", "moved"])
def test_what_moves_puts_off_the_end(one: OneBox, how: str) -> None:
    one.begin("moving")
    one.let_stall()
    if how == "progress":
        one.worker.note_progress(1, 0.5, "half")
        assert one.running().progress == RunProgress(0.5, "half")
    else:
        one.worker.moved(1)
    running = one.running()
    assert running.stalls_at == pytest.approx(time.monotonic() + 10, abs=1)
    assert one.reader.kill_at == pytest.approx(running.stalls_at + 2)
    assert one.worker.due(1, running.deadline) == running.stalls_at


def test_the_beginning_of_a_step_does_not(one: OneBox) -> None:
    one.begin("moving")
    before = one.running()
    one.worker.note_step(1, "page-17")
    assert (one.running().step, one.running().stalls_at) == ("page-17", before.stalls_at)


def test_a_stalled_run_says_so_with_its_step_and_nothing_puts_off_its_death(one: OneBox) -> None:
    one.begin("moving")
    one.worker.note_step(1, "page-17")
    one.let_stall()
    assert one.text_of_timeout("moving") == "no progress for 10s (in step page-17)"
    before = one.running(), one.reader.kill_at
    one.worker.moved(1)
    one.worker.note_progress(1, 0.5, "cleans up")
    assert one.running().stalls_at == before[0].stalls_at
    assert one.reader.kill_at == before[1]


def test_a_run_that_has_moved_until_its_timeout_says_that(one: OneBox) -> None:
    one.begin("moving")
    one.worker._stalls[1].deadline = time.monotonic()
    one.worker.moved(1)
    assert one.text_of_timeout("moving") == "task processing timeout: 30s"


def test_the_end_of_a_run_forgets_it(one: OneBox) -> None:
    job = one.begin("moving")
    one.begin("moving", 2)
    one.worker.finish(job, Outcome(OutcomeKind.DONE))
    assert set(one.worker._stalls) == {2}
    one.worker.note_step(1, "too late")
    one.worker.moved(1)
    assert set(one.reader.read().running) == {2}


def test_a_stall_knows_when_its_process_is_killed() -> None:
    stall = Stall(10.0, 130.0, ProcessorOptions(timeout=30.0, timeout_grace=2.0))
    assert (stall.at, stall.due, stall.kill_at) == (110.0, 110.0, 112.0)
    stall.at = 140.0
    assert (stall.due, stall.kill_at) == (130.0, 132.0)
