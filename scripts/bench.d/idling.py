"""Idling: the CPU time and memory of a tree without tasks."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from database import Database
from figure import Figure
from tree import HERE, Tree
from workload import Run

from goque import Task


def idle(run: Run) -> Iterator[Figure]:
    """Measure a tree with one type of two workers at most, then the additional cost of each further such type.

    An idle pool has one worker.

    The floor for memory is three plain processes: one with the app and a connection, and two forks of it.
    """
    seconds, rounds, further = (2.5, 1, 2) if run.quick else (10.0, 3, 4)
    name = run.name("idle")
    with run.backend.fresh(run.directory) as database:
        shares, memory = idle_tree(run, database, types=1, workers=2, seconds=seconds, rounds=rounds)
        what = "three plain processes"
        yield Figure(f"{name}_cpu", "% of a CPU", shares)
        yield Figure(
            f"{name}_memory", "MiB PSS", memory, plain_memory(database), what, compares="ratios", rates=name
        )
        more, larger = idle_tree(run, database, types=1 + further, workers=2, seconds=seconds, rounds=rounds)
        added = [(after - before) / further for before, after in zip(shares, more, strict=True)]
        yield Figure(f"{name}_cpu_a_further_type", "% of a CPU", added)
        yield Figure(f"{name}_memory_a_further_type", "MiB PSS", [(larger[0] - memory[0]) / further])
        if not run.quick:
            shares, memory = idle_tree(run, database, types=10, workers=4, seconds=seconds, rounds=rounds)
            yield Figure(f"{name}_cpu_10_types_4_workers", "% of a CPU", shares)
            yield Figure(f"{name}_memory_10_types_4_workers", "MiB PSS", memory)


def idle_tree(
    run: Run, database: Database, *, types: int, workers: int, seconds: float, rounds: int
) -> tuple[list[float], list[float]]:
    """Return the CPU shares of a tree, one for each round, and its memory in MiB."""
    names = [f"type-{number + 1}" for number in range(types)]
    with Tree(database, run.directory, *names, types=types, workers=workers) as tree:
        tree.wait_for(lambda: len(workers_of(tree.process.pid)) == types, 0.05)
        for name in names:
            tree.seconds_to_drain([Task(name)])
        time.sleep(1)
        shares = []
        for _ in range(rounds):
            before, began = cpu_seconds(tree.process.pid), time.perf_counter()
            time.sleep(seconds)
            used = cpu_seconds(tree.process.pid) - before
            shares.append(100 * used / (time.perf_counter() - began))
        return shares, [sum(map(proportional_memory, family(tree.process.pid))) / 2**20]


def plain_memory(database: Database) -> list[float]:
    """Return the MiB of one plain process with a connection and of its two forks."""
    program = "import sys, plain; plain.idle(sys.argv[1], 2)"
    command = [sys.executable, "-c", program, database.url]
    with subprocess.Popen(command, cwd=HERE, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        pids = [int(pid) for pid in process.stdout.readline().split()]
        memory = sum(map(proportional_memory, pids)) / 2**20
        process.communicate()
    return [memory]


def family(root: int) -> list[int]:
    """Return the root and its children. The root is the parent of every process of the tree."""
    return [root, *(pid for pid, parent, _ in processes() if parent == root)]


def workers_of(root: int) -> list[int]:
    """Return the workers of a tree. Their names begin with `goque:w` and a number."""
    return [
        pid
        for pid, parent, name in processes()
        if parent == root and name.startswith("goque:w") and name[7:8].isdecimal()
    ]


def processes() -> Iterator[tuple[int, int, str]]:
    """Yield pid, parent and name of every process."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            text = (entry / "stat").read_text("utf-8", "replace")
        except OSError:
            continue  # the process has just ended
        name, _, rest = text.partition("(")[2].rpartition(")")
        yield int(entry.name), int(rest.split()[1]), name


def cpu_seconds(root: int) -> float:
    """Return the CPU time that all threads of the tree have used so far.

    It reads the nanoseconds of schedstat, because the ticks of /proc/PID/stat are too coarse for idle processes.
    """
    nanoseconds = 0
    for pid in family(root):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            nanoseconds += int((thread / "schedstat").read_text("ascii").split()[0])
    return nanoseconds / 1e9


def proportional_memory(pid: int) -> int:
    """Return the memory of a process in bytes. A page that n processes share counts as 1/n page."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text("ascii").splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0
