"""What the handlers of the process tests write down of themselves, independent of goque.

Each line is one write to a file opened with O_APPEND, so that lines of many processes do not mix. While a task
runs its handler holds a lock that dies with its process: a second run of the task that begins meanwhile is
written down as an overlap.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from goque import Task

DIRECTORY = Path(os.environ["GOQUE_TEST_JOURNAL"])


def note(*words: object) -> None:
    """Append one line."""
    file = os.open(DIRECTORY / "journal", os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.write(file, (" ".join(map(str, words)) + "\n").encode())
    finally:
        os.close(file)


@contextmanager
def run_of(task: Task) -> Iterator[None]:
    """Write down the start and the end of one run."""
    lock = os.open(DIRECTORY / f"{task.id}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        note("overlap", task.external_id, os.getpid())
    note("start", task.external_id, os.getpid())
    try:
        yield
        note("end", task.external_id, os.getpid())
    finally:
        os.close(lock)


def hold(task: Task) -> None:
    """Run until the test lets this task go on."""
    with run_of(task):
        while not (DIRECTORY / f"{task.external_id}.go").exists():
            time.sleep(0.005)


@contextmanager
def place_of(name: str, most: int) -> Iterator[None]:
    """Hold one of so many places that have this name; if none is free, that is written down as one too many."""
    for number in range(most):
        lock = os.open(DIRECTORY / f"{name}-{number}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            continue
        try:
            yield
        finally:
            os.close(lock)
        return
    note("toomany", name, os.getpid())
    yield
