"""The statements about recorded steps go by primary keys, however many steps there are."""

from __future__ import annotations

import json
import re
import sqlite3
from contextlib import closing
from dataclasses import fields

import psycopg
import pymysql
import pytest
from backends import add, claim
from step_questions import ask, record

from goque.storage.mysql.recorded_steps import MYSQL_RECORDED_STEPS
from goque.storage.postgresql.connection import PIN
from goque.storage.postgresql.recorded_steps import POSTGRESQL_RECORDED_STEPS
from goque.storage.sql.placeholders import percent_placeholders
from goque.storage.sql.statements.recorded_steps import RecordedStepStatements
from goque.storage.sqlite.recorded_steps import SQLITE_RECORDED_STEPS

INSERTS = ("insert_steps", "insert_one", "save", "save_progress")
NAMES = [field.name for field in fields(RecordedStepStatements) if field.name not in INSERTS]
TASKS, STEPS = 60, 60
MANY = {"limit": 100, "most": 100, "claims": 1}


def fill(backend, *, analyze):
    """Return the tasks of a table with many steps."""
    storage = backend.new_storage()
    storage.migrate()
    for _ in range(TASKS):
        add(storage)
    rows = claim(storage, limit=TASKS)
    for row in rows:
        ask(storage, row, *(record(f"step-{number}") for number in range(STEPS)))
    storage.signal_task(rows[0].id, "go", b"1")
    for sql in analyze:
        backend.execute(sql)
    return rows


def params_of(name, rows):
    task_id = rows[0].id
    batches = {
        "hold": {row.id: row.claims for row in rows[:3]},
        "asked": [[row.id, "signal", "go"] for row in rows[:3]],
    }
    return {
        **MANY,
        "id": task_id,
        "owner": "node-1",
        "after": "step-3",
        "name": "go",
        "now": "2026-11-23T21:02:33Z",
        "ids": json.dumps([row.id for row in rows[:3]]),
        "batch": json.dumps(batches.get(name)),
    }


@pytest.mark.parametrize("analyze", [(), ("ANALYZE",)], ids=["no statistics", "fresh statistics"])
def test_on_sqlite(sqlite, analyze):
    rows = fill(sqlite, analyze=analyze)
    with closing(sqlite3.connect(sqlite.path)) as connection:
        for name in NAMES:
            sql = getattr(SQLITE_RECORDED_STEPS, name)
            plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", params_of(name, rows))]
            looks = [line for line in plan if "goque_" in line]
            assert looks, (name, plan)
            for line in looks:
                assert line.startswith("SEARCH"), (name, plan)
                assert "(id=?" in line or "(task_id=?" in line, (name, plan)


@pytest.mark.parametrize(
    "analyze", [(), ("ANALYZE goque_task, goque_step",)], ids=["no statistics", "fresh statistics"]
)
def test_on_postgresql(postgresql, analyze):
    rows = fill(postgresql, analyze=analyze)
    with psycopg.connect(postgresql.url, autocommit=True, cursor_factory=psycopg.ClientCursor) as connection:
        connection.execute(PIN)
        for name in NAMES:
            sql = percent_placeholders(getattr(POSTGRESQL_RECORDED_STEPS, name))
            params = params_of(name, rows)
            used = list(dict.fromkeys(re.findall(r"%\(([a-z_]+)\)s", sql)))
            numbers = {key: f"${number}" for number, key in enumerate(used, 1)}
            connection.execute(f"PREPARE {name} AS {sql % numbers}")
            values = ", ".join(["%s"] * len(used))
            explained = connection.execute(
                f"EXPLAIN EXECUTE {name} ({values})", [params[key] for key in used]
            )
            plan = [line for (line,) in explained]
            scans = [
                at for at, line in enumerate(plan) if " using goque_" in line or "Scan on goque_" in line
            ]
            assert scans, (name, plan)
            for at in scans:
                if "Tid Scan" not in plan[at]:
                    assert " using goque_task_pkey" in plan[at] or " using goque_step_pkey" in plan[at], (
                        name,
                        "\n".join(plan),
                    )
                    assert "Index Cond:" in plan[at + 1], (name, "\n".join(plan))


@pytest.mark.parametrize(
    "analyze", [(), ("ANALYZE TABLE goque_task, goque_step",)], ids=["no statistics", "fresh statistics"]
)
def test_on_mysql(mysql, analyze):
    rows = fill(mysql, analyze=analyze)
    with (
        closing(mysql.connect_autocommit()) as connection,
        connection.cursor(pymysql.cursors.DictCursor) as cursor,
    ):
        for name in NAMES:
            sql = percent_placeholders(getattr(MYSQL_RECORDED_STEPS, name))
            params = params_of(name, rows) | {
                "ids": [row.id for row in rows[:3]],
                "now": "2026-11-23 21:02:33",
            }
            if name == "hold":
                params["batch"] = json.dumps([[row.id, row.claims] for row in rows[:3]])
            cursor.execute(f"EXPLAIN FORMAT = TRADITIONAL {sql}", params)
            looks = [row for row in cursor.fetchall() if (row["table"] or "").startswith("goque_")]
            assert looks, name
            for look in looks:
                assert look["key"] == "PRIMARY", (name, look)
                assert look["type"] in ("range", "ref", "eq_ref", "const"), (name, look)
