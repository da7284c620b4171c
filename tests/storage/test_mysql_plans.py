"""The plans that make the hot statements of MySQL and MariaDB flat, and how many rows they read."""

from __future__ import annotations

import pymysql
import pytest
from backends import MysqlBackend, claim
from go_schema import ORIGINAL

from goque.storage.mysql import limits
from goque.storage.mysql.due_levels import highest_levels
from goque.storage.mysql.recorded_steps import HOLD
from goque.storage.mysql.statements import MYSQL_STATEMENTS, PRESENT
from goque.storage.sql.placeholders import percent_placeholders
from goque.task import Task
from goque.task_row import TaskStatus


@pytest.fixture
def backend(mysql: MysqlBackend) -> MysqlBackend:
    return mysql


CLAIM, STATE, BY_ID = "goque_task_claim_idx", "goque_task_state_idx", "PRIMARY"
PLANS = {
    "next_due": (MYSQL_STATEMENTS.next_due, CLAIM, 1000),
    "claim_due, lock": (MYSQL_STATEMENTS.claim_due.lock, CLAIM, 1000),
    "claim_due, change": (MYSQL_STATEMENTS.claim_due.change, BY_ID, 20),
    "holds": (HOLD, BY_ID, 1),
    "mark_processing": (MYSQL_STATEMENTS.mark_processing, BY_ID, 1),
    "settle_done": (MYSQL_STATEMENTS.settle_done.change, BY_ID, 20),
    "settle_unneeded": (MYSQL_STATEMENTS.settle_unneeded.change, BY_ID, 1),
    "settle_moves": (MYSQL_STATEMENTS.settle_moves.change, BY_ID, 1),
    "release_stale, lock": (MYSQL_STATEMENTS.release_stale.lock, BY_ID, 1),
    "release_stale, change": (MYSQL_STATEMENTS.release_stale.change, BY_ID, 20),
    "present": (PRESENT, BY_ID, 20),
    "tasks_by_id": (MYSQL_STATEMENTS.tasks_by_id, BY_ID, 20),
    "claimed_by_owner": (MYSQL_STATEMENTS.claimed_by_owner, STATE, 1000),
    "changed_by_others": (MYSQL_STATEMENTS.changed_by_others, STATE, 1000),
    "unowned_claims": (MYSQL_STATEMENTS.unowned_claims, STATE, 1000),
    "finished_exists": (MYSQL_STATEMENTS.finished_exists, STATE, 10_000),
    "delete_finished, lock": (MYSQL_STATEMENTS.delete_finished.lock, STATE, 10_000),
    "delete_finished, change": (MYSQL_STATEMENTS.delete_finished.change, BY_ID, 20),
}
IDS = [f"019ab5a0-7c3e-7d5e-8f00-{number:012x}" for number in range(20)]
FILL = """
    INSERT INTO goque_task (id, type, external_id, payload, status, attempts, metadata, created_at, updated_at,
                            next_attempt_at, priority, claimed_by)
    SELECT uuid(), concat('type-', seq % 3), concat('x', seq), '{}',
           CASE WHEN seq % 20 > 0 THEN 'done' WHEN seq % 40 > 0 THEN 'new' ELSE 'pending' END, 0, '{}',
           now(6), now(6), now(6), seq % 2, CASE WHEN seq % 40 = 0 THEN 'node-1' END
    FROM (WITH RECURSIVE numbers (seq) AS (
              SELECT 1 UNION ALL SELECT seq + 1 FROM numbers WHERE seq < :tasks) SELECT seq FROM numbers) AS filled"""
PARAMS = {
    "task_type": "type-1",
    "after": "",
    "most": 500,
    "owner": "node-1",
    "priority": 0,
    "rank": -1000,
    "last_rank": 32768,
    "limit": 100,
    "now": "2026-11-23 21:02:33.000000",
    "before": "2026-11-23 21:02:33.000000",
    "status": "done",
    "ids": IDS,
}


def fill(backend, tasks):
    for part in range(max(1, tasks // 1000)):
        backend.execute(FILL.replace("'x'", f"'x{part}-'"), tasks=min(tasks, 1000))


def explain(backend, name, sql):
    batch = IDS if "IN :batch" in sql else "[]"
    with backend.connect_autocommit() as connection, connection.cursor(pymysql.cursors.DictCursor) as cursor:
        cursor.execute(percent_placeholders(f"EXPLAIN FORMAT = TRADITIONAL {sql}"), PARAMS | {"batch": batch})
        return [row for row in cursor.fetchall() if row["table"] == "goque_task"]


@pytest.mark.fault(32)
@pytest.mark.parametrize("taken_over", [False, True], ids=["own", "taken over"])
@pytest.mark.parametrize("tasks", [50, 20_000])
@pytest.mark.parametrize("analyzed", [False, True], ids=["", "analyzed"])
def test_hot_statements_keep_to_their_index(backend, tasks, analyzed, taken_over):
    if taken_over:
        backend.script(ORIGINAL["mysql"])
    backend.new_storage().migrate()
    fill(backend, tasks)
    if analyzed:
        backend.execute("ANALYZE TABLE goque_task")
    for name, (sql, index, most) in PLANS.items():
        [step] = explain(backend, name, sql)
        assert step["key"] == index, (name, step)
        if tasks > 1000:  # of a few rows any index may be read from end to end
            assert step["type"] in ("range", "ref", "eq_ref", "ref_or_null"), (name, step)
            assert int(step["rows"]) <= most, (name, step)
        assert "temporary" not in (step["Extra"] or ""), (name, step)
        if index == CLAIM:
            assert "filesort" not in (step["Extra"] or ""), (name, step)


@pytest.mark.fault(32)
def test_depths_are_counted_without_a_look_at_what_is_finished(backend):
    storage = backend.new_storage()
    storage.migrate()
    fill(backend, 20_000)
    storage.ping()
    before = rows_read(storage)
    counts = {(depth.type, depth.status): depth.count for depth in storage.queue_depths()}
    assert sum(counts.values()) == 1000
    assert rows_read(storage) - before < 1000 * 4


@pytest.mark.fault(32)
def test_a_claim_reads_few_rows_however_many_wait_or_are_done(backend):
    storage = backend.new_storage()
    storage.migrate()
    fill(backend, 20_000)
    backend.execute("UPDATE goque_task SET next_attempt_at = '2026-11-23 21:02:33' WHERE status = 'new'")
    backend.execute(
        "UPDATE goque_task SET next_attempt_at = '2030-01-01' WHERE status = 'new' AND external_id < 'x2'"
    )
    storage.ping()
    before = rows_read(storage)
    assert len(claim(storage, task_type="type-1", limit=50)) == 50
    assert rows_read(storage) - before < 50 * 6
    before = rows_read(storage)
    storage.seconds_until_due("type-1")
    assert rows_read(storage) - before < 50


@pytest.mark.fault(32)
def test_a_round_of_cleaning_reads_few_rows_however_many_are_done(backend):
    storage = backend.new_storage()
    storage.migrate()
    fill(backend, 20_000)
    backend.execute("UPDATE goque_task SET updated_at = '2026-11-23 20:00:00'")
    storage.ping()
    for _ in range(3):
        before = rows_read(storage)
        assert storage.delete_finished("type-1", [TaskStatus.DONE], 60.0, limit=100) == 100
        assert rows_read(storage) - before < 100 * 6


ROW_LENGTH = """
    SELECT coalesce(octet_length(claim_room) + 1, 0) + coalesce(octet_length(claimed_by) + 1, 0)
           + octet_length(status) + IF(updated_at IS NULL, 0, 7) + IF(claim_rank IS NULL, 0, 2)
    FROM goque_task"""


def test_a_row_does_not_grow_when_it_is_claimed_and_begun(backend):
    storage = backend.new_storage()
    storage.migrate()
    storage.insert_task(Task("mail"))
    lengths = [backend.execute(ROW_LENGTH)[0][0]]
    [row] = storage.claim_due("mail", "019ab5a0-7c3e-7d5e-8f00-0123456789ab", 1)
    lengths.append(backend.execute(ROW_LENGTH)[0][0])
    storage.mark_processing([row.token])
    lengths.append(backend.execute(ROW_LENGTH)[0][0])
    assert lengths == sorted(lengths, reverse=True)


@pytest.mark.fault(32)
@pytest.mark.parametrize(
    "part", [limits.HEAD, limits.DUE_HEAD, limits.DUE_OF_KEY], ids=["head", "due", "of key"]
)
def test_what_is_asked_of_a_key_comes_in_the_order_of_the_index_of_keys(backend, part):
    backend.new_storage().migrate()
    fill(backend, 5_000)
    backend.execute("UPDATE goque_task SET limit_key = concat('key-', right(external_id, 1)), status = 'new'")
    sql = percent_placeholders(f"EXPLAIN FORMAT = TRADITIONAL {part.replace('<number>', '0')}")
    asked = PARAMS | {"key_0": "key-1", "priority_0": 0, "limit_0": 2, "past": [""]}
    with backend.connect_autocommit() as connection, connection.cursor(pymysql.cursors.DictCursor) as cursor:
        cursor.execute(sql, asked)
        [step] = cursor.fetchall()
    assert step["key"] == "goque_task_limit_idx", step
    assert not {"temporary", "filesort"} & set(step["Extra"].replace(";", "").split()), step


TYPES = [f"type-{number}" for number in range(60)]


def fill_types(backend, tasks):
    """Make 60 types, each with finished tasks and waiting ones."""
    sql = FILL.replace("seq % 3", "seq % 60").replace("seq % 20 > 0", "seq DIV 60 % 2 = 0")
    sql = sql.replace("seq % 40 > 0", "TRUE").replace("seq % 40 = 0", "FALSE").replace("seq % 2,", "0,")
    for part in range(tasks // 1000):
        backend.execute(sql.replace("'x'", f"'x{part}-'"), tasks=1000)


@pytest.mark.fault(32)
@pytest.mark.parametrize("statistics", ["of the empty table", "fresh"])
def test_the_levels_of_many_types_are_read_by_their_index(backend, statistics):
    backend.new_storage().migrate()
    if statistics == "of the empty table":
        backend.execute("ALTER TABLE goque_task STATS_AUTO_RECALC = 0")
        backend.execute("ANALYZE TABLE goque_task")
    fill_types(backend, 20_000)
    if statistics == "fresh":
        backend.execute("ANALYZE TABLE goque_task")
    params = {"clock": None}
    for number, task_type in enumerate(TYPES):
        params |= {f"type_{number}": task_type, f"rank_{number}": -1000, f"past_{number}": [""]}
    with backend.connect_autocommit() as connection, connection.cursor(pymysql.cursors.DictCursor) as cursor:
        cursor.execute(percent_placeholders(f"EXPLAIN {highest_levels(60)}"), params)
        steps = [row for row in cursor.fetchall() if row["table"] == "goque_task"]
    assert len(steps) == 60, "the highest rank is known without a step"
    for step in steps:
        assert (step["key"], step["type"]) == (CLAIM, "range"), step
        assert not {"temporary", "filesort"} & set(step["Extra"].split()), step


@pytest.mark.fault(32)
@pytest.mark.parametrize("due", ["2026-11-23 21:02:33", "2030-01-01"], ids=["due", "scheduled"])
def test_the_levels_of_60_types_read_few_rows_however_many_wait_or_are_done(backend, due):
    storage = backend.new_storage()
    storage.migrate()
    fill_types(backend, 20_000)
    backend.execute("UPDATE goque_task SET next_attempt_at = :due", due=due)
    storage.ping()
    before = rows_read(storage)
    assert len(storage.due_levels(TYPES)) == 60
    assert rows_read(storage) - before < 60 * 6


@pytest.mark.fault(32)
def test_the_levels_of_types_are_read_in_one_statement_for_each_level(backend):
    storage = backend.new_storage()
    storage.migrate()
    storage.insert_tasks([Task(task_type, priority=number) for task_type in TYPES for number in (0, 7)])
    storage.insert_tasks([Task("type-7", priority=-3)])
    with storage._connections as session:
        before = selects(session)
    assert len(storage.due_levels(TYPES)) == 2 * 60 + 1
    with storage._connections as session:
        assert selects(session) - before == 3


def selects(session):
    return int(session.rows("SHOW SESSION STATUS LIKE 'Com_select'")[0][1])


def rows_read(storage):
    with storage._connections as session:
        return sum(int(row[1]) for row in session.rows("SHOW SESSION STATUS LIKE 'Handler_read%'"))
