"""A supervision tree on a database of its own, as the workloads use it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Self

from database import Database

import goque
from goque import Task

HERE: Final = Path(__file__).resolve().parent
MAX_SECONDS: Final = 300.0


class Tree:
    """Runs `goque supervise bench_app:registry` for the time of a with block.

    Args:
        database: where its tasks are.
        directory: where the notes and the log go.
        types: the task types to run; empty for all.
        settings: what the app reads, see bench_app.py.
    """

    def __init__(self, database: Database, directory: Path, *types: str, **settings: object) -> None:
        self.database = database
        self.types = types
        self.notes_file = directory / f"{database.name}.notes"
        self.log_file = directory / f"{database.name}.log"
        self.settings = {f"BENCH_{name.upper()}": str(value) for name, value in settings.items()}
        self.queue = goque.TaskQueueManager(database.url)

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "goque.cli", "supervise", "bench_app:registry"]
        command += ["--database-url", self.database.url]
        command += ["--types", ",".join(self.types)] if self.types else []
        clean = {name: value for name, value in os.environ.items() if not name.startswith("GOQUE_")}
        with self.log_file.open("ab") as log:
            self.started_ns = time.monotonic_ns()
            self.process = subprocess.Popen(
                command,
                cwd=HERE,
                env={**clean, "BENCH_NOTES": str(self.notes_file), **self.settings},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(MAX_SECONDS)
        self.queue.close()

    def notes(self) -> list[list[str]]:
        """Return what handlers have written down so far, a list of words a line."""
        try:
            return [line.split() for line in self.notes_file.read_text("ascii").splitlines()]
        except FileNotFoundError:
            return []

    def wait_for(self, condition: Callable[[], bool], period: float = 0.005) -> None:
        """Wait until something holds, and end with the tree's log if it does not in time."""
        deadline = time.monotonic() + MAX_SECONDS
        while not condition():
            if time.monotonic() > deadline or self.process.poll() is not None:
                sys.stderr.write(self.log_file.read_text("utf-8", "replace"))
                raise SystemExit(
                    "scripts/bench: the tree does not do what it was started for; above is its log"
                )
            time.sleep(period)

    def wait_for_notes(self, count: int) -> list[list[str]]:
        """Wait until handlers have written so many lines, and return them."""
        self.wait_for(lambda: len(self.notes()) >= count, 0.002)
        return self.notes()

    def seconds_to_drain(self, tasks: list[Task]) -> float:
        """Return the seconds from just before the commit that makes tasks visible to the end of the last one.

        Both by the clock of the database. The end is when the transaction that ended the last task began: its
        commit is not in it.
        """
        with self.database.transaction():
            self.queue.add_tasks(tasks, conn=self.database.connection)
            began = self.database.now()
        self.wait_for(self.database.is_drained, 0.1)  # seldom, for asking costs the CPU that is measured
        return self.database.last_moved() - began

    def warm_up(self, task_type: str, *payload: object) -> None:
        """Let every process of a type run some tasks, so that what is loaded at first use is loaded."""
        self.seconds_to_drain([Task(task_type, *payload) for _ in range(50)])

    def drained_a_second(self, tasks: int) -> float:
        """Return the rate at which waiting tasks end, from the first to end on to this many of them."""
        began = self.database.now()
        self.wait_for(lambda: self.database.finished_between(began)[0] >= tasks, 0.05)
        count, first, last = self.database.finished_between(began)
        return count / (last - first)
