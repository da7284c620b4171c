"""Crowding: how much of the server idle supervisors use, which limits the number of machines."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from database import Database
from figure import Figure
from idling import processes
from tree import Tree
from workload import Run

from goque import Task

SUPERVISORS: Final = 8
SERVERS: Final = {
    "postgresql": (("postgres",), "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"),
    "mysql": (
        ("mariadbd", "mysqld"),
        "SELECT count(*) FROM information_schema.processlist WHERE db = database()",
    ),
}
"""The names of the server's processes, and the statement that counts the connections to our database."""


def crowd(run: Run) -> Iterator[Figure]:
    """Measure the server's CPU time for a task, and for each of eight idle supervisors.

    The supervisors run on one machine but act like eight machines, because they communicate only through the table.
    """
    if run.backend.name not in SERVERS:
        print(f"{run.name('crowd')}: nothing to measure without a server", file=sys.stderr)
        return
    names, connections = SERVERS[run.backend.name]
    seconds, rounds = (5.0, 2) if run.quick else (20.0, 3)
    for name, batch in (("crowd_server_cpu_a_task", 100), ("crowd_server_cpu_a_task_alone", 1)):
        yield Figure(run.name(name), "us of server CPU", server_time_a_task(run, names, batch))
    with run.backend.fresh(run.directory) as database, ExitStack() as stack:
        alone = [server_share(names, seconds) for _ in range(rounds)]
        for number in range(SUPERVISORS):
            directory = run.directory / str(number)
            directory.mkdir(exist_ok=True)
            stack.enter_context(Tree(database, directory, f"type-{number + 1}", types=SUPERVISORS)).warm_up(
                f"type-{number + 1}"
            )
        time.sleep(10)  # until polling has reached its longest interval, and unused connections are closed
        crowded = [server_share(names, seconds) for _ in range(rounds)]
        counted = own_connections(database, connections, SUPERVISORS)
    shares = [(after - before) / SUPERVISORS for after, before in zip(crowded, alone, strict=True)]
    yield Figure(run.name("crowd_server_cpu"), "% of a CPU", shares)
    yield Figure(run.name("crowd_connections"), "connections", [counted / SUPERVISORS])


def server_time_a_task(run: Run, names: tuple[str, ...], batch: int) -> list[float]:
    """Measure the server's CPU time for adding, claiming and settling a task, in microseconds.

    A claim takes at most `batch` tasks. With slow handlers the batch is one: each task is claimed and settled alone.
    """
    rounds, count = (2, 20 * batch + 1000) if run.quick else (3, 150 * batch + 5000)
    with (
        run.backend.fresh(run.directory) as database,
        Tree(database, run.directory, "noop", batch=batch) as tree,
    ):
        tree.warm_up("noop")
        figures = []
        for _ in range(rounds):
            before = cpu_times(names)
            tree.seconds_to_drain([Task("noop") for _ in range(count)])
            after = cpu_times(names)
            used = sum(after[pid] - before[pid] for pid in before.keys() & after.keys())
            figures.append(1e6 * used / count)
    return figures


def own_connections(database: Database, statement: str, queues: int) -> float:
    """Count the connections to this database, without this one and those of the queues that enqueue."""
    return float(database.rows(statement)[0][0]) - 1 - queues


def server_share(names: tuple[str, ...], seconds: float) -> float:
    """Return the share of a CPU that the server's processes use. Processes that start or end meanwhile do not count."""
    before, began = cpu_times(names), time.perf_counter()
    time.sleep(seconds)
    after = cpu_times(names)
    used = sum(after[pid] - before[pid] for pid in before.keys() & after.keys())
    return 100 * used / (time.perf_counter() - began)


def cpu_times(names: tuple[str, ...]) -> dict[int, float]:
    """Return the CPU seconds of each process of the server so far, with a resolution of nanoseconds."""
    times = {}
    for pid, _parent, name in processes():
        if name in names:
            threads = Path(f"/proc/{pid}/task").glob("*/schedstat")
            times[pid] = sum(int(thread.read_text("ascii").split()[0]) for thread in threads) / 1e9
    return times
