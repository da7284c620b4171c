"""Viewing: how long people wait for the dashboard's pages and for commands in a table of 5,000,000 tasks."""

from __future__ import annotations

import contextlib
import io
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from database import Database
from figure import Figure
from starlette.testclient import TestClient
from workload import Run

from goque.cli import group
from goque.dashboard import create_app

TYPES: Final = 20
DAYS: Final = 7
PARTS: Final = 50
ROUNDS: Final = 40
STATUSES: Final = {"done": 4_700_000, "canceled": 20_000, "attempts_left": 80_000, "new": 200_000}
PAGES: Final = {
    "overview": "/",
    "types": "/types",
    "limits": "/limits",
    "tasks": "/tasks",
    "tasks_failed": "/tasks?status=attempts_left",
    "tasks_of_type": "/tasks?type=noop_7",
    "tasks_done_of_type": "/tasks?type=noop_7&status=done",
    "tasks_by_error": "/tasks?error=boom",
    "task": "/tasks/{failed}",
    "jobs": "/jobs",
    "nodes": "/nodes",
}
COMMANDS: Final = {
    "stats": ["stats"],
    "list": ["list"],
    "list_failed": ["list", "--status", "failed"],
    "list_of_type": ["list", "--type", "noop_7", "--status", "done"],
    "top": ["top", "--once"],
    "show": ["show", "{failed}"],
    "failures": ["failures"],
}
ATTEMPTS: Final = """
    INSERT INTO goque_attempt (task_id, attempt, cause, error, traceback, ended_at)
    SELECT id, 1, 'failed', 'ValueError: boom', 'Traceback (most recent call last):', coalesce(updated_at, created_at)
    FROM goque_task
    WHERE status = 'attempts_left'"""

NEWEST_FAILED: Final = "SELECT id FROM goque_task WHERE status = 'attempts_left' ORDER BY id DESC LIMIT 1"


def views(run: Run) -> Iterator[Figure]:
    """Read each page and run each command 40 times in a table of seven days, and report the 95th percentile.

    The first overview counts alone. A command is called in this process: Python's start and the imports do not count.
    `--quick` uses a tenth of the tasks.
    """
    scale = 0.1 if run.quick else 1.0
    with run.backend.fresh(run.directory) as database:
        fill(database, scale)
        failed = str(database.rows(NEWEST_FAILED)[0][0])
        with TestClient(create_app(database.url)) as client:
            yield Figure(run.name("first_overview"), "ms", [timed(lambda: read(client, "/"))])
            for name, path in PAGES.items():
                where = path.format(failed=failed)
                yield p95_of(run.name(f"page_{name}"), lambda where=where: read(client, where))
        for name, words in COMMANDS.items():
            if words[0] in group.COMMANDS:
                arguments = [*(word.format(failed=failed) for word in words), "--database-url", database.url]
                yield p95_of(run.name(f"command_{name}"), lambda arguments=arguments: command(arguments))


def fill(database: Database, scale: float) -> None:
    """Insert the tasks, those of each status evenly over the days, and the attempts of the failed ones."""
    apart = DAYS * 86_400 / sum(STATUSES.values()) / scale
    for _ in range(PARTS):
        for status, count in STATUSES.items():
            size = round(count * scale / PARTS)
            database.fill(status, size, types=TYPES, age=DAYS * 86_400.0, apart=apart)
    database.rows(ATTEMPTS)
    database.analyze()


def p95_of(name: str, call: Callable[[], object]) -> Figure:
    """Measure calls after a first one, and return the 95th percentile of their milliseconds."""
    call()
    times = sorted(timed(call) for _ in range(ROUNDS))
    return Figure(name, "ms", [times[round(0.95 * (ROUNDS - 1))]])


def timed(call: Callable[[], object]) -> float:
    """Return how many milliseconds a call takes."""
    began = time.perf_counter()
    call()
    return (time.perf_counter() - began) * 1e3


def read(client: TestClient, path: str) -> None:
    """Read a page."""
    answer = client.get(path)
    assert answer.status_code == 200, f"{path}: {answer.status_code}"


def command(arguments: Sequence[str]) -> None:
    """Run a command of goque, without what it prints."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        group.root.main(list(arguments), "goque", standalone_mode=False)
