"""When the progress of running tasks is written: what has changed, at most once a second, and the last one too."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from goque.steps.question import Progress
from goque.task_row import Token
from goque_supervisor.fetcher.in_flight import ClaimedTask
from goque_supervisor.fetcher.steps.progress import ProgressWriter, with_progress
from goque_supervisor.ipc.box_records import Running, RunProgress
from unit.rows import row
from unit.supervisor.fetcher.one_worker import NOW, OneWorker


class Runs:
    """Running tasks, and what was written of them."""

    def __init__(self) -> None:
        self.tasks: dict[int, ClaimedTask] = {}
        self.progress: dict[int, RunProgress | None] = {}
        self.answers = True
        self.calls: list[dict[str, Progress]] = []
        self.writer = ProgressWriter(self._write)

    def _write(self, reported: list[tuple[Token, Progress]]) -> bool:
        self.calls.append({token.task_id: progress for token, progress in reported})
        return self.answers

    def reports(self, seq: int, fraction: float | None = None, note: str = "") -> None:
        self.tasks[seq] = ClaimedTask(row(id=f"task-{seq}", claims=1), seq=seq)
        self.progress[seq] = None if fraction is None else RunProgress(fraction, note)

    def ends(self, seq: int) -> None:
        del self.tasks[seq], self.progress[seq]

    def look(self, now: float) -> bool:
        running = {
            seq: Running(seq, f"task-{seq}", 1, 0.0, 30.0, progress=self.progress[seq]) for seq in self.tasks
        }
        return self.writer.write_changes(with_progress(self.tasks.values(), running), now)


@pytest.fixture
def runs() -> Runs:
    return Runs()


def test_nothing_is_written_of_tasks_that_report_nothing(runs: Runs) -> None:
    runs.reports(1)
    assert not runs.look(10.0)
    assert runs.calls == []


def test_a_first_report_is_written_at_once_and_a_repeated_one_never(runs: Runs) -> None:
    runs.reports(1, 0.0, "begins")
    runs.reports(2)
    assert runs.look(10.0)
    assert runs.calls == [{"task-1": Progress(0.0, "begins")}]
    assert not runs.look(20.0)
    assert len(runs.calls) == 1


def test_a_stream_of_reports_is_written_once_a_second_and_its_last_one_after_it(runs: Runs) -> None:
    for tick in range(61):
        runs.reports(1, min(tick, 45) / 100)
        runs.look(10.0 + tick / 20)
    assert [call["task-1"].fraction for call in runs.calls] == [0.0, 0.2, 0.4, 0.45]


def test_tasks_that_are_due_together_are_written_together_and_others_wait(runs: Runs) -> None:
    runs.reports(1, 0.1)
    runs.look(10.0)
    runs.reports(2, 0.1)
    runs.look(10.5)
    runs.reports(1, 0.2)
    runs.reports(2, 0.2)
    runs.look(11.0)
    runs.look(11.5)
    assert [set(call) for call in runs.calls] == [{"task-1"}, {"task-2"}, {"task-1"}, {"task-2"}]
    runs.reports(3, 0.5)
    runs.reports(4, 0.5)
    runs.look(11.6)
    assert set(runs.calls[-1]) == {"task-3", "task-4"}


def test_what_the_database_did_not_take_is_written_at_the_next_look(runs: Runs) -> None:
    runs.reports(1, 0.5)
    runs.answers = False
    assert not runs.look(10.0)
    runs.answers = True
    assert runs.look(10.05)
    assert runs.calls == [{"task-1": Progress(0.5)}] * 2


def test_a_run_that_has_ended_is_forgotten(runs: Runs) -> None:
    runs.reports(1, 0.5)
    runs.look(10.0)
    runs.ends(1)
    runs.look(10.05)
    assert runs.writer._written == {}


@pytest.fixture
def setup(tmp_path: Path) -> Iterator[OneWorker]:
    made = OneWorker(tmp_path)
    yield made
    made.close()


def test_an_inspection_finds_the_newest_reports_of_running_tasks(setup: OneWorker) -> None:
    setup.send(1, 2, 3)
    for seq in (1, 2, 3):
        setup.begin(seq)
    setup.writer.note_progress(1, 0.1, "page 1")
    setup.writer.note_progress(1, 0.2, "page 2")
    setup.writer.note_step(2, "no progress")
    setup.writer.note_progress(3, 0.9, "almost")
    setup.writer.end(3, b"done")
    found = setup.worker_pool.inspect(NOW)
    assert [(task.seq, record.progress) for task, record in found.reported] == [
        (1, RunProgress(0.2, "page 2"))
    ]
