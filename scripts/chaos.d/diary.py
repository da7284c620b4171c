"""The diary, in which handlers record their runs independently of goque. Each line is one write to an O_APPEND file.

    start TASK RUN PID ROOT TIME TEMPER
    end TASK RUN TIME HOW
    overlap TASK RUN
    place NAME NUMBER TASK RUN TIME
    toomany NAME TASK RUN TIME
    paced TIME
    step TASK RUN NAME TIME
    kept TASK RUN NAME TIME

During a run, its process and the children that it forked hold a lock. If another run of the task begins meanwhile, it
finds the lock and records an overlap. A run of a limited type also holds the lock of one place, of as many as its limit
allows at once. A run that finds no place free records that it is one too many. Its process alone holds the place: a
child that it forked is killed with it and runs no more, but the system may close its files later. The function of a
step records that it was called, and its handler, when the step has returned, that it is kept.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

DIRECTORY = Path(os.environ.get("GOQUE_CHAOS_DIARY", "."))

_places: set[int] = set()
"""The descriptors of the places that this process holds."""


def _leave_places() -> None:
    while _places:
        os.close(_places.pop())


os.register_at_fork(after_in_child=_leave_places)


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


@contextmanager
def place_of(name: str, places: int, task_id: str, run: int) -> Iterator[None]:
    """Hold one of the places of this name during a block, or record that all are taken."""
    for number in range(places):
        lock = os.open(DIRECTORY / f"{name}-{number}.place", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        _places.add(lock)
        try:
            if _is_locked(lock):
                note("place", name, number, task_id, run, time.time())
                yield
                return
        finally:
            if lock in _places:  # not in a fork of a handler
                _places.discard(lock)
                os.close(lock)
    note("toomany", name, task_id, run, time.time())
    yield


def _is_locked(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
