"""One worker of a fetcher, with both sides of its black box, for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from goque_supervisor.fetcher.in_flight import ClaimedTask, InFlight
from goque_supervisor.fetcher.worker_handle import WorkerHandle
from goque_supervisor.fetcher.worker_pool import WorkerPool
from goque_supervisor.ipc.blackbox import BlackBox, BlackBoxWriter
from goque_supervisor.ipc.control import WorkerStarted
from unit.rows import row

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
