"""Trace lone tasks through an idle tree, hop by hop, and draw where the time goes.

Usage: hops.py PICTURE.svg [BACKEND …]

The processes of the tree note the time at each point that a task passes (ipc/failpoints.py). All of them read
CLOCK_MONOTONIC. The tree is idle for 20 to 60 ms before each task. The picture shows the median of each hop.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from pathlib import Path
from statistics import median, quantiles
from typing import Final

from backends import NAMES, available
from database import Backend
from hop_picture import draw
from tree import Tree

TASKS: Final = 200
WARM: Final = 20
HOPS: Final = (
    ("enqueue", "enqueue.called", "work.noticed"),
    ("decide to claim", "work.noticed", "claim.before"),
    ("claim and commit", "claim.before", "claim.after_commit"),
    ("choose a worker", "claim.after_commit", "dispatch.before_send"),
    ("send to the worker", "dispatch.before_send", "job.received"),
    ("record the begin", "job.received", "run.after_begin"),
    ("decode, call", "run.after_begin", "handler.began"),
    ("handler", "handler.began", "run.before_end"),
    ("record the end", "run.before_end", "result.before_send"),
    ("send the result", "result.before_send", "result.received"),
    ("decide to settle", "result.received", "settle.before"),
    ("settle and commit", "settle.before", "settle.after_commit"),
)
"""What happens between two points, in their order. The enqueuer may still wait for its commit at `work.noticed`."""


def trace(backend: Backend, folder: Path) -> list[dict[str, int]]:
    """Return the nanoseconds of each point for each task."""
    times = folder / f"{backend.name}.times"
    with backend.fresh(folder) as database, Tree(database, folder, "stamp", point_times=times) as tree:
        sent = []
        for number in range(WARM + TASKS):
            time.sleep(random.uniform(0.02, 0.06))
            began = time.monotonic_ns()
            tree.queue.enqueue("stamp", began)
            sent.append((began, time.monotonic_ns()))
            tree.wait_for_notes(number + 1)
        tree.wait_for(database.is_drained)
        handled = [int(began) for _sent, began in tree.notes()]
    noted = [(int(text.split()[1]), text.split()[0]) for text in times.read_text("ascii").splitlines()]
    noted += [(called, "enqueue.called") for called, _returned in sent]
    noted += [(returned, "enqueue.returned") for _called, returned in sent]
    noted += [(began, "handler.began") for began in handled]
    return by_task(sorted(noted))[WARM:]


def by_task(noted: list[tuple[int, str]]) -> list[dict[str, int]]:
    """Split the points at each enqueue. Of a point that comes more than once, the last before the next one counts."""
    tasks: list[dict[str, int]] = []
    order = ["enqueue.called", *(end for _name, _begin, end in HOPS)]
    for at, point in noted:
        if point == "enqueue.called":
            tasks.append({})
        if not tasks:
            continue
        later = order[order.index(point) + 1 :] if point in order else []
        if not any(name in tasks[-1] for name in later):
            tasks[-1][point] = at
    return tasks


def hops_of(tasks: list[dict[str, int]]) -> dict[str, list[float]]:
    """Return the microseconds of each hop, of tasks that passed all points."""
    whole = [task for task in tasks if all(begin in task and end in task for _name, begin, end in HOPS)]
    return {name: [(task[end] - task[begin]) / 1e3 for task in whole] for name, begin, end in HOPS}


def main(picture: str, names: list[str]) -> None:
    """Trace each backend, print a table, and draw the picture."""
    medians = {}
    with tempfile.TemporaryDirectory(prefix="goque-bench-") as place:
        for backend in available(names or None):
            found = hops_of(trace(backend, Path(place)))
            print(f"{backend.name}: {len(found['enqueue'])} tasks, µs")
            for name, values in found.items():
                tenths = quantiles(values, n=10)
                print(f"  {name:20} p10 {tenths[0]:8.0f}  p50 {median(values):8.0f}  p90 {tenths[-1]:8.0f}")
            medians[backend.name] = {name: median(values) for name, values in found.items()}
    Path(picture).write_text(draw(medians), "utf-8")


if __name__ == "__main__":
    if len(sys.argv) < 2 or not set(sys.argv[2:]) <= set(NAMES):
        raise SystemExit(__doc__)
    main(sys.argv[1], sys.argv[2:])
