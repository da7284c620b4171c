from __future__ import annotations

import multiprocessing
import sqlite3

import pytest
from backends import add, claim, done

from goque.errors import SchemaError
from goque.storage import open_storage
from goque.storage.migrate import known_migrations, split_statements

ORIGINAL = """
    CREATE TABLE goque_task (
        id TEXT PRIMARY KEY, type TEXT NOT NULL, external_id TEXT NOT NULL, payload TEXT NOT NULL,
        status TEXT NOT NULL, attempts INTEGER NOT NULL, errors TEXT, metadata TEXT,
        created_at TEXT NOT NULL DEFAULT (datetime('now')), updated_at TEXT,
        next_attempt_at TEXT NOT NULL DEFAULT (datetime('now')));
    CREATE UNIQUE INDEX goque_task_type_external_id_idx ON goque_task (type, external_id);
    CREATE INDEX goque_task_type_status_next_attempt_at_idx ON goque_task (type, status, next_attempt_at ASC);
    CREATE INDEX goque_task_type_status_updated_at_idx ON goque_task (type, status, updated_at ASC);
    INSERT INTO goque_task (id, type, external_id, payload, status, attempts, metadata, created_at,
                            next_attempt_at)
    VALUES ('019ab5a0-7c3e-7d5e-8f00-0123456789ab', 'mail', 'order-7', '{}', 'new', 0, '{}',
            '2026-11-23T21:02:33Z', '2026-11-23T21:02:33Z')"""


def run_script(backend, script):
    connection = backend.connect()
    connection.executescript(script)
    connection.close()


def test_a_missing_schema_is_created_at_first_use(backend):
    storage = backend.new_storage()
    assert storage.schema_state() == "missing"
    assert list(storage.pending_migrations()) == sorted(known_migrations("sqlite"))
    storage.require_schema()
    assert storage.schema_state() == "current"
    assert storage.pending_migrations() == {}
    assert storage.migrate() == []


def test_migrate_names_what_it_applied(backend):
    assert backend.new_storage().migrate() == ["0001_task_table", "0002_owners_and_priorities"]


def test_a_table_of_the_original_is_taken_over_with_its_rows_and_indexes(backend):
    run_script(backend, ORIGINAL)
    storage = backend.new_storage()
    assert storage.schema_state() == "outdated"
    storage.require_schema()
    [row] = claim(storage)
    assert (row.external_id, row.priority, row.claims) == ("order-7", 0, 1)
    assert storage.settle_if_held([done(row)]) == {row.token}
    indexes = {name for (name,) in backend.execute("SELECT name FROM sqlite_master WHERE type = 'index'")}
    assert indexes >= {"goque_task_type_status_next_attempt_at_idx", "goque_task_claim_idx"}
    unique = [name for name in indexes if "external_id" in name]
    assert unique == ["goque_task_type_external_id_idx"]


def test_a_new_table_has_the_columns_of_a_taken_over_one_in_the_same_order(backend, tmp_path):
    backend.new_storage().require_schema()
    original = sqlite3.connect(tmp_path / "original.db")
    original.executescript(ORIGINAL)
    ours = [row[1:4] for row in backend.execute("PRAGMA table_info(goque_task)")]
    theirs = [row[1:4] for row in original.execute("PRAGMA table_info(goque_task)")]
    original.close()
    assert ours[: len(theirs)] == theirs
    assert [name for name, *_ in ours[len(theirs) :]] == [
        "priority",
        "result",
        "claimed_by",
        "claims",
        "lost_claims",
    ]


def test_a_foreign_table_is_left_alone(backend):
    backend.execute("CREATE TABLE goque_task (id INTEGER, colour TEXT)")
    storage = backend.new_storage()
    assert storage.schema_state() == "foreign"
    for call in (storage.require_schema, storage.migrate):
        with pytest.raises(SchemaError, match="not goque's; name another database"):
            call()
    assert backend.execute("SELECT name FROM sqlite_master") == [("goque_task",)]


def test_a_schema_of_a_later_major_version_is_refused(backend, storage):
    backend.execute("INSERT INTO goque_migration VALUES ('9001_other_tables', '')")
    assert storage.schema_state() == "newer"
    for call in (storage.require_schema, storage.migrate):
        with pytest.raises(SchemaError, match="upgrade goque"):
            call()


def test_an_addition_of_a_later_minor_version_is_no_obstacle_during_a_deploy(backend, storage):
    backend.execute("INSERT INTO goque_migration VALUES ('0999_one_more_column', '')")
    backend.execute("ALTER TABLE goque_task ADD COLUMN later TEXT")
    assert storage.schema_state() == "current"
    add(storage)
    assert len(claim(storage)) == 1


def test_use_without_a_schema_says_what_to_do(backend):
    with pytest.raises(SchemaError, match="run `goque migrate`"):
        backend.new_storage().count_tasks()


def _migrate_and_enqueue(url, gate):
    gate.wait()
    storage = open_storage(url)
    storage.require_schema()
    add(storage)


def test_ten_processes_make_one_schema(backend):
    context = multiprocessing.get_context("fork")
    gate = context.Barrier(10)
    processes = [context.Process(target=_migrate_and_enqueue, args=(backend.url, gate)) for _ in range(10)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * 10
    storage = backend.new_storage()
    assert storage.schema_state() == "current"
    assert [count.count for count in storage.count_tasks()] == [10]
    assert backend.execute("SELECT count(*) FROM goque_migration") == [(2,)]


def test_migrations_split_at_semicolons_that_end_a_line():
    assert split_statements("-- a; b\nSELECT ';' ;\nSELECT 2;\n\n") == ["-- a; b\nSELECT ';'", "SELECT 2"]
