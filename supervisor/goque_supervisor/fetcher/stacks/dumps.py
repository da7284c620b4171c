"""The stack that a worker writes to its file at a signal: ask for it, and read it once it is whole."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from goque.stacks.frames import Frame, parse_dump
from goque_supervisor.fetcher.worker_handle import WorkerHandle
from goque_supervisor.ipc import os_process
from goque_supervisor.ipc.run_directory import stack_path

SILENT_AFTER: Final = 0.8
"""Seconds after which a worker that has written nothing does not react to signals."""

MAX_DUMP: Final = 256 * 1024


@dataclass
class Dump:
    """One stack that a worker is writing.

    Attributes:
        worker: the worker.
        asked_at: when the root was asked to signal it (CLOCK_MONOTONIC seconds).
        start: the bytes of its file before that.
        size: the bytes of its file at the last look.
    """

    worker: WorkerHandle
    asked_at: float
    start: int
    size: int = 0

    def read_if_whole(self) -> list[Frame] | None:
        """Return the frames once the file has stopped growing, and empty the file; None before."""
        path = stack_path(self.worker.started.box)
        before, self.size = self.size, _size(path)
        if self.size <= self.start or self.size != before:
            return None
        with path.open("rb") as file:
            file.seek(self.start)
            text = file.read(MAX_DUMP).decode("utf-8", "replace")
        with contextlib.suppress(OSError):  # then it grows, and the next stack begins at its end
            os.truncate(path, 0)
        return parse_dump(text)

    def is_overdue(self, now: float) -> bool:
        """Return whether the worker should have written it by now."""
        return now - self.asked_at > SILENT_AFTER

    def why_silent(self) -> str:
        """Say why there is no stack."""
        pid = self.worker.started.pid
        process = f"its process (pid {pid})"
        match os_process.state_of(pid):
            case "T" | "t":
                return f"{process} is stopped, as by SIGSTOP or a debugger"
            case "D":
                return f"{process} waits in the kernel, as for a disk or a network file system, and takes no signal"
            case "Z":
                return f"{process} has just ended"
        if not os_process.exists(pid):
            return f"{process} has just ended"
        if not os_process.catches(pid, signal.SIGUSR2):
            return f"{process} has another handler for SIGUSR2 than goque's; does the app set one?"
        return f"{process} has not reacted within {SILENT_AFTER:g} s"


class Dumps:
    """The stacks that the workers of a pool are writing; at most one of each worker at a time.

    Args:
        ask: asks the root to signal a worker.
    """

    def __init__(self, ask: Callable[[WorkerHandle], None]) -> None:
        self._ask = ask
        self._open: dict[int, Dump] = {}

    def of(self, worker: WorkerHandle, now: float) -> Dump:
        """Return the stack that a worker is writing; it is asked for one if it writes none."""
        dump = self._open.get(worker.incarnation)
        if dump is None:
            start = _size(stack_path(worker.started.box))
            dump = self._open[worker.incarnation] = Dump(worker, now, start)
            self._ask(worker)
        return dump

    def close(self, worker: WorkerHandle) -> None:
        """Forget the stack of a worker that was read or that never came."""
        self._open.pop(worker.incarnation, None)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0  # it is deleted with its worker
