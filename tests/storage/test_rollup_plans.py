"""The statements about roll-ups go by the primary key, however many rows there are."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import psycopg
import pymysql
import pytest

from goque.storage.contract import RollupRow
from goque.storage.sql.placeholders import percent_placeholders
from goque.storage.sql.statements.rollups import MYSQL_ROLLUPS, SQLITE_ROLLUPS, RollupStatements

NAMES = ("since", "unmerged", "lock", "delete_slot", "oldest", "delete")
STEP = 600
FIRST = 1_790_000_400
SLOTS = 2000
PARAMS = {"step": STEP, "slot": FIRST + 9 * STEP, "first": FIRST + 2 * STEP, "limit": 20}


@pytest.fixture
def filled(backend):
    storage = backend.new_storage()
    storage.migrate()
    rows = [
        RollupRow(STEP, FIRST + slot * STEP, writer, "{}") for slot in range(SLOTS) for writer in ("", "a")
    ]
    storage.put_rollups(lambda _now: rows)
    return backend


def test_every_statement_reads_the_primary_key(filled):
    {"sqlite": on_sqlite, "postgresql": on_postgresql, "mysql": on_mysql}[filled.name](filled)


def on_sqlite(backend):
    with closing(sqlite3.connect(backend.path)) as connection:
        for name in NAMES:
            sql = getattr(SQLITE_ROLLUPS, name)
            plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", PARAMS)]
            assert any(line.startswith("SEARCH goque_rollup USING") for line in plan), (name, plan)
            assert not any(line.startswith("SCAN") for line in plan), (name, plan)


def on_postgresql(backend):
    backend.execute("ANALYZE goque_rollup")
    with psycopg.connect(backend.url, autocommit=True, cursor_factory=psycopg.ClientCursor) as connection:
        for name in NAMES:
            slot = {"slot": FIRST + (SLOTS - 30) * STEP} if name == "since" else {}
            explained = connection.execute(
                percent_placeholders(f"EXPLAIN {getattr(RollupStatements(), name)}"), PARAMS | slot
            )
            plan = "\n".join(row[0] for row in explained)
            assert "goque_rollup_pkey" in plan, (name, plan)
            assert "Seq Scan" not in plan, (name, plan)


def on_mysql(backend):
    backend.execute("ANALYZE TABLE goque_rollup")
    with (
        closing(backend.connect_autocommit()) as connection,
        connection.cursor(pymysql.cursors.DictCursor) as cursor,
    ):
        for name in NAMES:
            cursor.execute(percent_placeholders(f"EXPLAIN {getattr(MYSQL_ROLLUPS, name)}"), PARAMS)
            [plan] = cursor.fetchall()
            assert plan["key"] == "PRIMARY", (name, plan)
            assert plan["type"] in ("range", "ref"), (name, plan)
