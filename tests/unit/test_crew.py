"""What a fetcher takes back from a worker that is at a long handler, read from its black box."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from test_task import row

from goque_supervisor.fetcher.in_flight import ClaimedTask, InFlight
from goque_supervisor.fetcher.worker_handle import WorkerHandle
from goque_supervisor.fetcher.worker_pool import MARK_AFTER, REVOCATION_SETTLES, WorkerPool
from goque_supervisor.ipc.blackbox import BlackBox, BlackBoxWriter
from goque_supervisor.ipc.control import WorkerStarted

NOW = 1000.0


class Shift:
    """One worker of a crew, with its side of the black box."""

    def __init__(self, directory: Path) -> None:
        self.told: list[Any] = []
        self.holdings = InFlight(lambda _held: True)
        self.crew = WorkerPool(self.holdings, 1, self.told.append)
        self.crew.pace.note([0.0001])  # quick handlers, so that many are sent ahead
        path = directory / "w.box"
        BlackBox.create(path)
        self.worker = BlackBoxWriter(path)
        self.mate = WorkerHandle.of(WorkerStarted(0, 7, 4711, "0.7.abc", str(path)), adopted=True)
        self.crew.join(self.mate)

    def send(self, *seqs: int, at: float = NOW - 1) -> None:
        for seq in seqs:
            self.mate.jobs[seq] = ClaimedTask(
                row(id=f"task-{seq}", claims=1), seq=seq, sent_at=at, mate=self.mate
            )

    def begin(self, seq: int) -> None:
        self.worker.begin(seq, f"task-{seq}", 1, NOW, NOW + 30, kill_at=NOW + 32)

    def close(self) -> None:
        self.mate.box.close()
        self.worker.close()


@pytest.fixture
def shift(tmp_path: Path) -> Iterator[Shift]:
    made = Shift(tmp_path)
    yield made
    made.close()


def test_what_waits_behind_a_long_handler_is_taken_back_for_ever(shift: Shift) -> None:
    shift.send(1, 2, 3, 4)
    shift.begin(1)
    shift.worker.end(1, b"its message waits for the next one")
    shift.begin(2)
    for turn in range(3):
        now = NOW + turn
        shift.crew.look(now)
        shift.crew.finish_taking_back(now + REVOCATION_SETTLES)
    assert sorted(shift.mate.jobs) == [1, 2]
    assert [held.seq for held in shift.holdings.waiting] == [3, 4]
    assert shift.worker.revoked_through == 4


def test_a_worker_that_only_has_an_answer_to_send_has_nothing_taken_back(shift: Shift) -> None:
    shift.send(1, 2)
    shift.begin(1)
    shift.worker.end(1, b"its message waits for the next one")
    shift.begin(2)
    unmarked, unheard = shift.crew.look(NOW)
    assert unmarked == []
    assert unheard == [(shift.mate, 1, b"its message waits for the next one")]
    assert shift.worker.revoked_through == 0
    assert shift.crew.room(NOW) > 0


def test_a_handler_is_written_down_as_running_when_it_lasts(shift: Shift) -> None:
    shift.send(1, 2)
    shift.begin(1)
    assert shift.crew.look(NOW + MARK_AFTER / 2)[0] == []
    assert [held.seq for held in shift.crew.look(NOW + MARK_AFTER)[0]] == [1]
    shift.mate.jobs[1].marked = True
    assert shift.crew.look(NOW + 1)[0] == []


def test_a_worker_that_retires_after_that_does_not_run_what_others_have_by_then(shift: Shift) -> None:
    shift.send(1, 2)
    shift.begin(1)
    shift.crew.look(NOW)
    shift.crew.finish_taking_back(NOW + REVOCATION_SETTLES)
    shift.crew.retire(shift.mate, "reload", NOW + 1)
    assert shift.worker.revoked_through == 2
