"""Filling: whether claims and drains stay as fast in a big table as in an empty one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing

from database import Database
from figure import Figure
from tree import Tree
from waiting import percentile_99
from workload import Run

import goque
from goque.outcome import Change
from goque.task_row import TaskStatus

PRIORITIES = 5
CLAIM = 100


def big_table(run: Run) -> Iterator[Figure]:
    """Claim and drain with 1,000,000 finished, 300,000 ready and 100,000 future tasks of five priorities.

    It measures first with the planner's statistics of the empty table, then with fresh ones. The floor is a table with
    nothing but the tasks to drain, in turns. `--quick` uses a tenth of the tasks, one round, and only fresh statistics.
    """
    scale, rounds, share = (0.1, 1, 10_000) if run.quick else (1, 3, 30_000)
    name = run.name("big_table")
    with run.backend.fresh(run.directory) as big, run.backend.fresh(run.directory) as empty:
        big.keep_statistics()
        big.fill("done", round(1_000_000 * scale), priorities=PRIORITIES)
        big.fill("new", round(300_000 * scale), priorities=PRIORITIES)
        big.fill("new", round(100_000 * scale), priorities=PRIORITIES, due_in=86_400)
        stale = [] if run.quick else claim_times(big)
        stale_rates = [] if run.quick else [rate(run, big, share) for _ in range(2)]
        big.analyze()
        empty.fill("new", 2 * CLAIM * CLAIM)
        fresh, floors = claim_times(big), claim_times(empty)
        rates, empty_rates = [], []
        for _ in range(rounds):
            rates.append(rate(run, big, share))
            empty.rows(empty.clear)
            empty.fill("new", share + share // 10)
            empty_rates.append(rate(run, empty, share))
    what = f"the same with {share:,} tasks in the table"
    yield Figure(f"{name}_drain", "tasks/s", rates, empty_rates, what, compares="ratios", rates=name)
    yield Figure(f"{name}_claim_p99", "ms", [percentile_99(fresh)], [percentile_99(floors)], what)
    if stale:
        yield Figure(f"{name}_drain_not_analyzed", "tasks/s", stale_rates, empty_rates[:2], what)
        stale_99 = [percentile_99(stale)]
        yield Figure(f"{name}_claim_p99_not_analyzed", "ms", stale_99, [percentile_99(floors)], what)


def claim_times(database: Database, claims: int = 100) -> list[float]:
    """Return the milliseconds of each claim of a hundred tasks. The tasks are finished between the claims."""
    times = []
    with closing(goque.open_storage(database.url)) as storage:
        for _ in range(claims + 1):
            began = time.perf_counter()
            rows = storage.claim_due("noop", "bench", CLAIM)
            times.append((time.perf_counter() - began) * 1e3)
            storage.settle_if_held([Change(row.token, TaskStatus.DONE, row.attempts) for row in rows])
    return times[1:]  # the first one connects


def rate(run: Run, database: Database, tasks: int) -> float:
    """Return the rate at which a tree of two workers drains this number of waiting tasks."""
    with Tree(database, run.directory, "noop") as tree:
        return tree.drained_a_second(tasks)
