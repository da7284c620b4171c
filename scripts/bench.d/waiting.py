"""Waiting: how soon a task starts, how soon a dead worker is replaced, and what an idle tree costs."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import quantiles
from typing import Final

from figure import Figure
from tree import Tree

from goque import Task

WHOLE_TREE: Final = 18
"""Root, guard, two nurseries, lease, monitor, four fetchers, six workers, healer, cleaner."""


def latency(directory: Path, quick: bool) -> Iterator[Figure]:  # noqa: FBT001 - one shape for all workloads
    """Measure from before `enqueue` is called to the handler's first line, in a tree that is idle."""
    count = 60 if quick else 300
    with Tree(directory, "stamp") as tree:
        for sent in range(1, count + 11):
            tree.queue.enqueue("stamp", time.monotonic_ns())
            tree.wait_for_notes(sent)
            time.sleep(random.uniform(0.02, 0.06))
        times = [(int(began) - int(sent)) / 1e6 for sent, began in tree.notes()[10:]]
    cuts = quantiles(times, n=100)
    yield Figure("sqlite.latency_p50", "ms", times)
    yield Figure("sqlite.latency_p99", "ms", [cuts[98]])


def replace(directory: Path, quick: bool) -> Iterator[Figure]:  # noqa: FBT001 - one shape for all workloads
    """Measure from the last line of a handler that kills its worker to the start of the next task.

    There is one worker, so the next task runs in its replacement.
    """
    rounds = 8 if quick else 30
    with Tree(directory, "fragile") as tree:
        for done in range(rounds):
            tree.queue.add_tasks([Task("fragile", "die", priority=1), Task("fragile", "live")])
            tree.wait_for_notes(2 * (done + 1))
            tree.wait_for(tree.nothing_left)
        words = tree.notes()
    times = [
        (int(lived) - int(died)) / 1e6 for (_, died), (_, lived) in zip(words[::2], words[1::2], strict=True)
    ]
    yield Figure("sqlite.replace", "ms", times)


def idle(directory: Path, quick: bool) -> Iterator[Figure]:  # noqa: FBT001 - one shape for all workloads
    """Measure a tree of four types and six workers that has nothing to do."""
    seconds, rounds = (5.0, 1) if quick else (10.0, 3)
    with Tree(directory) as tree:
        tree.wait_for(lambda: len(family(tree.process.pid)) == WHOLE_TREE)
        tree.seconds_to_drain([Task("noop")])
        time.sleep(2)
        shares = []
        for _ in range(rounds):
            before, began = cpu_seconds(tree.process.pid), time.perf_counter()
            time.sleep(seconds)
            used = cpu_seconds(tree.process.pid) - before
            shares.append(100 * used / (time.perf_counter() - began))
        memory = sum(map(proportional_memory, family(tree.process.pid))) / 2**20
    yield Figure("sqlite.idle_cpu", "% of a CPU", shares)
    yield Figure("sqlite.idle_memory", "MiB PSS", [memory])


def start(directory: Path, quick: bool) -> Iterator[Figure]:  # noqa: FBT001 - one shape for all workloads
    """Measure from the start of `goque supervise` to the first line of the handler of a task that waits."""
    times = []
    for number in range(3 if quick else 10):
        (directory / str(number)).mkdir()
        tree = Tree(directory / str(number), "stamp")
        tree.queue.enqueue("stamp", 0)
        with tree:
            ((_, began),) = tree.wait_for_notes(1)
            times.append((int(began) - tree.started_ns) / 1e6)
    yield Figure("sqlite.start", "ms", times)


def family(root: int) -> list[int]:
    """Return the root and its children: it is the parent of every process of the tree."""
    children = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            fields = (entry / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()
        except OSError:
            continue  # it ended while we looked
        if int(fields[1]) == root:
            children.append(int(entry.name))
    return [root, *children]


def cpu_seconds(root: int) -> float:
    """Return the CPU time that the whole tree has used so far, every thread of it.

    In nanoseconds from schedstat: the ticks of /proc/PID/stat are too coarse for processes that hardly run.
    """
    nanoseconds = 0
    for pid in family(root):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            nanoseconds += int((thread / "schedstat").read_text("ascii").split()[0])
    return nanoseconds / 1e9


def proportional_memory(pid: int) -> int:
    """Return the bytes of a process, shared pages counted by their share."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text("ascii").splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0
