"""Draining: how fast a tree runs waiting tasks, with handlers that do nothing and with handlers that use the CPU."""

from __future__ import annotations

import time
from collections.abc import Iterator
from multiprocessing import Process
from typing import Final

from bench_app import burn
from database import BATCH, new_rows
from figure import Figure
from tree import Tree
from workload import Run, Turns

from goque import Task

TASK_SECONDS: Final = 0.010
WORKERS: Final = 2


def drain_noop(run: Run) -> Iterator[Figure]:
    """Drain tasks that do nothing with two workers. In turns, claim and finish as many tasks in bare SQL.

    Both use the same batch size, which is larger than goque's default. The workload `sweep` shows the effect of it.
    """
    rounds, count = (3, 10_000) if run.quick else (9, 20_000)
    ours: list[float] = []
    floors: list[float] = []
    with (
        run.backend.fresh(run.directory) as database,
        run.backend.fresh(run.directory) as bare,
        Tree(database, run.directory, "noop", batch=BATCH) as tree,
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


def drain_waiting(run: Run) -> Iterator[Figure]:
    """Drain tasks that wait before the workers start, from the first handler's start until the table has none left.

    That is how somebody measures who has a backlog and a stopwatch. `drain_deleting` is the same for a type whose done
    tasks are not kept. The bare SQL claims and finishes as many tasks, and keeps them.
    """
    rounds, count = (3, 20_000) if run.quick else (5, 50_000)
    kept: list[float] = []
    deleted: list[float] = []
    floors: list[float] = []
    with run.turns("drain_waiting") as turns:
        for _ in range(rounds):
            kept.append(waiting_drained_a_second(run, count))
            deleted.append(waiting_drained_a_second(run, count, keep=0))
            floors.append(bare_drained_a_second(run, count))
            turns.take(lambda peer: peer.drained_waiting_a_second(count))
        what = f"claim and done in SQL, batches of {BATCH}, one connection"
        yield Figure(turns.name, "tasks/s", kept, floors, what, compares="ratios")
        yield Figure(run.name("drain_deleting"), "tasks/s", deleted, floors, what, compares="ratios")
        yield from turns.figures("tasks/s", kept)
        yield from Turns(run.name("drain_deleting"), turns.peers, turns.values).figures("tasks/s", deleted)


def waiting_drained_a_second(run: Run, count: int, **settings: object) -> float:
    """Return the rate of a tree that starts when the tasks are there."""
    with run.backend.fresh(run.directory) as database:
        database.insert_many(new_rows(count))
        database.vacuum()
        with Tree(database, run.directory, "noop", batch=BATCH, first=1, **settings) as tree:
            tree.wait_for_notes(1)
            tree.wait_for(database.is_drained, 0.02)
            ended = time.time()
            return count / (ended - min(float(words[1]) for words in tree.notes()))


def bare_drained_a_second(run: Run, count: int) -> float:
    """Return the rate of the bare SQL on such a table."""
    with run.backend.fresh(run.directory) as bare:
        bare.insert_many(new_rows(count))
        bare.vacuum()
        began = time.perf_counter()
        bare.claim_and_finish()
        return count / (time.perf_counter() - began)


def drain_cpu(run: Run) -> Iterator[Figure]:
    """Drain tasks that use the CPU for 10 ms each with two workers.

    There are two floors: the ideal, two whole cores, and two plain processes that do the same work without a queue. On
    a machine that does other work too, only the second one is a fair comparison.
    """
    rounds, count = (2, 300) if run.quick else (5, 1000)
    ours, ideal, plain = [], [], []
    with (
        run.backend.fresh(run.directory) as database,
        Tree(database, run.directory, "cpu") as tree,
        run.turns("drain_cpu") as turns,
    ):
        tree.warm_up("cpu", TASK_SECONDS)
        for peer in turns.peers:
            peer.start("cpu", TASK_SECONDS)
        for _ in range(rounds):
            ideal.append(WORKERS / TASK_SECONDS)
            ours.append(count / tree.seconds_to_drain([Task("cpu", TASK_SECONDS) for _ in range(count)]))
            plain.append(count / seconds_of_plain_processes(count // WORKERS))
            turns.take(lambda peer: peer.drained_a_second("cpu", count))
        yield Figure(turns.name, "tasks/s", ours, ideal, "two whole cores", compares="ratios")
        yield Figure(f"{turns.name}_plain", "tasks/s", ours, plain, "two plain processes, no queue")
        yield from turns.figures("tasks/s", ours)


def seconds_of_plain_processes(tasks: int) -> float:
    """Return the wall time of two processes that each run this number of tasks, one after the other."""
    processes = [Process(target=_burn_often, args=(tasks,)) for _ in range(WORKERS)]
    began = time.perf_counter()
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    return time.perf_counter() - began


def _burn_often(tasks: int) -> None:
    for _ in range(tasks):
        burn(TASK_SECONDS)
