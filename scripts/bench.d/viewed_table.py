"""The table for the workload `views`: tasks of seven days, failures in groups, a flow, published types, roll-ups."""

from __future__ import annotations

import time
from contextlib import closing
from typing import Final, NamedTuple

from database import Database

import goque
from goque.describe.run_counts import COARSE, FINE, MINUTE, RunCounts, encode_runs
from goque.handlers.flow import Flow
from goque.storage import TaskStorage
from goque.storage.contract import RollupRow, TypePolicy

TYPES: Final = 20
DAYS: Final = 7
PARTS: Final = 50
STATUSES: Final = {"done": 4_700_000, "canceled": 20_000, "attempts_left": 80_000, "new": 200_000}
FLOW: Final = 1_000
ATTEMPTS: Final = """
    INSERT INTO goque_attempt (task_id, attempt, cause, error, traceback, ended_at, failure_group)
    SELECT id, 1, 'exception', 'ValueError: boom', 'Traceback (most recent call last):',
           coalesce(updated_at, created_at), type
    FROM goque_task
    WHERE status = 'attempts_left'"""
ERRORS: Final = (
    "UPDATE goque_task SET errors = 'attempt 1: ValueError: boom\n' WHERE status = 'attempts_left'"
)
GROUPS: Final = """
    INSERT INTO goque_failure_group (failure_group, type, cause, error_class, line, error, failures, first_at, last_at,
                                     example_task_id)
    SELECT counted.type, counted.type, 'exception', 'ValueError', 'shop.py in charge: raise ValueError("boom")',
           'ValueError: boom', counted.tasks, example.created_at, example.created_at, example.id
    FROM (SELECT type, count(*) AS tasks, max(created_at) AS newest
          FROM goque_task
          WHERE status = 'attempts_left'
          GROUP BY type) AS counted
    JOIN goque_task AS example
      ON example.type = counted.type AND example.created_at = counted.newest AND example.status = 'attempts_left'"""
NEWEST: Final = "SELECT id FROM goque_task WHERE status = 'attempts_left' ORDER BY id DESC LIMIT 1"
MIDDLE: Final = "SELECT id FROM goque_task ORDER BY id LIMIT 1 OFFSET {}"
EXTERNAL: Final = "SELECT external_id FROM goque_task WHERE id = '{}'"


class Places(NamedTuple):
    """What is looked at in a table.

    Attributes:
        failed: the id of the newest failed task.
        middle: an id that half of the tasks are older than.
        external: the external id of the task in the middle.
        flow: the id of a flow.
    """

    failed: str
    middle: str
    external: str
    flow: str


def fill(database: Database, scale: float) -> Places:
    """Insert the tasks, those of each status evenly over the days, and all that pages show beside them."""
    apart = DAYS * 86_400 / sum(STATUSES.values()) / scale
    for _ in range(PARTS):
        for status, count in STATUSES.items():
            size = round(count * scale / PARTS)
            database.fill(status, size, types=TYPES, age=DAYS * 86_400.0, apart=apart)
    return add_rest(database, round(sum(STATUSES.values()) * scale))


def add_rest(database: Database, tasks: int) -> Places:
    """Insert what belongs to the tasks of a table, and return what to look at."""
    for statement in (ERRORS, ATTEMPTS, GROUPS):
        database.rows(statement)
    flow = Flow("order")
    first = flow.add("noop_1", 0)
    for number in range(1, FLOW):
        flow.add("noop_1", number, needs=[first])
    with closing(goque.open_storage(database.url)) as storage:
        storage.publish_types(
            [TypePolicy(f"noop_{n}", 5, None, None, 864_000.0, 864_000.0, 3600.0) for n in range(TYPES)]
        )
        plan = flow.plan()
        storage.insert_flow(plan)
        add_rollups(storage)
    database.vacuum()
    failed, middle = (
        str(database.rows(statement)[0][0]) for statement in (NEWEST, MIDDLE.format(tasks // 2))
    )
    external = str(database.rows(EXTERNAL.format(middle))[0][0])
    return Places(failed, middle, external, str(database.rows("SELECT id FROM goque_flow")[0][0]))


def add_rollups(storage: TaskStorage) -> None:
    """Write the roll-ups of a week in which each type ran all the time."""
    runs = {
        f"noop_{number}": RunCounts({"done": 1000, "error": 10}, {10: 900, 20: 110}, {5: 1000, 40: 10})
        for number in range(TYPES)
    }
    now, text = int(time.time()), encode_runs(runs)
    for step, span in ((MINUTE, 3600), (FINE, 86_400), (COARSE, DAYS * 86_400)):
        rows = [RollupRow(step, slot // step * step, "", text) for slot in range(now - span, now, step)]
        storage.put_rollups(lambda _now, rows=rows: rows)
