"""Many types: sixty task types that share one pool, beside one type with as many workers."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from typing import Final

from crowding import SERVERS, own_connections
from figure import Figure
from idling import cpu_seconds, family, proportional_memory, workers_of
from tree import Tree
from waiting import percentile_99
from workload import Run

from goque import Task, TaskFilter, TaskStatus

TYPES: Final = [f"shared-{number + 1}" for number in range(60)]
WORKERS: Final = 2


def many_types(run: Run) -> Iterator[Figure]:
    """Measure an idle tree with sixty types, and how fast it drains tasks, compared with one type in another tree.

    The tasks are spread evenly, or nine of ten are of one type. No other tree runs while the idle one is measured.
    """
    name = run.name("many_types")
    with (
        run.backend.fresh(run.directory) as database,
        run.backend.fresh(run.directory) as other,
        Tree(database, run.directory, *TYPES, shared=len(TYPES), workers=WORKERS) as tree,
    ):
        yield from _idling(run, tree, name)
        with Tree(other, run.directory, "noop", workers=WORKERS) as alone:
            yield from _draining(run, tree, alone, name)
    for busy, where in (("bounded", "free"), ("slow", "busy")):
        latencies = _beside_a_backlog(run, busy)
        yield Figure(f"{name}_rare_{where}_p50", "ms", latencies)
        yield Figure(f"{name}_rare_{where}_p99", "ms", [percentile_99(latencies)])


def _idling(run: Run, tree: Tree, name: str) -> Iterator[Figure]:
    """Measure the tree after it has run a task of each type, and has nothing to do."""
    rest, seconds = (1.0, 2.5) if run.quick else (10.0, 10.0)
    tree.wait_for(tree.is_up)
    yield Figure(f"{name}_ready", "ms", [(time.monotonic_ns() - tree.started_ns) / 1e6])
    tree.wait_for(lambda: bool(workers_of(tree.process.pid)), 0.05)
    for task_type in TYPES:
        tree.seconds_to_drain([Task(task_type)])
    time.sleep(rest)  # until unused connections are closed and workers without work have ended
    before, began = cpu_seconds(tree.process.pid), time.perf_counter()
    time.sleep(seconds)
    used = cpu_seconds(tree.process.pid) - before
    yield Figure(f"{name}_idle_cpu", "% of a CPU", [100 * used / (time.perf_counter() - began)])
    processes = family(tree.process.pid)
    yield Figure(f"{name}_memory", "MiB PSS", [sum(map(proportional_memory, processes)) / 2**20])
    yield Figure(f"{name}_processes", "processes", [float(len(processes))])
    if run.backend.name in SERVERS:
        counted = own_connections(tree.database, SERVERS[run.backend.name][1], queues=1)
        yield Figure(f"{name}_connections", "connections", [counted])


def _draining(run: Run, tree: Tree, alone: Tree, name: str) -> Iterator[Figure]:
    rounds, count = (2, 12_000) if run.quick else (5, 60_000)
    alone.warm_up("noop")
    even, skewed, single = [], [], []
    for _ in range(rounds):
        single.append(_rate(alone, ["noop"] * count))
        even.append(_rate(tree, [TYPES[number % len(TYPES)] for number in range(count)]))
        most = TYPES[0]
        skewed.append(
            _rate(tree, [most if number % 10 else TYPES[number % len(TYPES)] for number in range(count)])
        )
    what = "one type alone"
    yield Figure(f"{name}_drain_even", "tasks/s", even, single, what, compares="ratios")
    yield Figure(f"{name}_drain_90_10", "tasks/s", skewed, single, what, compares="ratios")


def _rate(tree: Tree, types: Sequence[str]) -> float:
    return len(types) / tree.seconds_to_drain([Task(task_type) for task_type in types])


def _beside_a_backlog(run: Run, busy: str) -> list[float]:
    """Return the milliseconds from `enqueue` to the start of tasks of a type beside another type with a long backlog.

    The tasks of the backlog take 10 ms each. Those of `bounded` leave a worker free, those of `slow` use all of them.
    """
    backlog, count = (10_000, 50) if run.quick else (100_000, 400)
    with (
        run.backend.fresh(run.directory) as database,
        Tree(database, run.directory, busy, "rare", shared=1, workers=WORKERS) as tree,
    ):
        tree.queue.add_tasks([Task(busy) for _ in range(backlog)])
        done = TaskFilter(task_type=busy, status=TaskStatus.DONE)
        tree.wait_for(lambda: len(tree.queue.get_tasks(done, 100)) >= 100, 0.05)
        for number in range(count):
            time.sleep(random.uniform(0.02, 0.06))
            tree.queue.enqueue("rare", time.monotonic_ns())
            tree.wait_for_notes(number + 1)
        return [(int(started) - int(sent)) / 1e6 for sent, started in tree.notes()]
