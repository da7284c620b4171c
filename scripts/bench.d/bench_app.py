"""The app that scripts/bench runs: handlers that do little, and write down when they began."""

from __future__ import annotations

import os
import signal
import time

import goque

registry = goque.Registry()
registry.add_processor("noop", goque.noop_task_processor, workers=2)


def spin(loops: int) -> None:
    """Count down in pure Python."""
    while loops:
        loops -= 1


def note(*words: object) -> None:
    """Append a line to the file that scripts/bench reads; one write, so that lines do not mix."""
    descriptor = os.open(os.environ["GOQUE_BENCH_NOTES"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(descriptor, (" ".join(map(str, words)) + "\n").encode())
    os.close(descriptor)


@registry.processor("cpu", workers=2)
def burn(loops: int) -> None:
    """Use the CPU, and nothing else."""
    spin(loops)


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
