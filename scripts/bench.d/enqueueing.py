"""Enqueueing: one task a transaction, and many in one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import bare
from figure import Figure

import goque
from goque import Task


def enqueue_one(directory: Path, quick: bool) -> Iterator[Figure]:  # noqa: FBT001 - one shape for all workloads
    """Enqueue durably one by one, in turns with a bare INSERT of the same row."""
    rounds, count = (8, 100) if quick else (30, 200)
    ours: list[float] = []
    floors: list[float] = []
    with (
        goque.TaskQueueManager(f"sqlite:///{directory}/ours.db") as queue,
        bare.database(directory / "bare.db") as connection,
    ):
        queue.enqueue("noop")
        for _ in range(rounds):
            began = time.perf_counter()
            for _ in range(count):
                queue.enqueue("noop")
            ours.append(count / (time.perf_counter() - began))
            rows = bare.new_rows(count)
            began = time.perf_counter()
            for row in rows:
                connection.execute(bare.INSERT, row)
            floors.append(count / (time.perf_counter() - began))
    yield Figure("sqlite.enqueue_one", "tasks/s", ours, floors, "INSERT, one transaction each")


def enqueue_bulk(directory: Path, quick: bool) -> Iterator[Figure]:  # noqa: FBT001 - one shape for all workloads
    """Enqueue many in one transaction, in turns with executemany; making the tasks is part of our time."""
    rounds, count = (3, 5_000) if quick else (7, 10_000)
    ours: list[float] = []
    floors: list[float] = []
    with (
        goque.TaskQueueManager(f"sqlite:///{directory}/ours.db") as queue,
        bare.database(directory / "bare.db") as connection,
    ):
        queue.enqueue("noop")
        for _ in range(rounds):
            began = time.perf_counter()
            queue.add_tasks([Task("noop") for _ in range(count)])
            ours.append(count / (time.perf_counter() - began))
            began = time.perf_counter()
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(bare.INSERT, bare.new_rows(count))
            connection.execute("COMMIT")
            floors.append(count / (time.perf_counter() - began))
    yield Figure("sqlite.enqueue_bulk", "tasks/s", ours, floors, "executemany in one transaction")
