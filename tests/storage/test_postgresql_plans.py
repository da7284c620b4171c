"""The plans that make PostgreSQL's hot statements flat, whatever its statistics say."""

from __future__ import annotations

import json
import re

import psycopg
import pytest
from backends import PostgresqlBackend
from go_schema import ORIGINAL

from goque.storage.postgresql import limits
from goque.storage.postgresql.connection import PIN
from goque.storage.postgresql.session import BEGIN
from goque.storage.postgresql.statements import NOTIFYING_STATEMENTS
from goque.storage.sql.claiming.claim_cursor import ClaimCursor
from goque.storage.sql.placeholders import percent_placeholders


@pytest.fixture
def backend(postgresql: PostgresqlBackend) -> PostgresqlBackend:
    return postgresql


CLAIM = "using goque_task_claim_idx"
BY_ID = "Index Scan using goque_task_pkey on goque_task"
PLANS = {
    "next_due": [CLAIM],
    "due_levels": [f"Index Scan {CLAIM}", "(type = asked.type)", "AND (priority < level"],
    "claim_due": ["Tid Scan on goque_task", f"Index Scan {CLAIM}", f"Index Only Scan {CLAIM}", "LockRows"],
    "mark_processing": [BY_ID, "Index Cond: (id = ANY"],
    "settle_done": [BY_ID, "Index Cond: (id = ANY"],
    "settle_unneeded": [BY_ID, "Index Cond: (id = ANY"],
    "settle_moves": [BY_ID, "Index Cond: (id = ANY"],
    "release_stale": [BY_ID, "Index Cond: (id = ANY"],
    "tasks_by_id": [BY_ID],
    "lock_task": [BY_ID],
    "cancel": [BY_ID],
    "reset": [BY_ID],
    "claimed_by_owner": ["Index Scan using goque_task_owner_idx"],
    "changed_by_others": ["Index Scan using goque_task_owner_idx"],
    "unowned_claims": ["Index Scan using goque_task_unowned_idx"],
    "finished_exists": ["Index Scan using goque_task_finished_idx"],
    "delete_finished": ["Tid Scan on goque_task", "Index Scan using goque_task_finished_idx", "LockRows"],
    "delete_attempts": ["Index Scan using goque_attempt_task_id_idx"],
    "next_types": ["Index Only Scan"],
    "queue_depths": [
        CLAIM,
        "using goque_task_owner_idx",
        "using goque_task_unowned_idx",
        "using goque_task_blocked_idx",
    ],
    "nodes": ["goque_task_owner_idx"],
    "delete_dead_nodes": ["goque_task_owner_idx"],
    "unknown_owners": ["goque_task_owner_idx"],
}
FORBIDDEN = ("Seq Scan on goque_task", "Bitmap", "Hash Join", "Merge Join", "Seq Scan on goque_attempt")
FILL = """
    INSERT INTO goque_task (id, type, external_id, payload, status, attempts, metadata, created_at, updated_at,
                            next_attempt_at, priority, claimed_by)
    SELECT CAST(md5('x' || n) AS uuid), 'type-' || n % 3, 'x' || n, '{}',
           CASE WHEN n % 20 > 0 THEN 'done' WHEN n % 40 > 0 THEN 'new' ELSE 'pending' END, 0, '{}',
           now(), now(), now(), n % 2, CASE WHEN n % 40 = 0 THEN 'node-1' END
    FROM generate_series(1, :tasks) AS n"""
MANY_TYPES = """
    INSERT INTO goque_task (id, type, external_id, payload, status, attempts, metadata, updated_at, next_attempt_at)
    SELECT CAST(md5('x' || n) AS uuid), 'type-' || n % 60, 'x' || n, '{}',
           CASE WHEN n / 60 % 2 = 0 THEN 'done' ELSE 'new' END, 0, '{}',
           now(), CAST(CAST(:due AS text) AS timestamptz) + n * interval '1 second'
    FROM generate_series(1, :tasks) AS n"""
BACKLOG = """
    INSERT INTO goque_task (id, type, external_id, payload, status, attempts, metadata, next_attempt_at)
    SELECT CAST(md5('x' || n) AS uuid), 'mail', 'x' || n, '{}', 'new', 0, '{}',
           timestamptz '2026-11-01' + n * interval '1 second'
    FROM generate_series(1, :tasks) AS n
    ORDER BY md5('y' || n)"""
PARAMS = {
    "task_type": "type-1",
    "after": "",
    "most": 500,
    "owner": "node-1",
    "priority": None,
    "types": '["type-0", "type-1", "type-2", "type-3"]',
    "past": "[]",
    "top": None,
    "since": None,
    "limit": 500,
    "due": None,
    "now": "2026-11-23T21:02:33Z",
    "before": "2026-11-23T21:02:33Z",
    "id": "019ab5a0-7c3e-7d5e-8f00-0123456789ab",
    "errors": None,
    "clock": None,
    "status": "done",
}
IDS = [f"019ab5a0-7c3e-7d5e-8f00-{number:012x}" for number in range(500)]


def batch_of(name):
    batch = IDS if name in ("tasks_by_id", "delete_attempts") else {task_id: [1] for task_id in IDS}
    return json.dumps(batch)


def plans(backend):
    """Return the plan of each statement as it is made for its parameters, in a transaction with its settings."""
    found = {}
    with psycopg.connect(backend.url, autocommit=True, prepare_threshold=None) as connection:
        for name in PLANS:
            connection.execute(BEGIN)
            sql = percent_placeholders(f"EXPLAIN {getattr(NOTIFYING_STATEMENTS, name)}")
            rows = connection.execute(sql, PARAMS | {"batch": batch_of(name)}).fetchall()
            found[name] = [row[0] for row in rows]
            connection.execute("ROLLBACK")
    return found


def generic_plans(backend):
    """Return the plan of each statement as it is made once for all parameters, in a session that is pinned."""
    found = {}
    with psycopg.connect(backend.url, autocommit=True, cursor_factory=psycopg.ClientCursor) as connection:
        connection.execute(PIN)
        for name in PLANS:
            params = PARAMS | {"batch": batch_of(name)}
            sql = percent_placeholders(getattr(NOTIFYING_STATEMENTS, name))
            used = list(dict.fromkeys(re.findall(r"%\(([a-z_]+)\)s", sql)))
            numbers = {key: f"${number}" for number, key in enumerate(used, 1)}
            connection.execute(f"PREPARE {name} AS {sql % numbers}")
            values = ", ".join(["%s"] * len(used))
            rows = connection.execute(
                f"EXPLAIN EXECUTE {name} {f'({values})' if used else ''}", [params[key] for key in used]
            ).fetchall()
            found[name] = [row[0] for row in rows]
    return found


def without_alternative(plan):
    """Leave out the hashed subplan that PostgreSQL 13 and older print beside the one that its cost makes run."""
    return (
        plan.rpartition("SubPlan 2\n")[0] if "alternatives: SubPlan 1 or hashed SubPlan 2" in plan else plan
    )


@pytest.mark.fault(32)
@pytest.mark.parametrize("taken_over", [False, True], ids=["own", "taken over"])
@pytest.mark.parametrize("tasks", [0, 50, 20_000])
@pytest.mark.parametrize("statistics", ["none", "of the empty table", "fresh"])
def test_hot_statements_keep_to_their_index(backend, tasks, statistics, taken_over):
    if taken_over:
        backend.script(ORIGINAL["postgresql"])
    backend.new_storage().migrate()
    backend.execute("ALTER TABLE goque_task SET (autovacuum_enabled = off)")
    if statistics == "of the empty table":
        backend.execute("ANALYZE goque_task")
    backend.execute(FILL, tasks=tasks)
    if statistics == "fresh":
        backend.execute("VACUUM ANALYZE goque_task")
    for found in (plans(backend), generic_plans(backend)):
        texts = {name: without_alternative("\n".join(lines)) for name, lines in found.items()}
        others = [text for name, text in texts.items() if not keeps_to_its_index(name, text)]
        assert others == [], "\n\n".join(others)


@pytest.mark.parametrize("statistics", ["none", "of the empty table", "fresh"])
@pytest.mark.parametrize(
    "sql", [limits.DUE, limits.DUE_PRIORITY, limits.NEXT_KEYS], ids=["due", "priority", "keys"]
)
def test_what_is_asked_of_a_key_is_found_in_the_index_of_keys(backend, statistics, sql):
    backend.new_storage().migrate()
    backend.execute("ALTER TABLE goque_task SET (autovacuum_enabled = off)")
    if statistics == "of the empty table":
        backend.execute("ANALYZE goque_task")
    backend.execute(BACKLOG, tasks=20_000)
    backend.execute("UPDATE goque_task SET limit_key = 'key-' || right(external_id, 2)")
    if statistics == "fresh":
        backend.execute("VACUUM ANALYZE goque_task")
    asked = {"task_type": "mail", "after": "key-1", "keys": '["key-1"]', "shares": '[["key-1", 0, 2]]'}
    with psycopg.connect(backend.url, autocommit=True, prepare_threshold=None) as connection:
        connection.execute(BEGIN)
        rows = connection.execute(percent_placeholders(f"EXPLAIN {sql}"), PARAMS | asked).fetchall()
    plan = "\n".join(row[0] for row in rows)
    assert "Scan using goque_task_limit_idx" in plan, plan
    assert not re.search(r"Filter: .*limit_key (=|>|<)", plan), plan
    assert not any(step in plan for step in (*FORBIDDEN, CLAIM)), plan


def keeps_to_its_index(name, plan):
    return all(step in plan for step in PLANS[name]) and not any(step in plan for step in FORBIDDEN)


def locking(plan):
    """Return how many pages the part of a plan touches that finds and locks rows."""
    [found] = [part for part in parts(plan) if part["Node Type"] == "LockRows"]
    return pages(found)


def parts(plan):
    """Yield a plan and all that it is made of."""
    yield plan
    for part in plan.get("Plans", ()):
        yield from parts(part)


@pytest.mark.fault(32)
def test_a_claim_touches_few_pages_however_many_rows_wait_or_are_done(backend):
    storage = backend.new_storage()
    storage.migrate()
    backend.execute(FILL, tasks=20_000)
    with backend.connect() as connection:
        connection.execute(BEGIN)
        sql = percent_placeholders(
            f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {NOTIFYING_STATEMENTS.claim_due}"
        )
        now = {"now": "2099-01-01T00:00:00Z", "limit": 100, "priority": 0}
        [(plan,)] = connection.execute(sql, PARAMS | now).fetchall()
        connection.rollback()
    assert plan[0]["Plan"]["Actual Rows"] == 100
    assert locking(plan[0]["Plan"]) < 100 * 4


def pages(plan):
    """Return how many pages a plan touches."""
    return plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]


@pytest.mark.fault(32)
@pytest.mark.parametrize("due", ["2026-11-23", "2099-01-01"], ids=["due", "scheduled"])
def test_the_levels_of_60_types_touch_few_pages_however_many_rows_wait_or_are_done(backend, due):
    storage = backend.new_storage()
    storage.migrate()
    backend.execute(MANY_TYPES, tasks=20_000, due=due)
    asked = PARAMS | {"types": json.dumps([f"type-{number}" for number in range(60)])}
    with backend.connect() as connection:
        connection.execute(BEGIN)
        sql = percent_placeholders(
            f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {NOTIFYING_STATEMENTS.due_levels}"
        )
        [(plan,)] = connection.execute(sql, asked).fetchall()
        connection.rollback()
    assert plan[0]["Plan"]["Actual Rows"] == 60
    assert pages(plan[0]["Plan"]) < 60 * 10
    steps = [part for part in parts(plan[0]["Plan"]) if part.get("Relation Name") == "goque_task"]
    assert {(step["Index Name"], step["Actual Rows"] <= 1) for step in steps} == {
        ("goque_task_claim_idx", True)
    }


@pytest.mark.fault(32)
def test_a_claim_of_one_priority_does_not_pass_the_others(backend):
    storage = backend.new_storage()
    storage.migrate()
    backend.execute(FILL.replace("n % 2,", "CASE WHEN n = 20 THEN 0 ELSE 7 END,"), tasks=20_000)
    backend.execute("VACUUM goque_task")
    touched = {}
    with backend.connect() as connection:
        connection.execute(BEGIN)
        for name in ("claim_past", "claim_due"):  # the second one claims
            statement = getattr(NOTIFYING_STATEMENTS, name)
            sql = statement if name == "claim_due" else statement.lock
            [(plan,)] = connection.execute(
                percent_placeholders(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql}"),
                PARAMS | {"task_type": "type-2", "now": "2099-01-01T00:00:00Z", "priority": 0},
            ).fetchall()
            assert plan[0]["Plan"]["Actual Rows"] == 1
            touched[name] = locking(plan[0]["Plan"])
        connection.rollback()
    assert max(touched.values()) < 20, touched


@pytest.mark.fault(32)
def test_a_claim_in_a_stream_does_not_pass_what_the_ones_before_it_have_taken(backend):
    storage = backend.new_storage()
    storage.migrate()
    backend.execute("ALTER TABLE goque_task SET (autovacuum_enabled = off)")
    backend.execute(BACKLOG, tasks=8_000)
    with backend.connect() as connection, backend.connect() as reader:
        reader.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        reader.execute("SELECT count(*) FROM goque_task")  # whose snapshot no dead row may leave
        storage._cursor = Unforgetting()
        for _ in range(60):
            assert len(storage.claim_due("mail", "node-1", 100)) == 100
        top, since = storage._cursor.of("mail", 0.0)
        connection.execute(BEGIN)
        sql = percent_placeholders(
            f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {NOTIFYING_STATEMENTS.claim_due}"
        )
        asked = PARAMS | {"task_type": "mail", "now": "2099-01-01T00:00:00Z", "limit": 100}
        touched = {}
        for name, place in {"place": {"top": top, "since": since}, "head": {}}.items():
            [(plan,)] = connection.execute(sql, asked | place).fetchall()
            assert plan[0]["Plan"]["Actual Rows"] == 100
            lock = plan[0]["Plan"]["Plans"][0]
            touched[name] = pages(lock)
        connection.rollback()
    assert touched["place"] < 100 * 6
    assert touched["head"] > 6_000, "each of them: if not, there is nothing to be spared"


class Unforgetting(ClaimCursor):
    """Begins at the head once only, however slowly the test runs."""

    def of(self, task_type, _now, **options):
        return super().of(task_type, 0.0, **options)


@pytest.mark.fault(32)
def test_a_round_of_cleaning_touches_few_pages_however_many_rows_are_done(backend):
    storage = backend.new_storage()
    storage.migrate()
    backend.execute(FILL, tasks=20_000)
    with backend.connect() as connection:
        connection.execute(BEGIN)
        sql = percent_placeholders(
            f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {NOTIFYING_STATEMENTS.delete_finished}"
        )
        [(plan,)] = connection.execute(
            sql, PARAMS | {"before": "2099-01-01T00:00:00Z", "limit": 100}
        ).fetchall()
        connection.rollback()
    assert plan[0]["Plan"]["Actual Rows"] == 100
    assert pages(plan[0]["Plan"]) < 100 * 10
