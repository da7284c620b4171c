"""The stacks that workers write in the short time before they are killed (worker/main.py)."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from goque_supervisor.ipc.run_directory import stack_path
from goque_supervisor.root.child import Child

LEAVE_STACKS: Final = frozenset({"timeout", "canceled", "shutdown"})
"""Why a worker is killed whose handler should have stopped by itself."""

LIMIT: Final = 0.2
"""Seconds that the root waits for all stacks together; a process that is frozen writes none."""

POLL: Final = 0.004


def await_last_stacks(workers: Iterable[Child]) -> None:
    """Let the workers that run a handler write their stacks, and wait until they have, at most `LIMIT` seconds."""
    files = [_File(worker) for worker in workers if worker.box is not None and worker.box.read().running]
    deadline = time.monotonic() + LIMIT
    while files and time.monotonic() < deadline:
        time.sleep(POLL)
        files = [file for file in files if not file.is_whole()]


class _File:
    """The file of one worker, which grows at the signal."""

    def __init__(self, worker: Child) -> None:
        assert worker.box is not None
        self._path = stack_path(worker.box.path)
        self._before = self._size = _size(self._path)
        self._has_ended = False
        try:
            os.kill(worker.pid, signal.SIGUSR2)
        except ProcessLookupError:
            self._has_ended = True  # by itself, just now

    def is_whole(self) -> bool:
        """Return whether it has grown, and has stopped growing since the last call."""
        last, self._size = self._size, _size(self._path)
        return self._has_ended or self._size == last > self._before


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0  # the worker has not opened it yet
