"""Scaling: the throughput with more supervisors, larger batches and more workers, and the memory after many tasks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

from database import Database
from figure import Figure
from idling import family, proportional_memory
from tree import Tree
from workload import Run

from goque import Task

BATCHES = (10, 50, 100, 500, 1000)
WORKERS = (1, 2, 3, 4)


def scaling(run: Run) -> Iterator[Figure]:
    """Drain with one supervisor, with two, and with one while seven more are idle, in turns.

    An idle supervisor runs another type of the same table.
    """
    rounds, count = (2, 10_000) if run.quick else (5, 20_000)
    one, two, crowded = [], [], []
    for _ in range(rounds):
        with run.backend.fresh(run.directory) as database:
            one.append(rate(run, database, count, supervisors=1))
            two.append(rate(run, database, count, supervisors=2))
            crowded.append(rate(run, database, count, supervisors=1, idle=7))
    name = run.name("scaling")
    yield Figure(f"{name}_two", "tasks/s", two, one, "one supervisor")
    yield Figure(f"{name}_beside_seven_idle", "tasks/s", crowded, one, "one supervisor alone")


def rate(run: Run, database: Database, count: int, *, supervisors: int, idle: int = 0) -> float:
    """Return the rate at which this number of supervisors drain tasks together."""
    with ExitStack() as stack:
        for number in range(supervisors + idle):
            directory = run.directory / str(number)
            directory.mkdir(exist_ok=True)
            if number < supervisors:
                tree = stack.enter_context(Tree(database, directory, "noop"))
                tree.warm_up("noop")
            else:
                stack.enter_context(Tree(database, directory, "type-1", types=1)).warm_up("type-1")
        return count / tree.seconds_to_drain([Task("noop") for _ in range(count)])


def memory(run: Run) -> Iterator[Figure]:
    """Drain a million tasks, and measure the memory of the tree after the first tenth and at the end."""
    step = 2_000 if run.quick else 20_000
    with (
        run.backend.fresh(run.directory) as database,
        Tree(database, run.directory, "noop") as tree,
    ):
        sizes = []
        for _ in range(50):
            tree.seconds_to_drain([Task("noop") for _ in range(step)])
            sizes.append(sum(map(proportional_memory, family(tree.process.pid))) / 2**20)
    yield Figure(
        run.name("memory_growth"),
        "MiB PSS",
        sizes[-1:],
        sizes[4:5],
        f"the same tree after {5 * step:,} tasks",
    )


def sweep(run: Run) -> Iterator[Figure]:
    """Drain with different batches, and with different numbers of workers, for `plot.py`."""
    rounds, count = (1, 5_000) if run.quick else (3, 10_000)
    for batch in BATCHES:
        yield Figure(run.name(f"sweep_batch_{batch}"), "tasks/s", rates(run, rounds, count, batch=batch))
    for workers in WORKERS:
        yield Figure(
            run.name(f"sweep_workers_{workers}"), "tasks/s", rates(run, rounds, count, workers=workers)
        )


def rates(run: Run, rounds: int, count: int, **settings: int) -> list[float]:
    """Return the rates of a tree with these settings, one for each round."""
    with (
        run.backend.fresh(run.directory) as database,
        Tree(database, run.directory, "noop", **settings) as tree,
    ):
        tree.warm_up("noop")
        return [count / tree.seconds_to_drain([Task("noop") for _ in range(count)]) for _ in range(rounds)]
