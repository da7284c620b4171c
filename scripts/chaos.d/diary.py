"""The diary, in which handlers record their runs independently of goque. Each line is one write to an O_APPEND file.

    start TASK RUN PID ROOT TIME TEMPER
    end TASK RUN TIME HOW
    overlap TASK RUN

During a run, its process and the children that it forked hold a lock. If another run of the task begins meanwhile, it
finds the lock and records an overlap.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

DIRECTORY = Path(os.environ.get("GOQUE_CHAOS_DIARY", "."))


def note(*words: object) -> None:
    """Append one line."""
    file = os.open(DIRECTORY / "diary", os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.write(file, (" ".join(map(str, words)) + "\n").encode())
    finally:
        os.close(file)


@contextmanager
def run_of(task_id: str, temper: str) -> Iterator[int]:
    """Record the start and the end of one run. The block receives the run's number, from 1."""
    lock = os.open(DIRECTORY / f"{task_id}.runs", os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        overlaps = not _is_locked(lock)
        os.write(lock, b".")
        run = os.fstat(lock).st_size
        if overlaps:
            note("overlap", task_id, run)
        note("start", task_id, run, os.getpid(), os.getppid(), time.time(), temper)
        try:
            yield run
        except BaseException as error:
            note("end", task_id, run, time.time(), type(error).__name__)
            raise
        note("end", task_id, run, time.time(), "ok")
    finally:
        os.close(lock)


def _is_locked(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
