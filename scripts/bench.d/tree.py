"""A supervision tree for the workloads."""

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
    """Runs `goque supervise bench_app:registry` during a with block.

    Args:
        database: the database with its tasks.
        directory: the directory for the notes and the log.
        types: the task types to run; none means all.
        point_times: a file to which the processes append the times of the points that tasks pass.
        settings: the settings of the app, see bench_app.py.
    """

    def __init__(
        self,
        database: Database,
        directory: Path,
        *types: str,
        point_times: Path | None = None,
        **settings: object,
    ) -> None:
        self.database = database
        self.types = types
        self.notes_file = directory / f"{database.name}.notes"
        self.log_file = directory / f"{database.name}.log"
        self.settings = {f"BENCH_{name.upper()}": str(value) for name, value in settings.items()}
        if point_times is not None:
            self.settings["GOQUE_TEST_POINT_TIMES"] = str(point_times)
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

    def is_up(self) -> bool:
        """Return whether the tree has its lease."""
        return "up as pid" in self.log_file.read_text("utf-8", "replace")

    def notes(self) -> list[list[str]]:
        """Return the records of handlers so far, as a list of words for each line."""
        try:
            return [line.split() for line in self.notes_file.read_text("ascii").splitlines()]
        except FileNotFoundError:
            return []

    def wait_for(self, condition: Callable[[], bool], period: float = 0.005) -> None:
        """Wait until a condition holds. After a timeout, print the tree's log and exit."""
        deadline = time.monotonic() + MAX_SECONDS
        while not condition():
            if time.monotonic() > deadline or self.process.poll() is not None:
                sys.stderr.write(self.log_file.read_text("utf-8", "replace"))
                raise SystemExit("scripts/bench: the tree ended or timed out; see its log above")
            time.sleep(period)

    def wait_for_notes(self, count: int) -> list[list[str]]:
        """Wait until handlers have written this number of lines, and return all lines."""
        self.wait_for(lambda: len(self.notes()) >= count, 0.002)
        return self.notes()

    def seconds_to_drain(self, tasks: list[Task]) -> float:
        """Return the seconds from just before the commit that makes tasks visible to the end of the last task.

        Both times are the database's. The end is the start of the transaction that settled the last task, so the time
        of its commit is not included.
        """
        return self.seconds_until_drained(lambda: self.queue.add_tasks(tasks, conn=self.database.connection))

    def seconds_until_drained(self, enqueue: Callable[[], object]) -> float:
        """Return the same of whatever is enqueued on the connection of the database."""
        with self.database.transaction():
            enqueue()
            began = self.database.now()
        self.wait_for(self.database.is_drained, 0.1)  # a long period, because polling uses the measured CPU
        return self.database.last_moved() - began

    def warm_up(self, task_type: str, *payload: object) -> None:
        """Let every process of a type run some tasks, so that everything is loaded before the measurement."""
        self.seconds_to_drain([Task(task_type, *payload) for _ in range(50)])

    def drained_a_second(self, tasks: int) -> float:
        """Return the rate at which waiting tasks end, measured from the first end over this number of tasks."""
        began = self.database.now()
        self.wait_for(lambda: self.database.finished_between(began)[0] >= tasks, 0.05)
        count, first, last = self.database.finished_between(began)
        return count / (last - first)
