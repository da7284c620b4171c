"""The app that scripts/bench runs: handlers that do little, and write down when they began.

Its settings are environment variables:

- BENCH_NOTES: the file for what handlers write down.
- BENCH_WORKERS: the workers of `noop` and `cpu` (2), and of each further type.
- BENCH_BATCH: the most tasks that one claim takes (goque's default).
- BENCH_TYPES: further types that nobody sends tasks to: type-1, type-2, … (0).
- BENCH_IMPORT_SECONDS: how long importing this takes (0).
"""

from __future__ import annotations

import os
import signal
import time

import goque

time.sleep(float(os.environ.get("BENCH_IMPORT_SECONDS", "0")))
workers = int(os.environ.get("BENCH_WORKERS", "2"))
claims = {"fetch_max_tasks": int(os.environ["BENCH_BATCH"])} if "BENCH_BATCH" in os.environ else {}

registry = goque.Registry()
registry.add_processor("noop", goque.noop_task_processor, workers=workers, **claims)
for number in range(int(os.environ.get("BENCH_TYPES", "0"))):
    registry.add_processor(f"type-{number + 1}", goque.noop_task_processor, workers=workers)


def burn(seconds: float) -> None:
    """Compute in pure Python until this thread has had the CPU for so long.

    By its own clock, and not so many loops: the same loops take a tenth more or less time in one process than in
    another, and from one moment to the next, by where its objects lie in the caches.
    """
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        for _ in range(100):
            pass


def note(*words: object) -> None:
    """Append a line to the file that scripts/bench reads; one write, so that lines do not mix."""
    descriptor = os.open(os.environ["BENCH_NOTES"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(descriptor, (" ".join(map(str, words)) + "\n").encode())
    os.close(descriptor)


@registry.processor("cpu", workers=workers)
def cpu(seconds: float) -> None:
    """Use the CPU, and nothing else."""
    burn(seconds)


@registry.processor("stamp", workers=1)
def stamp(sent: int) -> None:
    """Say when the task was sent, and when its handler began."""
    began = time.monotonic_ns()
    note(sent, began)


@registry.processor("fragile", workers=1, max_attempts=1)
def fragile(word: str) -> None:
    """Say when, and die if told so."""
    note(word, time.monotonic_ns())
    if word == "die":
        os.kill(os.getpid(), signal.SIGSEGV)
