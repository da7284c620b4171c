"""Draining: how fast a tree works off what waits, with handlers that do nothing and with some that use the CPU."""

from __future__ import annotations

import time
from collections.abc import Iterator
from multiprocessing import Process
from typing import Final

from bench_app import spin
from database import BATCH, new_rows
from figure import Figure
from tree import Tree
from workload import Run

from goque import Task

TASK_SECONDS: Final = 0.010
WORKERS: Final = 2
LOOPS: Final = 200_000


def drain_noop(run: Run) -> Iterator[Figure]:
    """Drain tasks that do nothing with two workers, in turns with the bare SQL of a claim and an end for each."""
    rounds, count = (3, 10_000) if run.quick else (9, 20_000)
    ours: list[float] = []
    floors: list[float] = []
    with (
        run.backend.fresh(run.directory) as database,
        run.backend.fresh(run.directory) as bare,
        Tree(database, run.directory, "noop") as tree,
        run.turns("drain_noop") as turns,
    ):
        tree.warm_up("noop")
        for peer in turns.peers:
            peer.start("noop")
        for _ in range(rounds):
            ours.append(count / tree.seconds_to_drain([Task("noop") for _ in range(count)]))
            bare.insert_many(new_rows(count))
            began = time.perf_counter()
            bare.claim_and_finish()
            floors.append(count / (time.perf_counter() - began))
            turns.take(lambda peer: peer.drained_a_second("noop", count))
        what = f"claim and done in SQL, batches of {BATCH}, one connection"
        yield Figure(turns.name, "tasks/s", ours, floors, what, compares="ratios")
        yield from turns.figures("tasks/s", ours)


def drain_cpu(run: Run) -> Iterator[Figure]:
    """Drain tasks of 10 ms of pure Python with two workers.

    Held against the ideal (half the CPU time that they take in one process alone, measured anew before each
    round), and against two plain processes that do the same without a queue: where others use the machine
    too, or its cores slow each other down, only the second is a fair floor.
    """
    rounds, count = (2, 200) if run.quick else (5, 600)
    loops = round(LOOPS * TASK_SECONDS / seconds_alone(LOOPS, 20))
    ours, ideal, plain = [], [], []
    with (
        run.backend.fresh(run.directory) as database,
        Tree(database, run.directory, "cpu") as tree,
        run.turns("drain_cpu") as turns,
    ):
        tree.warm_up("cpu", loops)
        for peer in turns.peers:
            peer.start("cpu", loops)
        for _ in range(rounds):
            ideal.append(WORKERS / seconds_alone(loops, 50))
            ours.append(count / tree.seconds_to_drain([Task("cpu", loops) for _ in range(count)]))
            plain.append(count / seconds_of_two_processes(loops, count // WORKERS))
            turns.take(lambda peer: peer.drained_a_second("cpu", count))
        what = "two cores, by CPU time in one process alone"
        yield Figure(turns.name, "tasks/s", ours, ideal, what, compares="ratios")
        yield Figure(f"{turns.name}_plain", "tasks/s", ours, plain, "two plain processes, no queue")
        yield from turns.figures("tasks/s", ours)


def seconds_alone(loops: int, times: int) -> float:
    """Return the CPU time of so many loops in one process, while nothing else of ours runs."""
    began = time.process_time()
    for _ in range(times):
        spin(loops)
    return (time.process_time() - began) / times


def seconds_of_two_processes(loops: int, tasks: int) -> float:
    """Return the wall time of two processes that run so many tasks each, one after the other."""
    processes = [Process(target=_spin_often, args=(loops, tasks)) for _ in range(WORKERS)]
    began = time.perf_counter()
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    return time.perf_counter() - began


def _spin_often(loops: int, tasks: int) -> None:
    for _ in range(tasks):
        spin(loops)
