"""What only MySQL and MariaDB do: versions, collations, zones, packets, plans, migrations without rollback."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pymysql
import pytest
from backends import MysqlBackend, add, claim, done, move, row_of
from originals import ID, ORIGINAL

from goque.errors import (
    ConfigurationError,
    DatabaseUnavailableError,
    InvalidPayloadFormatError,
    SchemaError,
)
from goque.storage import open_storage
from goque.storage.dialect import ConnectionLostError, DatabaseLockedError
from goque.storage.migrate import known_migrations, split_statements
from goque.storage.mysql_errors import refused, translate
from goque.storage.mysql_statements import HOLDS, MYSQL_STATEMENTS, PRESENT
from goque.storage.mysql_watcher import MysqlWatcher
from goque.storage.named import percent_named
from goque.task import Task, TaskStatus


@pytest.fixture
def backend(mysql: MysqlBackend) -> MysqlBackend:
    return mysql


@pytest.mark.parametrize(
    ("told", "works"),
    [
        ("8.0.17", True),
        ("8.0.36-0ubuntu0.22.04.1", True),
        ("8.4.0", True),
        ("10.6.16-MariaDB", True),
        ("5.5.5-10.11.6-MariaDB-0+deb12u1", True),
        ("11.4.2-MariaDB-log", True),
        ("8.0.16", False),
        ("5.7.44-log", False),
        ("10.5.29-MariaDB", False),
        ("5.5.5-10.3.39-MariaDB", False),
        ("nonsense", False),
    ],
)
def test_an_old_server_is_refused_in_one_line(backend, told, works):
    dialect = backend.dialect()
    if works:
        dialect._check_version(told)
        return
    with pytest.raises(ConfigurationError, match=r"needs MySQL 8.0.17 or MariaDB 10.6") as refusal:
        dialect._check_version(told)
    assert "\n" not in str(refusal.value)


def test_names_differ_by_bytes_in_a_table_that_the_original_made_too(backend):
    backend.script(ORIGINAL["mysql"])
    storage = backend.new_storage()
    storage.migrate()
    for external_id in ("ORDER-7", "order-7 ", "örder-7", "order-7\N{ZERO WIDTH SPACE}"):
        add(storage, external_id=external_id)
    assert storage.insert_tasks([Task("mail", external_id="order-7")], on_conflict="skip") == []
    assert len(claim(storage, task_type="MAIL")) == 0
    assert len(claim(storage)) == 5


def test_instants_of_the_original_are_widened_and_kept(backend):
    backend.script("SET time_zone = '+00:00'")
    backend.script(ORIGINAL["mysql"])
    storage = backend.new_storage()
    storage.migrate()
    assert storage.get_task(ID).created_at == datetime(2026, 11, 23, 21, 2, 33, tzinfo=UTC)
    assert row_of(storage, add(storage)).created_at.microsecond == 123456


def test_a_migration_that_was_cut_off_is_gone_on_with(backend):
    statements = [
        statement for text in known_migrations("mysql").values() for statement in split_statements(text)
    ]
    for statement in statements[:3]:
        backend.execute(statement.replace("%", "%%"))
    storage = backend.new_storage()
    assert storage.schema_state() == "outdated"
    assert storage.migrate() == ["0001_task_table", "0002_owners_and_priorities"]
    add(storage)
    assert len(claim(storage)) == 1


def test_an_instant_beyond_what_the_column_holds_is_its_last(storage):
    task = add(storage, delay=99 * 366 * 86400)
    assert row_of(storage, task).next_attempt_at == datetime(2038, 1, 19, 3, 14, 7, 999999, tzinfo=UTC)
    held = add(storage)
    [row] = claim(storage)
    storage.settle_if_held([move(row, TaskStatus.ERROR, attempts=1, delay=1e12)])
    assert row_of(storage, held).next_attempt_at.year == 2038


@pytest.mark.parametrize("zone", ["+00:00", "-03:30", "SYSTEM"])
def test_the_callers_time_zone_does_not_matter_and_stays(storage, backend, zone):
    with backend.connect() as caller, caller.cursor() as cursor:
        cursor.execute("SET time_zone = %s", (zone,))
        task = storage.insert_tasks([Task("mail", delay=60)], conn=caller)[0]
        [bulk, _] = storage.insert_tasks([Task("mail", delay=60), Task("mail")], conn=caller)
        assert storage.get_task(task.id, conn=caller).next_attempt_at == task.next_attempt_at
        caller.commit()
        cursor.execute("SELECT @@session.time_zone")
        assert cursor.fetchone() == (zone,)
    assert row_of(storage, task).next_attempt_at == row_of(storage, bulk).next_attempt_at
    assert row_of(storage, task).next_attempt_at == task.created_at + timedelta(seconds=60)


def test_now_is_the_servers_clock(backend, storage):
    plain = open_storage(backend.url)
    before = backend.execute("SELECT utc_timestamp(6)")[0][0].replace(tzinfo=UTC)
    task = add(plain)
    after = backend.execute("SELECT utc_timestamp(6)")[0][0].replace(tzinfo=UTC)
    assert before < task.created_at < after
    assert row_of(plain, task).created_at == task.created_at
    plain.close()


@pytest.mark.parametrize(
    "assignments",
    [
        "payload = 'null', metadata = '[1]'",
        "payload = '1e400'",
        "errors = '', attempts = -1",
        "result = '\"\\\\u0000\"'",
        "created_at = from_unixtime(1), updated_at = from_unixtime(1)",
    ],
)
def test_whatever_a_row_holds_it_is_read_claimed_and_settled(storage, backend, assignments):
    hostile, healthy = add(storage), add(storage)
    backend.execute(f"UPDATE goque_task SET {assignments} WHERE id = :id", id=hostile.id)
    assert storage.get_task(hostile.id).id == hostile.id
    rows = claim(storage)
    assert {row.id for row in rows} == {hostile.id, healthy.id}
    assert all(isinstance(row.payload, bytes) for row in rows)
    assert storage.settle_if_held([done(row) for row in rows]) == {row.token for row in rows}
    assert storage.reset_unless_claimed(hostile.id)


def test_batches_stay_below_what_the_server_takes(storage):
    storage.insert_tasks([Task("mail", "x" * 100_000) for _ in range(40)])
    rows = claim(storage, limit=40)
    storage._dialect.largest_batch = 100_000
    changes = [move(row, TaskStatus.ERROR, attempts=1, errors="é" * 8000) for row in rows]
    assert storage.settle_if_held(changes) == {row.token for row in rows}


def test_writers_of_every_kind_do_not_deadlock(storage, backend):
    storage.insert_tasks([Task("mail", priority=n % 3) for n in range(300)])
    failures = []

    def work(name):
        own = backend.new_storage()
        try:
            for n in range(6):
                own.insert_tasks([Task("mail", priority=n % 3) for _ in range(10)])
                rows = own.claim_due("mail", name, 40)
                own.mark_processing([row.token for row in rows[::2]])
                changes = [
                    done(row) if number % 3 else move(row, TaskStatus.ERROR, attempts=1, delay=0)
                    for number, row in enumerate(rows)
                ]
                assert own.settle_if_held(changes) == {row.token for row in rows}
        except BaseException as error:  # noqa: BLE001 - shown by the assertion below
            failures.append(error)

    threads = [threading.Thread(target=work, args=(f"node-{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    assert {count.status for count in storage.count_tasks()} <= {"new", "error", "done"}


def test_a_watcher_looks_often_while_there_is_work_and_seldom_while_there_is_none():
    answers = [True, False, False, False]
    watcher = MysqlWatcher(lambda: answers.pop(0))
    assert watcher.fileno() is None
    assert watcher.pause() == 0
    pauses = []
    for expected in (True, False, False):
        assert watcher.changed() == expected
        assert not watcher.changed()  # asked again at once, it does not ask the database
        pauses.append(watcher.pause())
        watcher._look_at = 0.0
    assert pauses == sorted(pauses)
    assert 0.0 < pauses[0] <= 0.02
    assert 0.05 < pauses[-1] <= 0.08
    watcher.close()


def test_a_watcher_of_a_storage_sees_what_is_due(storage, other):
    watcher = storage.watch("mail")
    assert not watcher.changed()
    add(other, "sms")
    add(other, delay=60)
    watcher._look_at = 0.0
    assert not watcher.changed()
    add(other)
    watcher._look_at = 0.0
    assert watcher.changed()
    watcher.close()


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (1205, DatabaseLockedError),
        (1213, DatabaseLockedError),
        (2006, ConnectionLostError),
        (2013, ConnectionLostError),
        (1927, ConnectionLostError),
        (1040, DatabaseUnavailableError),
        (1290, DatabaseUnavailableError),
        (1142, DatabaseUnavailableError),
        (1114, DatabaseUnavailableError),
        (1146, SchemaError),
        (1054, SchemaError),
        (1153, InvalidPayloadFormatError),
        (1062, type(None)),
        (1366, type(None)),
        (1064, type(None)),
    ],
)
def test_an_error_is_known_by_its_code(code, kind):
    told = translate(pymysql.OperationalError(code, "first line\nsecond line"), "mysql://me@db/shop")
    assert type(told) is kind
    assert "\n" not in str(told)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (1045, "refuses the user or the password"),
        (1049, "has no such database"),
        (2003, "cannot be reached: no route"),
    ],
)
def test_a_refusal_is_known_by_its_code(code, words):
    told = refused(pymysql.OperationalError(code, "no route\nto host"), "mysql://me@db/shop")
    assert words in str(told)
    assert "\n" not in str(told)


# -- plans ------------------------------------------------------------------------------------------------------------

CLAIM, STATE, BY_ID = "goque_task_claim_idx", "goque_task_state_idx", "PRIMARY"
PLANS = {
    "next_due": (MYSQL_STATEMENTS.next_due, CLAIM, 1000),
    "claim_due, lock": (MYSQL_STATEMENTS.claim_due.lock, CLAIM, 1000),
    "claim_due, change": (MYSQL_STATEMENTS.claim_due.change, BY_ID, 20),
    "holds": (HOLDS, BY_ID, 1),
    "mark_processing": (MYSQL_STATEMENTS.mark_processing, BY_ID, 1),
    "settle_done": (MYSQL_STATEMENTS.settle_done.change, BY_ID, 20),
    "settle_moves": (MYSQL_STATEMENTS.settle_moves.change, BY_ID, 1),
    "let_go": (MYSQL_STATEMENTS.let_go, BY_ID, 1),
    "present": (PRESENT, BY_ID, 20),
    "tasks_by_id": (MYSQL_STATEMENTS.tasks_by_id, BY_ID, 20),
    "held_tasks": (MYSQL_STATEMENTS.held_tasks, STATE, 1000),
    "moved_by_others": (MYSQL_STATEMENTS.moved_by_others, STATE, 1000),
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
    "owner": "node-1",
    "priority": 0,
    "rank": -1000,
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
        cursor.execute(percent_named(f"EXPLAIN {sql}"), PARAMS | {"batch": batch})
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


def rows_read(storage):
    with storage._connections as session:
        return sum(int(row[1]) for row in session.rows("SHOW SESSION STATUS LIKE 'Handler_read%'"))
