"""The plans of what people look for: each statement keeps to the index that bounds it, whatever the statistics say."""

from __future__ import annotations

import json
import re
import sqlite3
from dataclasses import fields

import psycopg
import pymysql
import pytest
from backends import MysqlBackend, PostgresqlBackend, SqliteBackend, add
from test_mysql_plans import fill as fill_mysql
from test_postgresql_plans import FILL as FILL_POSTGRESQL

from goque.storage.mysql.counting import TYPE_COUNTS as MYSQL_COUNTS
from goque.storage.mysql.search import MYSQL_SEARCH
from goque.storage.postgresql.counting import TYPE_COUNTS as POSTGRESQL_COUNTS
from goque.storage.postgresql.search import POSTGRESQL_SEARCH
from goque.storage.postgresql.session import BEGIN
from goque.storage.sql.placeholders import percent_placeholders
from goque.storage.sql.statements.search import SearchStatements
from goque.storage.sql.statements.type_counts import TypeCountStatements
from goque.storage.sqlite.counting import TYPE_COUNTS as SQLITE_COUNTS
from goque.storage.sqlite.search import SQLITE_SEARCH

ID = "019ab5a0-7c3e-7d5e-8f00-0123456789ab"
PARAMS = {
    "task_type": "type-1",
    "status": "done",
    "external_id": "x1",
    "limit_key": "acme",
    "failure": "3f9a2c81d0",
    "error": "boom",
    "payload": "ada@example.com",
    "before": ID,
    "floor": "00000000-0000-7000-8000-000000000000",
    "ceiling": "ffffffff-0000-7000-8000-000000000000",
    "low": "019ab5a0-0000-0000-0000-000000000000",
    "high": "019ab5a0-ffff-ffff-ffff-ffffffffffff",
    "prefix": "x",
    "past": "x\U0010ffff",
    "length": 200,
    "largest": 16_384,
    "scan": 20_000,
    "most": 5001,
    "limit": 50,
    "step": 10,
    "after": 0,
    "until": "2026-11-23 21:02:33",
    "since": "2026-11-23 20:02:33",
    "created_from": "2026-11-23 20:02:33",
    "created_before": "2026-11-23 20:02:33",
}
WALK, BY_ID, ATTEMPTS = "walk", "by id", "attempts"
INDEXES = {
    "walk": WALK,
    "walk_up": WALK,
    "floor": WALK,
    "ceiling": WALK,
    "of_ids": WALK,
    "waiting": "goque_task_claim_idx",
    "blocked": "goque_task_blocked_idx",
    "held": "goque_task_owner_idx",
    "unowned": "goque_task_unowned_idx",
    "finished": "goque_task_finished_idx",
    "finished_total": "goque_task_finished_idx",
    "of_types": "goque_task_type_external_id_idx",
    "of_failure": "goque_attempt_group_idx",
    "of_external_id": "goque_task_type_external_id_idx",
    "of_external_ids": "goque_task_type_external_id_idx",
    "previews": BY_ID,
    "lines_by_id": BY_ID,
    "finished_counts": "goque_task_finished_idx",
    "failures": ATTEMPTS,
    "typed_tasks": "goque_task_type_external_id_idx",
}
STATE = "goque_task_state_idx"
INDEXES_OF_MYSQL = INDEXES | {
    "blocked": STATE,
    "held": STATE,
    "unowned": STATE,
    "finished": STATE,
    "finished_total": STATE,
    "finished_counts": STATE,
    "of_types": "goque_task_claim_idx",
    "typed_tasks": None,  # either index that begins with the type will do
}


COUNTS = {
    "new": "goque_task_claim_idx",
    "blocked": "goque_task_blocked_idx",
    "done": "goque_task_finished_idx",
    "newest_ended": "goque_task_finished_idx",
    "held": "goque_task_owner_idx",
    "unowned": "goque_task_unowned_idx",
}


def counting_statements(counts: TypeCountStatements):
    """Yield the name and the text of each statement that counts by type and status."""
    yield from ((status.value, sql) for status, sql in counts.unclaimed.items())
    yield from zip(("held", "unowned"), counts.claimed, strict=True)
    yield "newest_ended", counts.newest_ended


def statements(search: SearchStatements):
    """Yield each statement with every condition that it may have."""
    conditions = list(search.conditions.values())
    for field in fields(search):
        sql = getattr(search, field.name)
        if field.name in ("walk", "walk_up"):
            sql = "\n AND ".join([sql[0], *conditions]) + sql[1]
        elif field.name == "lines_by_id":
            sql = "\n AND ".join([sql, *conditions])
        if field.name in INDEXES:
            yield field.name, sql


@pytest.mark.fault(32)
@pytest.mark.parametrize("tasks", [0, 50, 20_000])
@pytest.mark.parametrize("statistics", ["none", "fresh"])
def test_postgresql_keeps_to_the_index(postgresql: PostgresqlBackend, tasks, statistics):
    postgresql.new_storage().migrate()
    postgresql.execute("ALTER TABLE goque_task SET (autovacuum_enabled = off)")
    postgresql.execute(FILL_POSTGRESQL, tasks=tasks)
    if statistics == "fresh":
        postgresql.execute("VACUUM ANALYZE goque_task")
    params = PARAMS | {"types": '["type-1", "type-2"]', "statuses": '["new"]', "batch": json.dumps([ID])}
    named = {WALK: "goque_task_pkey", BY_ID: "goque_task_pkey", ATTEMPTS: "goque_attempt_pkey"}
    with psycopg.connect(postgresql.url, autocommit=True, prepare_threshold=None) as connection:
        for name, sql in statements(POSTGRESQL_SEARCH):
            connection.execute(BEGIN)
            given = params | ({"until": 2**62} if name == "failures" else {})
            plan = "\n".join(
                row[0] for row in connection.execute(percent_placeholders(f"EXPLAIN {sql}"), given)
            )
            connection.execute("ROLLBACK")
            assert named.get(INDEXES[name], INDEXES[name]) in plan, f"{name}\n{plan}"
            assert not re.search(r"Seq Scan on goque|Bitmap|Sort|Hash Join", plan), f"{name}\n{plan}"


@pytest.mark.fault(32)
@pytest.mark.parametrize("tasks", [50, 20_000])
@pytest.mark.parametrize("statistics", ["none", "fresh"])
def test_postgresql_counts_by_type_along_an_index(postgresql: PostgresqlBackend, tasks, statistics):
    postgresql.new_storage().migrate()
    postgresql.execute("ALTER TABLE goque_task SET (autovacuum_enabled = off)")
    postgresql.execute(FILL_POSTGRESQL, tasks=tasks)
    if statistics == "fresh":
        postgresql.execute("VACUUM ANALYZE goque_task")
    params = {"types": '["type-1", "type-2"]', "status": "done", "most": 5001}
    with psycopg.connect(postgresql.url, autocommit=True, prepare_threshold=None) as connection:
        for name, sql in counting_statements(POSTGRESQL_COUNTS):
            connection.execute(BEGIN)
            explained = connection.execute(percent_placeholders(f"EXPLAIN {sql}"), params)
            plan = "\n".join(row[0] for row in explained)
            connection.execute("ROLLBACK")
            wanted = COUNTS.get(name, COUNTS["done"])
            assert wanted in plan, f"{name}\n{plan}"
            assert name != "done" or f"Index Only Scan using {wanted}" in plan, plan
            assert not re.search(r"Seq Scan on goque|Bitmap|Sort|Hash Join", plan), f"{name}\n{plan}"


@pytest.mark.fault(32)
@pytest.mark.parametrize("statistics", ["none", "fresh"])
def test_sqlite_keeps_to_the_index(sqlite: SqliteBackend, statistics):
    storage = sqlite.new_storage()
    storage.migrate()
    for number in range(50):
        add(storage, f"type-{number % 3}")
    if statistics == "fresh":
        sqlite.execute("ANALYZE")
    params = PARAMS | {"types": '["type-1", "type-2"]', "statuses": '["new"]', "batch": json.dumps([ID])}
    named = {
        WALK: "USING INDEX sqlite_autoindex_goque_task_1 (id",
        BY_ID: "USING INDEX sqlite_autoindex_goque_task_1 (id",
        ATTEMPTS: "goque_attempt USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)",
    }
    connection = sqlite3.connect(sqlite.path)
    for name, sql in statements(SQLITE_SEARCH):
        given = {key: params[key] for key in re.findall(r":(\w+)", sql)}
        plan = "\n".join(row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", given))
        plan = plan.replace("COVERING INDEX", "INDEX")
        assert named.get(INDEXES[name], INDEXES[name]) in plan, f"{name}\n{plan}"
        assert "FOR ORDER BY" not in plan or name == "failures", f"{name}\n{plan}"
    for name, sql in counting_statements(SQLITE_COUNTS):
        given = {"type_0": "type-1", "status": "done", "most": 5001}
        plan = "\n".join(row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", given))
        wanted = COUNTS.get(name, COUNTS["done"])
        assert f"INDEX {wanted}" in plan, f"{name}\n{plan}"
        read = [row[1] for row in connection.execute(f"EXPLAIN {sql}", given)]
        assert name != "done" or "Column" not in read, f"it reads rows: {read}"
        assert "FOR ORDER BY" not in plan, f"{name}\n{plan}"
    connection.close()


@pytest.mark.fault(32)
@pytest.mark.parametrize("tasks", [50, 20_000])
def test_mysql_keeps_to_the_index(mysql: MysqlBackend, tasks):
    mysql.new_storage().migrate()
    fill_mysql(mysql, tasks)
    params = PARAMS | {"types": ["type-1", "type-2"], "statuses": ["new"], "batch": [ID, ID[:-1] + "c"]}
    named = {WALK: "PRIMARY", BY_ID: "PRIMARY", ATTEMPTS: "PRIMARY"}
    with mysql.connect_autocommit() as connection, connection.cursor(pymysql.cursors.DictCursor) as cursor:
        for name, sql in statements(MYSQL_SEARCH):
            given = params | ({"until": 2**62} if name == "failures" else {})
            cursor.execute(percent_placeholders(f"EXPLAIN FORMAT = TRADITIONAL {sql}"), given)
            rows = [row for row in cursor.fetchall() if row["table"] in ("goque_task", "goque_attempt")]
            assert rows, name
            wanted = named.get(INDEXES_OF_MYSQL[name], INDEXES_OF_MYSQL[name])
            assert wanted is None or rows[-1]["key"] == wanted, f"{name}\n{rows}"
            sorts = any("filesort" in (row["Extra"] or "") for row in rows)
            assert not sorts or name == "finished_counts", f"{name}\n{rows}"  # a few slots, not their tasks
        types = {f"type_{place}": f"type-{place}" for place in range(MYSQL_COUNTS.types_at_once)}
        for name, sql in counting_statements(MYSQL_COUNTS):
            given = {**types, "status": "done", "most": 5001}
            cursor.execute(percent_placeholders(f"EXPLAIN FORMAT = TRADITIONAL {sql}"), given)
            rows = [row for row in cursor.fetchall() if row["table"] == "goque_task"]
            assert rows, name
            assert {row["key"] for row in rows} == {STATE}, f"{name}\n{rows}"
            assert not any("filesort" in (row["Extra"] or "") for row in rows), f"{name}\n{rows}"
            covered = all("Using index" in row["Extra"] for row in rows)
            assert covered or name == "newest_ended", f"{name}\n{rows}"
