"""Stepping: what a recorded step costs its handler, alone and beside others."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median
from typing import Final

from figure import Figure
from tree import Tree
from workload import Run

from goque import Task

STEPPING: Final = "stepping"
TOGETHER: Final = 8


def steps(run: Run) -> Iterator[Figure]:
    """Let handlers record steps that do nothing: one handler alone, then eight in processes of their own.

    A handler measures each of its steps, from the call to the return. The rate is that of all steps, from the first
    start of a handler to the last end.
    """
    rounds, count = (2, 300) if run.quick else (5, 1_000)
    with (
        run.backend.fresh(run.directory) as database,
        Tree(database, run.directory, STEPPING, steps=1, workers=TOGETHER) as tree,
    ):
        warm_up(tree)
        alone = [rounds_of(tree, 1, count) for _ in range(rounds)]
        yield Figure(run.name("steps_alone_p50"), "ms", [found.p50 for found in alone])
        yield Figure(run.name("steps_alone_p99"), "ms", [found.p99 for found in alone])
        together = [rounds_of(tree, TOGETHER, count) for _ in range(rounds)]
        yield Figure(run.name("steps_together"), "steps/s", [found.rate for found in together])
        yield Figure(run.name("steps_together_p50"), "ms", [found.p50 for found in together])


def warm_up(tree: Tree) -> None:
    """Let each worker record some steps."""
    for _ in range(2):
        rounds_of(tree, TOGETHER, 50)


class Round:
    """What handlers that ran together have measured.

    Args:
        notes: of each handler when it began and ended, in seconds, the median and the 99th percentile of its steps in
            milliseconds, and how many steps it made.
    """

    def __init__(self, notes: list[tuple[float, ...]]) -> None:
        seconds = max(note[1] for note in notes) - min(note[0] for note in notes)
        self.rate = sum(note[4] for note in notes) / seconds
        self.p50 = median(note[2] for note in notes)
        self.p99 = max(note[3] for note in notes)


def rounds_of(tree: Tree, handlers: int, count: int) -> Round:
    """Run handlers with so many steps each, and return what they measured."""
    before = len(tree.notes())
    tree.queue.add_tasks([Task(STEPPING, count) for _ in range(handlers)])
    notes = tree.wait_for_notes(before + handlers)[before:]
    return Round([tuple(map(float, words[1:])) for words in notes])
