"""Viewing: how long people wait for the dashboard's pages and for commands in a table of 5,000,000 tasks."""

from __future__ import annotations

import contextlib
import io
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from figure import Figure
from starlette.testclient import TestClient
from viewed_table import fill
from workload import Run

from goque.cli import group
from goque.dashboard import create_app

ROUNDS: Final = 40
PAGES: Final = {
    "overview": "/",
    "overview_hour": "/?window=1h",
    "overview_week": "/?window=7d",
    "types": "/types",
    "type": "/types/type?name=noop_7",
    "limits": "/limits",
    "tasks": "/tasks",
    "tasks_deep": "/tasks?before={middle}",
    "tasks_oldest": "/tasks?sort=oldest",
    "tasks_failed": "/tasks?status=attempts_left",
    "tasks_failed_deep": "/tasks?status=attempts_left&before={middle}",
    "tasks_waiting": "/tasks?status=new",
    "tasks_of_type": "/tasks?type=noop_7",
    "tasks_done_of_type": "/tasks?type=noop_7&status=done",
    "tasks_of_group": "/tasks?failure=noop_7",
    "tasks_by_error": "/tasks?error=boom",
    "tasks_by_absent_error": "/tasks?error=absent",
    "tasks_by_external_id": "/tasks?external_id={external}",
    "task": "/tasks/{failed}",
    "search": "/search?q={external}",
    "flow": "/flows/{flow}",
    "failures": "/failures",
    "failure": "/failures/noop_7",
    "jobs": "/jobs",
    "nodes": "/nodes",
}
COMMANDS: Final = {
    "stats": "stats",
    "stats_json": "stats --json",
    "list": "list",
    "list_json": "list --json",
    "list_deep": "list --before {middle}",
    "list_failed": "list --status failed",
    "list_failed_deep": "list --status failed --before {middle}",
    "list_canceled": "list --status canceled",
    "list_waiting": "list --status waiting",
    "list_running": "list --status running",
    "list_blocked": "list --status blocked",
    "list_of_type": "list --type noop_7",
    "list_done_of_type": "list --type noop_7 --status done",
    "list_failed_of_type": "list --type noop_7 --status failed",
    "list_failed_by_error": "list --status failed --error boom",
    "list_failed_by_absent_error": "list --status failed --error absent",
    "list_by_error": "list --error boom",
    "list_by_absent_error": "list --error absent",
    "list_by_payload": "list --payload absent",
    "list_by_limit_key": "list --limit-key absent",
    "list_of_group": "list --failure noop_7",
    "list_since": "list --status failed --since 2h",
    "list_by_external_id": "list --external-id {external}",
    "show": "show {failed}",
    "flow": "flow {flow}",
    "top": "top --once",
    "failures": "failures",
    "limits": "limits",
}


def views(run: Run) -> Iterator[Figure]:
    """Read each page and run each command 40 times in a table of seven days, and report the 95th percentile.

    The first overview counts alone. A command is called in this process: Python's start and the imports do not count.
    `--quick` uses a tenth of the tasks.
    """
    with run.backend.fresh(run.directory) as database:
        places = fill(database, 0.1 if run.quick else 1.0)
        with TestClient(create_app(database.url)) as client:
            yield Figure(run.name("first_overview"), "ms", [timed(lambda: read(client, "/"))])
            for name, path in PAGES.items():
                where = path.format_map(places._asdict())
                yield p95_of(run.name(f"page_{name}"), lambda where=where: read(client, where))
        for name, words in COMMANDS.items():
            if words.split()[0] in group.COMMANDS:
                arguments = [*words.format_map(places._asdict()).split(), "--database-url", database.url]
                yield p95_of(run.name(f"command_{name}"), lambda arguments=arguments: command(arguments))


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
