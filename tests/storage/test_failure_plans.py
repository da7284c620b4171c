"""The statements about groups of failures go by indexes, however many attempts there are."""

from __future__ import annotations

import json
import re
import sqlite3
from contextlib import closing

import psycopg
import pymysql
import pytest
from backends import add, claim

from goque.outcome import Outcome, OutcomeKind, settle
from goque.storage.mysql.failures import MYSQL_FAILURES
from goque.storage.mysql.search import MYSQL_SEARCH
from goque.storage.postgresql.connection import PIN
from goque.storage.postgresql.failures import POSTGRESQL_FAILURES
from goque.storage.postgresql.search import POSTGRESQL_SEARCH
from goque.storage.sql.placeholders import percent_placeholders
from goque.storage.sqlite.failures import SQLITE_FAILURES
from goque.storage.sqlite.search import SQLITE_SEARCH
from goque.task_rules.retry_policy import RetryPolicy

NAMES = ("walk", "newest", "group", "course", "newest_id", "delete_hour", "delete_group")
TASKS = 200
INDEX_OF = {
    "walk": {"goque_attempt_group_idx", "goque_attempt_task_id_idx", "primary"},
    "newest": {"goque_attempt_group_idx", "primary"},
    "of_failure": {"goque_attempt_group_idx", "primary"},
    "search": {"goque_attempt_task_id_idx", "primary"},
    "delete_group": {"goque_attempt_group_idx", "primary"},
}


def fill(backend, analyze):
    """Make a table in which nearly all attempts are of one group, and return the group of another."""
    storage = backend.new_storage()
    storage.migrate()
    for _ in range(TASKS):
        add(storage)
    rows = claim(storage, limit=TASKS)
    policy = RetryPolicy(max_attempts=1)
    changes = [
        settle(Outcome(OutcomeKind.FAILED, "ValueError" if number else "KeyError"), row, policy)
        for number, row in enumerate(rows)
    ]
    storage.settle_if_held(changes)
    for sql in analyze:
        backend.execute(sql)
    return changes[0].group.id


def statements(failures, search):
    found = {name: getattr(failures, name) for name in NAMES}
    head, tail = search.walk
    return {
        **found,
        "of_failure": search.of_failure,
        "search": f"{head} AND {search.conditions['failure']}{tail}",
    }


def params_of(group):
    return {
        "failure_group": group,
        "failure": group,
        "after": 0,
        "until": 2**40,
        "limit": 100,
        "most": 5001,
        "since": 0,
        "hour": 1,
        "age": 60,
        "before": "ffffffff-ffff-ffff-ffff-ffffffffffff",
        "types": json.dumps(["mail"]),
    }


@pytest.mark.parametrize("analyze", [(), ("ANALYZE",)], ids=["no statistics", "fresh statistics"])
def test_on_sqlite(sqlite, analyze):
    params = params_of(fill(sqlite, analyze))
    with closing(sqlite3.connect(sqlite.path)) as connection:
        for name, sql in statements(SQLITE_FAILURES, SQLITE_SEARCH).items():
            plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", params)]
            looks = [line for line in plan if re.search(r"goque_|later|failed", line)]
            assert looks, (name, plan)
            for line in looks:
                is_newest_id = name == "newest_id" and line == "SCAN goque_attempt"  # from its end, one row
                assert line.startswith("SEARCH") or is_newest_id, (name, plan)
            used = set(re.findall(r"goque_attempt_[a-z_]+_idx", " ".join(plan)))
            assert used <= INDEX_OF.get(name, set()), (name, plan)
            assert "goque_attempt_group_idx" in used or "goque_attempt_group_idx" not in INDEX_OF.get(
                name, ()
            )
            assert "TEMP B-TREE" not in " ".join(plan), (name, plan)


@pytest.mark.parametrize(
    "analyze",
    [(), ("ANALYZE goque_task, goque_attempt, goque_failure_group, goque_failure_hour",)],
    ids=["no statistics", "fresh statistics"],
)
def test_on_postgresql(postgresql, analyze):
    params = params_of(fill(postgresql, analyze)) | {"before": "ffffffff-ffff-ffff-ffff-ffffffffffff"}
    with psycopg.connect(postgresql.url, autocommit=True, cursor_factory=psycopg.ClientCursor) as connection:
        connection.execute(PIN)
        for name, text in statements(POSTGRESQL_FAILURES, POSTGRESQL_SEARCH).items():
            sql = percent_placeholders(text)
            params["before"] = "2026-11-23 21:02:33Z" if name == "delete_group" else params_of("")["before"]
            used = list(dict.fromkeys(re.findall(r"%\(([a-z_]+)\)s", sql)))
            numbers = {key: f"${number}" for number, key in enumerate(used, 1)}
            connection.execute(f"PREPARE its_{name} AS {sql % numbers}")
            arguments = [params[key] for key in used]
            values = f" ({', '.join(['%s'] * len(used))})" if used else ""
            explained = connection.execute(f"EXPLAIN EXECUTE its_{name}{values}", arguments or None)
            plan = [line for (line,) in explained]
            assert not [line for line in plan if "Seq Scan" in line or "Sort" in line], "\n".join(plan)
            scans = set(re.findall(r" using (goque_\w+)", " ".join(plan)))
            allowed = {re.sub("^primary$", "pkey", one) for one in INDEX_OF.get(name, {"primary"})}
            assert all(any(scan.endswith(one) for one in allowed) for scan in scans), (name, "\n".join(plan))
            conditions = sum("Index Cond:" in line for line in plan)
            assert conditions == sum(" using goque_" in line for line in plan) - (name == "newest_id"), (
                name,
                "\n".join(plan),
            )


@pytest.mark.parametrize(
    "analyze",
    [(), ("ANALYZE TABLE goque_task, goque_attempt, goque_failure_group, goque_failure_hour",)],
    ids=["no statistics", "fresh statistics"],
)
def test_on_mysql(mysql, analyze):
    params = params_of(fill(mysql, analyze)) | {"types": ["mail"]}
    with (
        closing(mysql.connect_autocommit()) as connection,
        connection.cursor(pymysql.cursors.DictCursor) as cursor,
    ):
        for name, text in statements(MYSQL_FAILURES, MYSQL_SEARCH).items():
            params["before"] = "2026-11-23 21:02:33" if name == "delete_group" else params_of("")["before"]
            cursor.execute(f"EXPLAIN FORMAT = TRADITIONAL {percent_placeholders(text)}", params)
            plan = cursor.fetchall()
            allowed = {one.upper() if one == "primary" else one for one in INDEX_OF.get(name, {"primary"})}
            for look in plan:
                if look["key"] is None:  # what a derived table has, or a row that a key has found before
                    assert (look["table"] or "<").startswith("<"), (name, plan)
                else:
                    assert look["key"] in allowed, (name, look)
                    is_whole = look["type"] in ("ALL", "index") and name != "newest_id"
                    assert not is_whole, (name, look)
