"""Waiting: how soon a task starts in an idle tree, in a tree that is starting, and after a worker's crash."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Iterator
from statistics import quantiles
from typing import Final

from database import Database, new_rows
from figure import Figure
from tree import HERE, Tree
from workload import Run

from goque import Task

APP_IMPORT_SECONDS: Final = 2.0
LONG_PAUSE: Final = 2.5


def latency(run: Run) -> Iterator[Figure]:
    """Measure from the call of `enqueue`, and from its return, to the handler's first line, in an idle tree.

    The floor is the cost of durability: an INSERT and a claim, two commits on one connection, without a process to wake
    up. The tree is idle for 20 to 60 ms before each task, and for `LONG_PAUSE` before a few more tasks.
    """
    count, long_pauses, warm = (50, 1, 10) if run.quick else (400, 10, 10)
    with (
        run.backend.fresh(run.directory) as database,
        run.backend.fresh(run.directory) as bare,
        Tree(database, run.directory, "stamp") as tree,
        run.turns("latency") as turns,
    ):
        for peer in turns.peers:
            peer.start("stamp")
        floors, returned = [], []
        for number in range(warm + count + long_pauses):
            time.sleep(random.uniform(0.02, 0.06) if number < warm + count else LONG_PAUSE)
            tree.queue.enqueue("stamp", time.monotonic_ns())
            returned.append(time.monotonic_ns())
            tree.wait_for_notes(number + 1)
            floors.append(milliseconds_to_insert_and_claim(bare))
        turns.take(lambda peer: peer.latency(count))
        stamps = [(int(sent), int(began)) for sent, began in tree.notes()]
    whole = [(began - sent) / 1e6 for sent, began in stamps]
    after = [(began - after) / 1e6 for (_, began), after in zip(stamps, returned, strict=True)]
    paused, whole, after = whole[warm + count :], whole[warm : warm + count], after[warm : warm + count]
    p50, p99 = f"{turns.name}_p50", f"{turns.name}_p99"
    what = "INSERT and claim, two commits"
    yield Figure(p50, "ms", whole, floors[warm:], what, compares="ratios", rates=turns.name)
    yield Figure(p99, "ms", [percentile_99(whole)], [percentile_99(floors[warm:])], what)
    yield Figure(f"{turns.name}_after_return_p50", "ms", after)
    yield Figure(f"{turns.name}_after_return_p99", "ms", [percentile_99(after)])
    yield Figure(f"{turns.name}_after_pause_p50", "ms", paused)
    yield from turns.figures("ms", whole)


def milliseconds_to_insert_and_claim(bare: Database) -> float:
    """Return the time of a task's INSERT and claim in bare SQL."""
    ((task_id, external_id),) = new_rows(1)
    began = time.perf_counter()
    bare.insert_one((task_id, external_id))
    claimed = bare.claim_batch(1)
    taken = time.perf_counter() - began
    bare.finish_batch(claimed)
    return taken * 1e3


def percentile_99(values: list[float]) -> float:
    """Return the 99th percentile."""
    return quantiles(values, n=100)[98]


def replace(run: Run) -> Iterator[Figure]:
    """Measure from the crash of a worker to the start of the next task.

    There is one worker, so the next task runs in its replacement. Importing the app takes two seconds.
    """
    rounds = 6 if run.quick else 30
    with (
        run.backend.fresh(run.directory) as database,
        Tree(database, run.directory, "fragile", import_seconds=APP_IMPORT_SECONDS) as tree,
    ):
        for done in range(rounds):
            tree.queue.add_tasks([Task("fragile", "die", priority=1), Task("fragile", "live")])
            tree.wait_for_notes(2 * (done + 1))
            tree.wait_for(database.is_drained)
        words = tree.notes()
    times = [
        (int(lived) - int(died)) / 1e6 for (_, died), (_, lived) in zip(words[::2], words[1::2], strict=True)
    ]
    yield Figure(run.name("replace"), "ms", times)


def start(run: Run) -> Iterator[Figure]:
    """Measure from the start of `goque supervise` to the first line of a waiting task's handler.

    The floor is one plain process that imports the app, connects, claims one task and calls its handler.
    """
    times, floors = [], []
    with run.backend.fresh(run.directory) as database:
        for number in range(3 if run.quick else 10):
            tree = Tree(database, run.directory, "stamp")
            tree.queue.enqueue("stamp", 0)
            with tree:
                began = int(tree.wait_for_notes(number + 1)[-1][1])
                times.append((began - tree.started_ns) / 1e6)
                tree.wait_for(database.is_drained)
            floors.append(milliseconds_of_a_plain_process(database))
    what = "a process that imports the app, connects, claims"
    yield Figure(run.name("start"), "ms", times, floors, what, compares="ratios")


def milliseconds_of_a_plain_process(database: Database) -> float:
    """Return how long a plain process takes to start and run one task."""
    program = "import sys, plain; plain.run_one(sys.argv[1])"
    database.insert_one(*new_rows(1))
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", program, database.url], cwd=HERE, check=True)
    return (time.perf_counter() - began) * 1e3
