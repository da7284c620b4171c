"""Draining: how fast a tree works off what waits, with handlers that do nothing and with some that use the CPU."""

from __future__ import annotations

import time
from collections.abc import Iterator
from multiprocessing import Process
from pathlib import Path
from typing import Final

import bare
from bench_app import spin
from figure import Figure
from tree import Tree

from goque import Task

TASK_SECONDS: Final = 0.010
CORES: Final = 2
LOOPS: Final = 200_000


def drain_noop(directory: Path, quick: bool) -> Iterator[Figure]:  # noqa: FBT001 - one shape for all workloads
    """Drain tasks that do nothing with two workers, in turns with the bare SQL of a claim and an end for each."""
    rounds, count = (3, 10_000) if quick else (7, 10_000)
    ours: list[float] = []
    floors: list[float] = []
    with Tree(directory, "noop") as tree, bare.database(directory / "bare.db") as connection:
        tree.seconds_to_drain([Task("noop") for _ in range(500)])
        for _ in range(rounds):
            ours.append(count / tree.seconds_to_drain([Task("noop") for _ in range(count)]))
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(bare.INSERT, bare.new_rows(count))
            connection.execute("COMMIT")
            began = time.perf_counter()
            bare.claim_and_finish(connection, 500)
            floors.append(count / (time.perf_counter() - began))
    yield Figure("sqlite.drain_noop", "tasks/s", ours, floors, "claim and done in SQL, batches of 500")


def drain_cpu(directory: Path, quick: bool) -> Iterator[Figure]:  # noqa: FBT001 - one shape for all workloads
    """Drain tasks of 10 ms of pure Python with two workers.

    Held against the ideal (half the CPU time that they take in one process alone, measured anew before each
    round), and against two plain processes that do the same without a queue: where others use the machine
    too, or its cores slow each other down, only the second is a fair floor.
    """
    rounds, count = (2, 400) if quick else (5, 400)
    loops = round(LOOPS * TASK_SECONDS / seconds_alone(LOOPS, 20))
    ours: list[float] = []
    ideal: list[float] = []
    plain: list[float] = []
    with Tree(directory, "cpu") as tree:
        tree.seconds_to_drain([Task("cpu", loops) for _ in range(20)])
        for _ in range(rounds):
            ideal.append(CORES / seconds_alone(loops, 50))
            ours.append(count / tree.seconds_to_drain([Task("cpu", loops) for _ in range(count)]))
            plain.append(count / seconds_of_two_processes(loops, count // CORES))
    yield Figure("sqlite.drain_cpu", "tasks/s", ours, ideal, "two cores, by CPU time in one process alone")
    yield Figure("sqlite.drain_cpu_plain", "tasks/s", ours, plain, "two plain processes, no queue")


def seconds_alone(loops: int, times: int) -> float:
    """Return the CPU time of so many loops in one process, while nothing else of ours runs."""
    began = time.process_time()
    for _ in range(times):
        spin(loops)
    return (time.process_time() - began) / times


def seconds_of_two_processes(loops: int, tasks: int) -> float:
    """Return the wall time of two processes that run so many tasks each, one after the other."""
    processes = [Process(target=_spin_often, args=(loops, tasks)) for _ in range(CORES)]
    began = time.perf_counter()
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    return time.perf_counter() - began


def _spin_often(loops: int, tasks: int) -> None:
    for _ in range(tasks):
        spin(loops)
