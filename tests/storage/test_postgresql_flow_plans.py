"""PostgreSQL goes on with a flow by indexes alone, however many tasks and needs there are."""

from __future__ import annotations

import json
import re

import psycopg
import pytest
from backends import PostgresqlBackend

import goque
from goque.storage.postgresql.connection import PIN
from goque.storage.postgresql.statements import NOTIFYING_STATEMENTS
from goque.storage.sql.placeholders import percent_placeholders

RUN_AT_EACH_END = ["lock_dependents", "mark_needs", "failed_needs", "ready", "unblock", "cancel_blocked"]
PARTS = 3_000


@pytest.fixture
def backend(postgresql: PostgresqlBackend) -> PostgresqlBackend:
    return postgresql


@pytest.mark.parametrize("is_analyzed", [False, True], ids=["no statistics", "fresh statistics"])
@pytest.mark.parametrize("name", [*RUN_AT_EACH_END, "needs_of"])
def test_each_scan_of_an_index_says_where_it_begins(backend, storage, name, is_analyzed):
    flow = goque.Flow("fan")
    flow.add("join", needs=[flow.add("part") for _ in range(PARTS)])
    goque.TaskQueueManager(storage).enqueue_flow(flow)
    params = {
        "ids": json.dumps([task.id for task in flow.tasks[:100]]),
        "id": flow.tasks[-1].id,
        "now": "2026-11-23T21:02:33Z",
        "errors": None,
        "flags": 0,
    }
    sql = percent_placeholders(getattr(NOTIFYING_STATEMENTS.flows, name))
    used = list(dict.fromkeys(re.findall(r"%\(([a-z_]+)\)s", sql)))
    numbers = {key: f"${number}" for number, key in enumerate(used, 1)}
    with psycopg.connect(backend.url, autocommit=True, cursor_factory=psycopg.ClientCursor) as connection:
        if is_analyzed:
            connection.execute("ANALYZE goque_task, goque_need")
        connection.execute(PIN)
        connection.execute(f"PREPARE {name} AS {sql % numbers}")
        values = ", ".join(["%s"] * len(used))
        rows = connection.execute(f"EXPLAIN EXECUTE {name} ({values})", [params[key] for key in used])
        plan = [line for (line,) in rows]
    scans = [at for at, line in enumerate(plan) if " using goque_" in line or "Scan on goque_" in line]
    assert scans, plan
    for at in scans:
        assert "Index" in plan[at], "\n".join(plan)
        assert "Index Cond:" in plan[at + 1], "\n".join(plan)
