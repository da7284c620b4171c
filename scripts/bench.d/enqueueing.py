"""Enqueueing: one task in each transaction, and many tasks in one transaction."""

from __future__ import annotations

import time
from collections.abc import Iterator

from database import new_rows
from figure import Figure
from workload import Run

import goque
from goque import Task


def enqueue_one(run: Run) -> Iterator[Figure]:
    """Enqueue durably one by one. In turns, INSERT the same rows in bare SQL."""
    rounds, count = (8, 100) if run.quick else (30, 200)
    ours: list[float] = []
    floors: list[float] = []
    with (
        run.backend.fresh(run.directory) as database,
        run.backend.fresh(run.directory) as bare,
        goque.TaskQueueManager(database.url) as queue,
        run.turns("enqueue_one") as turns,
    ):
        queue.enqueue("noop")
        for _ in range(rounds):
            began = time.perf_counter()
            for _ in range(count):
                queue.enqueue("noop")
            ours.append(count / (time.perf_counter() - began))
            rows = new_rows(count)
            began = time.perf_counter()
            for row in rows:
                bare.insert_one(row)
            floors.append(count / (time.perf_counter() - began))
            turns.take(lambda peer: count / peer.enqueue_one(count))
        yield Figure(turns.name, "tasks/s", ours, floors, "INSERT, one transaction each", compares="ratios")
        yield from turns.figures("tasks/s", ours)


def enqueue_bulk(run: Run) -> Iterator[Figure]:
    """Enqueue many tasks in one transaction. In turns, insert as many rows by the database's fastest method.

    goque's time includes making the tasks, and the floor's time includes making the ids. `enqueue_bulk_call` compares
    the call alone with the transaction alone.
    """
    rounds, count = (3, 5_000) if run.quick else (9, 10_000)
    ours, calls, floors, bare_calls = [], [], [], []
    with (
        run.backend.fresh(run.directory) as database,
        run.backend.fresh(run.directory) as bare,
        goque.TaskQueueManager(database.url) as queue,
        run.turns("enqueue_bulk") as turns,
    ):
        queue.enqueue("noop")
        for _ in range(rounds):
            began = time.perf_counter()
            tasks = [Task("noop") for _ in range(count)]
            made = time.perf_counter()
            queue.add_tasks(tasks)
            ended = time.perf_counter()
            ours.append(count / (ended - began))
            calls.append(count / (ended - made))
            began = time.perf_counter()
            rows = new_rows(count)
            made = time.perf_counter()
            bare.insert_many(rows)
            ended = time.perf_counter()
            floors.append(count / (ended - began))
            bare_calls.append(count / (ended - made))
            turns.take(lambda peer: count / peer.enqueue_bulk(count))
        yield Figure(turns.name, "tasks/s", ours, floors, run.backend.bulk, compares="ratios")
        yield Figure(
            f"{turns.name}_call", "tasks/s", calls, bare_calls, f"{run.backend.bulk}, ids made before"
        )
        yield from turns.figures("tasks/s", ours)
