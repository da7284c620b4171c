"""Writing: what a task writes into the log of the database, from its insert to its end."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any, Final

from database_logs import log_of
from figure import Figure
from workload import Run

import goque
from goque import Task
from goque.outcome import Change
from goque.task_row import TaskRow, TaskStatus

BATCH: Final = 100
OWNER: Final = "019ab5a0-7c3e-7d5e-8f00-0123456789ab"
PAYLOAD: Final = {"to": "ada@example.com", "subject": "Hello"}

Count = Callable[[str, Callable[[], Any]], Any]


def written(run: Run) -> Iterator[Figure]:
    """Insert, claim, begin and end tasks in batches; then the same with an end that deletes them.

    Each step is done for all tasks before the next step begins, as where a backlog is drained.
    """
    batches = 10 if run.quick else 30
    found: defaultdict[str, list[Counter[str]]] = defaultdict(list)
    with run.backend.fresh(run.directory) as database, closing(goque.open_storage(database.url)) as storage:
        log = log_of(run.backend, database)

        def count(step: str, work: Callable[[], Any]) -> Any:
            log.begin()
            answer = work()
            found[step].append(log.end())
            return answer

        drain(
            storage, batches, lambda _, work: work()
        )  # the log of the first tasks has the growth of the files
        drain(storage, batches, count)
        drain(
            storage, batches, lambda step, work: count(step, work) if step == "delete" else work(), "delete"
        )
    for step, counts in found.items():
        for unit in sorted(counts[0]):
            name = run.name(f"written_{step}_{unit.replace(' ', '_').replace('-', '_').lower()}")
            yield Figure(name, f"{unit}/task", [sum(one[unit] for one in counts) / BATCH / batches])


def drain(storage: Any, batches: int, count: Count, last: str = "end") -> None:
    """Take tasks through the steps of their life, each step through `count`."""
    for _ in range(batches):
        tasks = [Task("noop", PAYLOAD) for _ in range(BATCH)]
        count("insert", lambda tasks=tasks: storage.insert_tasks(tasks))
    claimed: list[list[TaskRow]] = [
        count("claim", lambda: storage.claim_due("noop", OWNER, BATCH)) for _ in range(batches)
    ]
    for rows in claimed:
        count("begin", lambda rows=rows: storage.mark_processing([row.token for row in rows]))
    for rows in claimed:
        ends = [Change(row.token, TaskStatus.DONE, row.attempts, is_deleted=last == "delete") for row in rows]
        written = count(last, lambda ends=ends: storage.settle_if_held(ends))
        assert len(written) == BATCH
