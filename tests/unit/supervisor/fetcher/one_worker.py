"""One worker of a fetcher, with both sides of its black box, for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from goque.options import ProcessorOptions, ProcessorSpec
from goque_supervisor.fetcher.in_flight import ClaimedTask, InFlight
from goque_supervisor.fetcher.pool_types import PoolTypes
from goque_supervisor.fetcher.worker_handle import WorkerHandle
from goque_supervisor.fetcher.worker_pool import WorkerPool
from goque_supervisor.ipc.blackbox import BlackBox
from goque_supervisor.ipc.blackbox_writer import BlackBoxWriter
from goque_supervisor.ipc.control import WorkerStarted
from unit.rows import row

NOW = 1000.0


def task_id(seq: int) -> str:
    """Return the id of the task that is sent under this number."""
    return f"task-{seq:031}"


def types_with(options: ProcessorOptions | None = None, *, name: str = "mail") -> PoolTypes:
    """Return a pool with one type that has these options."""
    return PoolTypes([msgspec.to_builtins(ProcessorSpec(type=name, options=options or ProcessorOptions()))])


class OneWorker:
    """One worker in a pool, with its side of the black box."""

    def __init__(self, directory: Path) -> None:
        self.told: list[Any] = []
        types = types_with()
        self.in_flight = InFlight(lambda _task: True, types.is_async)
        self.worker_pool = WorkerPool(self.in_flight, types, 100, self.told.append)
        self.worker_pool.pace.note("mail", [0.0001])  # quick handlers, so that many are sent ahead
        path = directory / "w.box"
        BlackBox.create(path)
        self.writer = BlackBoxWriter(path)
        self.worker = WorkerHandle.of(WorkerStarted(0, 7, 4711, "0.7.abc", str(path)), taken_over=True)
        self.worker_pool.add(self.worker)

    def send(self, *seqs: int, at: float = NOW - 1) -> None:
        for seq in seqs:
            self.worker.jobs[seq] = ClaimedTask(
                row(id=task_id(seq), claims=1), seq=seq, sent_at=at, incarnation=7
            )

    def begin(self, seq: int) -> None:
        self.writer.begin(seq, task_id(seq), 1, NOW, NOW + 30, kill_at=NOW + 32)

    def close(self) -> None:
        self.worker.box.close()
        self.writer.close()
