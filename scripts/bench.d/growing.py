"""Growth: what becomes of rates and claims with more types, supervisors, bytes and rows, for `plot.py`."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median
from typing import Final

from figure import Figure
from filling import CLAIM, claim_times
from scaling import rate
from tree import Tree
from waiting import percentile_99
from workload import Run

from goque import Task

TYPES: Final = (1, 10, 30, 60)
SUPERVISORS: Final = (1, 2, 4, 8)
PAYLOADS: Final = (100, 1_024, 10_240, 102_400, 1_048_576)
RETURNED: Final = (100, 1_024, 10_240, 65_536)
FINISHED: Final = (0, 10_000, 100_000, 1_000_000)
WAITING: Final = (20_000, 100_000, 300_000)
LEAST: Final = 2 * CLAIM * CLAIM
"""The fewest waiting tasks, so that all claims of a measurement are full."""
MAX_BYTES: Final = 64 * 2**20
"""The most that the payloads or results of one measurement take together."""


def growth(run: Run) -> Iterator[Figure]:
    """Measure each size in turns, with the smallest size as the floor of the others.

    `--quick` measures once, with a tenth of the rows.
    """
    yield from points(run, "types", {size: drains_types(run, size) for size in TYPES})
    yield from points(run, "supervisors", {size: drains_together(run, size) for size in SUPERVISORS})
    yield from points(run, "payload", drains_bytes(run, "noop", PAYLOADS))
    yield from points(run, "returned", drains_bytes(run, "returning", RETURNED))
    yield from claims(run)


def points(run: Run, what: str, rates: dict[int, list[float]]) -> Iterator[Figure]:
    """Return a figure for each size."""
    first, *_ = rates
    for size, values in rates.items():
        name = run.name(f"growth_{what}_{size}")
        yield Figure(name, "tasks/s", values, rates[first], f"the same with {first}")


def rounds(run: Run) -> int:
    """Return how often each size is measured."""
    return 1 if run.quick else 3


def drains_types(run: Run, types: int) -> list[float]:
    """Return the rates at which two workers of one pool drain tasks that are spread evenly over types."""
    count = 6_000 if run.quick else 30_000
    names = [f"shared-{number + 1}" for number in range(types)]
    with (
        run.backend.fresh(run.directory) as database,
        Tree(database, run.directory, *names, shared=types) as tree,
    ):
        tree.seconds_to_drain([Task(name) for name in names])
        tree.warm_up(names[0])
        return [
            count / tree.seconds_to_drain([Task(names[number % types]) for number in range(count)])
            for _ in range(rounds(run))
        ]


def drains_together(run: Run, supervisors: int) -> list[float]:
    """Return the rates at which supervisors of two workers each drain the tasks of one type together."""
    count = 5_000 if run.quick else 20_000
    found = []
    for _ in range(rounds(run)):
        with run.backend.fresh(run.directory) as database:
            found.append(rate(run, database, count, supervisors=supervisors))
    return found


def drains_bytes(run: Run, task_type: str, sizes: tuple[int, ...]) -> dict[int, list[float]]:
    """Return the rates for payloads of these sizes; tasks of `returning` return as many bytes."""
    most = 2_000 if run.quick else 10_000
    found: dict[int, list[float]] = {size: [] for size in sizes}
    with (
        run.backend.fresh(run.directory) as database,
        Tree(database, run.directory, task_type) as tree,
    ):
        tree.warm_up(task_type, 0 if task_type == "returning" else "")
        for _ in range(rounds(run)):
            for size in sizes:
                payload = size if task_type == "returning" else "x" * (size - 2)  # and two quotes
                count = min(most, MAX_BYTES // max(size, 1))
                tasks = [Task(task_type, payload) for _ in range(count)]
                found[size].append(count / tree.seconds_to_drain(tasks))
    return found


def claims(run: Run) -> Iterator[Figure]:
    """Measure claims of a hundred tasks beside more and more finished tasks, then among more and more waiting ones."""
    scale = 0.1 if run.quick else 1.0
    steps = [("finished", round(size * scale), LEAST) for size in FINISHED]
    steps += [("waiting", steps[-1][1], max(LEAST, round(size * scale))) for size in WAITING]
    finished = waiting = 0
    with run.backend.fresh(run.directory) as database:
        for what, more_finished, more_waiting in dict.fromkeys(steps):
            database.fill("done", more_finished - finished)
            database.fill("new", more_waiting - waiting, priorities=5)
            database.analyze()
            times = claim_times(database)
            finished, waiting = more_finished, more_waiting - len(times) * CLAIM
            name = run.name(f"growth_{what}_{more_finished if what == 'finished' else more_waiting}")
            yield Figure(name, "ms", [median(times)])
            yield Figure(f"{name}_p99", "ms", [percentile_99(times)])
