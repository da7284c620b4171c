"""300,000 task types in the table: every page and command stays bounded."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import time
from pathlib import Path

import pytest
from dashboard_process import running_dashboard
from dashboards import publish
from eventually import eventually
from tree import python_command

from goque.storage.contract import MAX_GROUPS
from goque.task_row import TERMINAL_STATUSES

TYPES = 300_000
DIGIT = "(SELECT 0 AS n UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4 UNION ALL SELECT 5 "
DIGIT += "UNION ALL SELECT 6 UNION ALL SELECT 7 UNION ALL SELECT 8 UNION ALL SELECT 9)"
COLUMNS = "id, type, external_id, payload, status, attempts, next_attempt_at, created_at"
FILL = {
    "sqlite": f"""
    WITH RECURSIVE number(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM number WHERE n < {TYPES - 1})
    INSERT INTO goque_task ({COLUMNS})
    SELECT printf('019b0000-0000-7000-8000-%012x', n), printf('type-%06d', n), printf('e%d', n), 'null', 'new', 0,
           '2026-01-01T00:00:00.000000Z', '2026-01-01T00:00:00.000000Z'
    FROM number""",
    "postgresql": f"""
    INSERT INTO goque_task ({COLUMNS})
    SELECT CAST('019b0000-0000-7000-8000-' || lpad(to_hex(n), 12, '0') AS uuid),
           'type-' || lpad(CAST(n AS text), 6, '0'), 'e' || n, 'null', 'new', 0, '2026-01-01Z', '2026-01-01Z'
    FROM generate_series(0, {TYPES - 1}) AS n""",
    "mysql": f"""
    INSERT INTO goque_task ({COLUMNS})
    SELECT concat('019b0000-0000-7000-8000-', lpad(lower(hex(n)), 12, '0')), concat('type-', lpad(n, 6, '0')),
           concat('e', n), 'null', 'new', 0, '2026-01-01', '2026-01-01'
    FROM (SELECT a.n + 10 * b.n + 100 * c.n + 1000 * d.n + 10000 * e.n + 100000 * f.n AS n
          FROM {DIGIT} AS a, {DIGIT} AS b, {DIGIT} AS c, {DIGIT} AS d, {DIGIT} AS e, {DIGIT} AS f) AS number
    WHERE n < {TYPES}""",
}


@pytest.mark.fault(62)
@pytest.mark.parametrize("backend_name", ["postgresql", "mysql"])
def test_what_counts_all_types_is_bounded_on_a_server(storage, backend, tmp_path: Path, backend_name: str):
    publish(storage, "type-299999")
    backend.execute(FILL[backend_name])
    for command in (["stats"], ["top", "--once"]):
        peak, said = run(tmp_path, backend.url, *command)
        assert peak < 120 << 20, (command, peak)
        assert len(said.splitlines()) <= MAX_GROUPS + 10
        assert "type-299999" in said  # a supervisor has run it
    with running_dashboard(tmp_path, backend.url) as dashboard:
        eventually(lambda: dashboard.ask("/").status == 200)  # it answers 503 until the first count has ended
        for path in ("/", "/?window=7d", "/types", "/types/type?name=type-299999", "/tasks"):
            answer = dashboard.ask(path)
            assert answer.status == 200, (path, answer.text)
            assert len(answer.text) < 1 << 20, path
    before = time.monotonic()
    assert storage.delete_finished(None, list(TERMINAL_STATUSES), 1.0) == 0
    assert time.monotonic() - before < 15, "the supervisor takes a cleaner for dead that is silent for longer"


@pytest.mark.fault(62)
def test_pages_and_commands_are_bounded(storage, backend, tmp_path: Path):
    publish(storage, "type-299999")
    storage.close()
    with sqlite3.connect(backend.url.partition(":///")[2]) as connection:
        connection.execute(FILL["sqlite"])
    connection.close()
    for command in (["stats"], ["stats", "--json"], ["top", "--once"], ["list", "--limit", "5"]):
        peak, said = run(tmp_path, backend.url, *command)
        assert peak < 120 << 20, (command, peak)
        assert len(said.splitlines()) <= MAX_GROUPS + 10
        if command[0] in ("stats", "top"):
            assert "type-299999" in said  # a supervisor has run it
    with running_dashboard(tmp_path, backend.url) as dashboard:
        eventually(lambda: dashboard.ask("/").status == 200)
        for path in (
            "/",
            "/?window=7d",
            "/types",
            "/types/type?name=type-299999",
            "/types/type?name=type-123456",
            "/tasks",
            "/tasks?type=type-000007",
            "/tasks?status=new",
            "/jobs",
            "/nodes",
        ):
            answer = dashboard.ask(path)
            assert answer.status == 200, path
            assert len(answer.text) < 1 << 20, path
        assert (
            "type-299999" in dashboard.ask("/types").text or "busiest types" in dashboard.ask("/types").text
        )


MEASURED = """
import resource, subprocess, sys
done = subprocess.run(sys.argv[1:], stdout=subprocess.PIPE, text=True, check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024)
print(done.stdout, end="")
"""
"""Runs a command from a small process: a child counts the memory of the process that it was forked from."""


def run(directory: Path, url: str, *command: str) -> tuple[int, str]:
    """Run a command; return its largest memory in bytes and what it printed."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("GOQUE_")}
    done = subprocess.run(
        python_command("-c", MEASURED, *python_command("-m", "goque.cli", *command)),
        cwd=directory,
        env={**own, "GOQUE_DATABASE_URL": url},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    peak, _, said = done.stdout.partition("\n")
    return int(peak), said
