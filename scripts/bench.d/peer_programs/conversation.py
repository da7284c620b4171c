"""Execute the commands of scripts/bench in another queue's program: JSON lists, each answered by a JSON value."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

POLL = 0.01
PATIENCE = 120.0


class Queue(ABC):
    """Another queue, from the enqueuing side.

    Args:
        where: the URL of its database.
    """

    processes: int = 2
    """The number of worker programs to start. It is 1 if the program starts its own workers."""

    def __init__(self, where: str) -> None:
        self.where = where

    @abstractmethod
    def install(self) -> None:
        """Create the queue's tables."""

    @abstractmethod
    def enqueue(self, kind: str, argument: float) -> None:
        """Enqueue one task durably."""

    @abstractmethod
    def enqueue_many(self, kind: str, argument: float, count: int) -> None:
        """Enqueue many tasks durably, by the fastest method of the queue."""

    def vacuum(self) -> None:  # noqa: B027 - most databases need nothing
        """Tidy the tables and update the planner's statistics, where the database needs it."""

    @abstractmethod
    def is_drained(self) -> bool:
        """Return whether no task waits or runs."""

    @abstractmethod
    def work(self, kind: str) -> None:
        """Run tasks in this process until a signal ends it, with the best settings for this kind of task."""


class Conversation:
    """Answers the commands of scripts/bench."""

    def __init__(self, queue: Queue, where: str, notes: str) -> None:
        self.queue = queue
        self.where = where
        self.notes = Path(notes)
        self.argument = 0
        self.workers: list[subprocess.Popen[bytes]] = []

    def run(self) -> None:
        """Answer until standard input ends, then end the workers."""
        try:
            for line in sys.stdin:
                verb, *words = json.loads(line)
                print(json.dumps(getattr(self, verb)(*words)), flush=True)
        finally:
            self._signal(signal.SIGKILL)

    def enqueue_one(self, count: int) -> float:
        """Return the seconds to enqueue this number of tasks one by one."""
        began = time.perf_counter()
        for _ in range(count):
            self.queue.enqueue("noop", 0)
        return time.perf_counter() - began

    def enqueue_bulk(self, count: int) -> float:
        """Return the seconds to enqueue this number of tasks together."""
        began = time.perf_counter()
        self.queue.enqueue_many("noop", 0, count)
        return time.perf_counter() - began

    def start(self, kind: str, argument: float) -> None:
        """Start the workers, each in its own process group, and let them run some tasks."""
        self.argument = argument
        self._start_workers(kind)
        self.queue.enqueue_many(kind, argument, 20)
        self._wait()
        time.sleep(1)

    def drain(self, kind: str, count: int) -> float:
        """Return the seconds from when the workers see the tasks to the end of the last task."""
        self._signal(signal.SIGSTOP)
        self.queue.enqueue_many(kind, self.argument, count)
        began = time.perf_counter()
        self._signal(signal.SIGCONT)
        self._wait()
        return time.perf_counter() - began

    def drain_waiting(self, count: int) -> float:
        """Return the seconds from the first handler's start until no task is left. All tasks wait before the start."""
        self.notes.unlink(missing_ok=True)
        self.queue.enqueue_many("first", 0, count)
        self.queue.vacuum()
        self._start_workers("first")
        self._wait()
        ended = time.time()
        self._signal(signal.SIGKILL)
        self.workers.clear()
        return ended - min(map(float, self._noted()))

    def latency(self, count: int) -> list[float]:
        """Return the milliseconds from the start of each enqueue to the handler's first line."""
        seen = len(self._noted())
        for number in range(1, count + 11):
            time.sleep(random.uniform(0.02, 0.06))
            self.queue.enqueue("stamp", time.monotonic_ns())
            deadline = time.monotonic() + PATIENCE
            while len(self._noted()) < seen + number and time.monotonic() < deadline:
                time.sleep(0.002)
        pairs = (line.split() for line in self._noted()[seen + 10 :])
        return [(int(began) - int(sent)) / 1e6 for sent, began in pairs]

    def _start_workers(self, kind: str) -> None:
        command = [sys.executable, sys.argv[0], self.where, str(self.notes), kind]
        for _ in range(self.queue.processes):
            self.workers.append(
                subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True
                )
            )

    def _noted(self) -> list[str]:
        return self.notes.read_text("ascii").splitlines() if self.notes.exists() else []

    def _wait(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while not self.queue.is_drained():
            if time.monotonic() > deadline:
                raise SystemExit("its workers do not do what was enqueued")
            time.sleep(POLL)

    def _signal(self, number: signal.Signals) -> None:
        for worker in self.workers:
            os.killpg(worker.pid, number)


def burn(seconds: float) -> None:
    """Compute in pure Python until this thread has used the CPU for this long, as goque's handler does."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        for _ in range(100):
            pass


def note(sent: int) -> None:
    """Record when a task was sent and when its handler began."""
    _write(f"{sent} {time.monotonic_ns()}")


begun: list[float] = []


def note_first() -> None:
    """Record when this process began its first task."""
    if not begun:
        begun.append(time.time())
        _write(str(begun[0]))


def _write(line: str) -> None:
    descriptor = os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(descriptor, f"{line}\n".encode())
    os.close(descriptor)


def main(make: type[Queue]) -> None:
    """Run as `PROGRAM URL NOTES`. It starts itself as `PROGRAM URL NOTES KIND` for each worker."""
    where, notes, *rest = sys.argv[1:]
    queue: Any = make(where)
    if rest:
        queue.work(*rest)
    else:
        queue.install()
        Conversation(queue, where, notes).run()
