"""Flowing: what flows and follow-ups cost a tree, beside as many tasks that need nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Final

from database import BATCH
from figure import Figure
from tree import Tree
from workload import Run

import goque
from goque import Flow, Task

WORKERS: Final = 2
PART, JOIN, STEP = "flow_part", "flow_join", "flow_step"
"""The types, which share a pool: tasks that do nothing, one that records its start, one that leaves the next behind."""

DIAMOND: Final = 4
"""Tasks of a diamond: one that two others need, which a last one needs."""


def flows(run: Run) -> Iterator[Figure]:
    """Enqueue and drain flows, each in turns with the same number of tasks without needs, in the same tree.

    A chain of tasks that need the one before, a chain of follow-ups, a fan of parts with one join, and many diamonds.
    A step of a chain waits for the commit of the one before, so a chain shows a delay, and the others show a rate.
    """
    rounds, steps, parts, diamonds = (2, 200, 2_000, 200) if run.quick else (5, 1_000, 10_000, 1_000)
    name = run.name("flows")
    yield enqueued(run, rounds, parts)
    with (
        run.backend.fresh(run.directory) as database,
        Tree(database, run.directory, PART, JOIN, STEP, flows=1, workers=WORKERS, batch=BATCH) as tree,
    ):
        tree.warm_up(PART)
        tree.warm_up(STEP, 0)
        chain = Shape("chain", steps, lambda: enqueue(tree, made_chain(steps)))
        followed = Shape("chain_of_follow_ups", steps, lambda: enqueue_step(tree, steps))
        many = Shape("diamonds", diamonds * DIAMOND, lambda: enqueue(tree, *made_diamonds(diamonds)))
        for shape in (chain, followed, many):
            yield shape.measured(tree, name, rounds)
        yield from fan(tree, f"{name}_fan", rounds, parts)


class Shape:
    """A kind of flow to drain.

    Args:
        what: the end of the figure's name.
        count: how many tasks run.
        enqueue: enqueues them on the connection of the tree's database.
    """

    def __init__(self, what: str, count: int, enqueue: Callable[[], object]) -> None:
        self.what = what
        self.count = count
        self.enqueue = enqueue

    def measured(self, tree: Tree, name: str, rounds: int) -> Figure:
        """Return the rates, and those of as many plain tasks as the floor."""
        ours, floors = [], []
        for _ in range(rounds):
            ours.append(self.count / tree.seconds_until_drained(self.enqueue))
            floors.append(self.count / tree.seconds_to_drain([Task(PART) for _ in range(self.count)]))
        what = "as many tasks without needs"
        return Figure(f"{name}_{self.what}", "tasks/s", ours, floors, what, compares="ratios")


def enqueued(run: Run, rounds: int, count: int) -> Figure:
    """Return the rates of `enqueue_flow` of a fan with a join, and those of `add_tasks`; both make the tasks too."""
    ours, floors = [], []
    with run.backend.fresh(run.directory) as database, goque.TaskQueueManager(database.url) as queue:
        queue.enqueue(PART)
        for _ in range(rounds):
            began = time.perf_counter()
            queue.enqueue_flow(made_fan(count))
            made = time.perf_counter()
            queue.add_tasks([Task(PART) for _ in range(count)])
            ours.append(count / (made - began))
            floors.append(count / (time.perf_counter() - made))
    return Figure(run.name("flows_enqueue"), "tasks/s", ours, floors, "add_tasks", compares="ratios")


def fan(tree: Tree, name: str, rounds: int, count: int) -> Iterator[Figure]:
    """Drain parts and their join, and measure how soon the join starts.

    That time counts from the begin of the transaction that ended the last part, by the database's clock.
    """
    gaps: list[float] = []
    flows: list[Flow] = []
    shape = Shape("fan", count, lambda: flows.append(enqueue(tree, made_fan(count))))
    figure = shape.measured(tree, name.removesuffix("_fan"), rounds)
    starts = [float(words[1]) for words in tree.notes() if words[0] == JOIN]
    for flow, start in zip(flows, starts, strict=True):
        ends = [task.updated_at for task in tree.queue.get_flow(flow.id).tasks if task.type == PART]
        gaps.append((start - max(end.timestamp() for end in ends if end is not None)) * 1e3)
    yield figure
    yield Figure(f"{name}_join_starts", "ms", gaps)


def enqueue(tree: Tree, *flows: Flow) -> Flow:
    """Enqueue flows in the transaction of the measurement, and return the last one."""
    for flow in flows:
        tree.queue.enqueue_flow(flow, conn=tree.database.connection)
    return flows[-1]


def enqueue_step(tree: Tree, steps: int) -> None:
    """Enqueue a task whose handler leaves the next one behind, and so on."""
    tree.queue.enqueue(STEP, steps - 1, conn=tree.database.connection)


def made_chain(count: int) -> Flow:
    """Return tasks that each need the one before."""
    flow = Flow("chain")
    before: list[Task] = []
    for _ in range(count):
        before = [flow.add(PART, needs=before)]
    return flow


def made_fan(count: int) -> Flow:
    """Return parts, and one task that needs them all."""
    flow = Flow("fan")
    flow.add(JOIN, needs=[flow.add(PART) for _ in range(count - 1)])
    return flow


def made_diamonds(count: int) -> list[Flow]:
    """Return flows of four tasks."""
    flows = []
    for _ in range(count):
        flow = Flow("diamond")
        first = flow.add(PART)
        flow.add(PART, needs=[flow.add(PART, needs=[first]), flow.add(PART, needs=[first])])
        flows.append(flow)
    return flows
