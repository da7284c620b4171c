"""A supervision tree on a database of its own, as the workloads use it."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Self

import goque
from goque import Task

HERE = Path(__file__).resolve().parent
LONGEST = 120.0


class Tree:
    """Runs `goque supervise bench_app:registry` for the time of a with block.

    Args:
        directory: where the database, the notes and the log go.
        types: the task types to run; empty for all.
    """

    def __init__(self, directory: Path, *types: str) -> None:
        self.directory = directory
        self.types = types
        self.database = directory / "tree.db"
        self.notes_file = directory / "notes"
        self.queue = goque.TaskQueueManager(f"sqlite:///{self.database}")
        self.queue.storage.ping()

    def __enter__(self) -> Self:
        self._log = (self.directory / "tree.log").open("wb")
        command = [sys.executable, "-m", "goque.cli", "supervise", "bench_app:registry"]
        command += ["--database-url", f"sqlite:///{self.database}"]
        command += ["--types", ",".join(self.types)] if self.types else []
        clean = {name: value for name, value in os.environ.items() if not name.startswith("GOQUE_")}
        self.started_ns = time.monotonic_ns()
        self.process = subprocess.Popen(
            command,
            cwd=HERE,
            env={**clean, "GOQUE_BENCH_NOTES": str(self.notes_file)},
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
        )
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(LONGEST)
        self._log.close()
        self.queue.close()

    def notes(self) -> list[list[str]]:
        """Return what handlers have written down so far, a list of words a line."""
        try:
            return [line.split() for line in self.notes_file.read_text("ascii").splitlines()]
        except FileNotFoundError:
            return []

    def wait_for(self, condition: Callable[[], bool], period: float = 0.005) -> None:
        """Wait until something holds, and end with the tree's log if it does not in time."""
        deadline = time.monotonic() + LONGEST
        while not condition():
            if time.monotonic() > deadline or self.process.poll() is not None:
                sys.stderr.write((self.directory / "tree.log").read_text("utf-8", "replace"))
                raise SystemExit(
                    "scripts/bench: the tree does not do what it was started for; above is its log"
                )
            time.sleep(period)

    def wait_for_notes(self, count: int) -> list[list[str]]:
        """Wait until handlers have written so many lines, and return them."""
        self.wait_for(lambda: len(self.notes()) >= count, 0.002)
        return self.notes()

    def nothing_left(self) -> bool:
        """Return whether no task waits or runs, by two partial indexes that are empty then."""
        with sqlite3.connect(self.database) as connection:
            unfinished = connection.execute(
                "SELECT EXISTS (SELECT 1 FROM goque_task WHERE status IN ('new', 'error') AND claimed_by IS NULL)"
                " OR EXISTS (SELECT 1 FROM goque_task WHERE claimed_by IS NOT NULL)"
            ).fetchone()[0]
        connection.close()
        return not unfinished

    def seconds_to_drain(self, tasks: list[Task]) -> float:
        """Return the seconds from just before the commit that makes tasks visible to the end of the last one."""
        connection = sqlite3.connect(self.database, isolation_level=None)
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("BEGIN IMMEDIATE")
        self.queue.add_tasks(tasks, conn=connection)
        began = time.time()
        connection.execute("COMMIT")
        self.wait_for(self.nothing_left, 0.02)
        (last,) = connection.execute("SELECT max(updated_at) FROM goque_task").fetchone()
        connection.close()
        return datetime.fromisoformat(last).timestamp() - began
