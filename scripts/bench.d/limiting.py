"""Limiting: what limits, keys and rates cost a tree, and how soon a freed place is used again."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from statistics import median
from typing import Final

from bench_app import SLOW
from database import BATCH, Database
from figure import Figure
from tree import Tree
from waiting import percentile_99
from workload import Run

import goque
from goque import Task, TaskQueueManager
from goque.outcome import Change
from goque.storage.contract import TypePolicy
from goque.task_row import TaskStatus
from goque.task_rules.limits import NO_LIMITS, Limits

WORKERS: Final = 2
KEYS: Final = 1000
MANY_KEYS: Final = 100_000
CLAIM: Final = 100
HOLD: Final = 0.3
"""Seconds for which a task keeps the only place, so that its node can be made quiet meanwhile."""


def limits(run: Run) -> Iterator[Figure]:
    """Drain with limits, each in turns with the same handler without limits. Then measure claims and freed places.

    The capacity of a node is the number of its workers: more handlers of 10 ms do not run at once. A claim holds its
    place until the end of its task is committed, so with this limit no task can wait beside a worker. With twice the
    limit one can wait beside each.
    """
    rounds, slow, noop, many = (
        (2, 300, 10_000, MANY_KEYS // 10) if run.quick else (5, 1000, 20_000, MANY_KEYS)
    )
    name = run.name("limits")
    drains = (
        Drain("capacity", "capped", "uncapped", 1, slow, {"workers": WORKERS}),
        Drain("twice_the_capacity", "capped_twice", "uncapped", 1, slow, {"workers": WORKERS}),
        Drain("1000_keys", "keyed", "noop", KEYS, noop),
        Drain("many_keys", "keyed", "noop", many, many),
        Drain("rate", "rated", "noop", 1, noop),
        Drain("rate_of_1000_keys", "rated_keys", "noop", KEYS, noop),
    )
    for drain in drains:
        yield drain.measured(run, rounds if drain.count < noop else min(rounds, 3))
    claims = 100 if run.quick else 400
    ours, floors = claims_among(run, Limits(per_key=2), claims), claims_among(run, NO_LIMITS, claims)
    what = f"a claim of {CLAIM} without limits"
    yield Figure(f"{name}_claim_p50", "ms", [median(ours)], [median(floors)], what)
    yield Figure(f"{name}_claim_p99", "ms", [percentile_99(ours)], [percentile_99(floors)], what)
    yield from reuse(f"{name}_reuse", on_the_same_node(run, 100 if run.quick else 500))
    yield from reuse(f"{name}_reuse_elsewhere", on_another_node(run, 20 if run.quick else 100))


@dataclass(frozen=True)
class Drain:
    """A limited type to drain in turns with the same handler without limits.

    Attributes:
        what: the end of the figure's name.
        limited: the type.
        free: the type without limits.
        keys: over how many keys the tasks are spread; with one they have none.
        count: how many tasks.
        settings: the settings of the app.
    """

    what: str
    limited: str
    free: str
    keys: int
    count: int
    settings: dict[str, int] = field(default_factory=lambda: {"batch": BATCH})

    def measured(self, run: Run, rounds: int) -> Figure:
        """Return the rates, and those without limits as the floor."""
        ours: list[float] = []
        floors: list[float] = []
        with (
            run.backend.fresh(run.directory) as database,
            run.backend.fresh(run.directory) as other,
            Tree(database, run.directory, self.limited, limited=1, **self.settings) as tree,
            Tree(other, run.directory, self.free, limited=1, **self.settings) as free,
        ):
            tree.warm_up(self.limited)
            free.warm_up(self.free)
            for _ in range(rounds):
                tasks = [Task(self.limited, limit_key=self._key(number)) for number in range(self.count)]
                ours.append(self.count / tree.seconds_to_drain(tasks))
                tasks = [Task(self.free) for _ in range(self.count)]
                floors.append(self.count / free.seconds_to_drain(tasks))
        name = run.name(f"limits_{self.what}")
        return Figure(name, "tasks/s", ours, floors, "the same without limits", compares="ratios")

    def _key(self, number: int) -> str | None:
        return f"key-{number % self.keys}" if self.keys > 1 else None


def claims_among(run: Run, limits: Limits, claims: int) -> list[float]:
    """Return the milliseconds of each claim among 100,000 waiting tasks.

    With limits each of them has a key of its own. The tasks of each claim are finished after the next one, so that
    claims have places to count.
    """
    times = []
    with run.backend.fresh(run.directory) as database, closing(goque.open_storage(database.url)) as storage:
        storage.publish_types([TypePolicy("keyed", 5, None, None, 1.0, 1.0, 1.0, limits=limits)])
        enqueue_many(database, has_keys=bool(limits))
        before: list[Change] = []
        for _ in range(claims + 1):
            began = time.perf_counter()
            rows = storage.claim_due("keyed", "bench", CLAIM)
            times.append((time.perf_counter() - began) * 1e3)
            assert len(rows) == CLAIM
            storage.settle_if_held(before)
            before = [Change(row.token, TaskStatus.DONE, row.attempts) for row in rows]
    return times[1:]  # the first one connects


def enqueue_many(database: Database, *, has_keys: bool) -> None:
    """Enqueue 100,000 tasks, and let the planner know them."""
    with closing(TaskQueueManager(database.url)) as queue:
        for start in range(0, MANY_KEYS, 10_000):
            numbers = range(start, start + 10_000)
            queue.add_tasks(
                [Task("keyed", limit_key=f"key-{number}" if has_keys else None) for number in numbers]
            )
    database.analyze()


def reuse(name: str, times: list[float]) -> Iterator[Figure]:
    """Return the figures of the times from the end of a handler to the start of the next one in the only place."""
    yield Figure(f"{name}_p50", "ms", [median(times)])
    yield Figure(f"{name}_p99", "ms", [percentile_99(times)])


def on_the_same_node(run: Run, count: int) -> list[float]:
    """Return the milliseconds until the only place is used again, while many tasks wait for it."""
    with (
        run.backend.fresh(run.directory) as database,
        Tree(database, run.directory, "single", limited=1) as tree,
    ):
        tree.queue.add_tasks([Task("single", SLOW) for _ in range(count + 10)])
        return gaps(tree.wait_for_notes(2 * (count + 10)))[10:]


def on_another_node(run: Run, count: int) -> list[float]:
    """Return the milliseconds until another node uses the only place.

    While the task runs that has the place, its node is made quiet, so that it claims nothing.
    """
    times = []
    beside = run.directory / "beside"
    beside.mkdir()
    with run.backend.fresh(run.directory) as database, ExitStack() as stack:
        first, second = (Tree(database, place, "single", limited=1) for place in (run.directory, beside))
        second.notes_file = first.notes_file
        for tree in (first, second):
            stack.enter_context(tree)
        for tree in (first, second):
            tree.wait_for(tree.is_up)
        for number in range(0, 4 * count, 4):
            first.queue.enqueue("single", HOLD)
            node = int(first.wait_for_notes(number + 1)[-1][2])
            first.queue.enqueue("single", 0.0)
            time.sleep(HOLD / 3)  # until its claim has found that there is no place
            os.kill(node, signal.SIGUSR2)
            latest = first.wait_for_notes(number + 4)[number:]
            if latest[2][2] != latest[1][2]:
                times += gaps(latest)
            os.kill(node, signal.SIGUSR2)
    return times


def gaps(notes: list[list[str]]) -> list[float]:
    """Return the milliseconds from the end of each run to the start of the next one."""
    stamps = [int(words[1]) for words in notes]
    assert [words[0] for words in notes] == ["begin", "end"] * (len(notes) // 2), "two runs at once"
    return [(began - ended) / 1e6 for ended, began in zip(stamps[1::2], stamps[2::2], strict=False)]
