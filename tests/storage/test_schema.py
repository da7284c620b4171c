from __future__ import annotations

import multiprocessing
import re

import pytest
from backends import add, claim, done
from go_schema import ORIGINAL, OWN_TABLES

from goque.errors import SchemaError
from goque.storage import open_storage
from goque.storage.sql.migrate import known_migrations, split_statements


def test_a_missing_schema_is_created_at_first_use_or_asked_for(backend):
    storage = backend.new_storage()
    assert storage.schema_state() == "missing"
    assert list(storage.pending_migrations()) == sorted(known_migrations(backend.name))
    if not backend.dialect().creates_schema:
        with pytest.raises(SchemaError, match="has no goque tables; run `goque migrate`"):
            storage.require_schema()
        assert storage.schema_state() == "missing"
        storage.migrate()
    storage.require_schema()
    assert storage.schema_state() == "current"
    assert storage.pending_migrations() == {}
    assert storage.migrate() == []


@pytest.mark.parametrize("before", ["nothing", "the original"])
def test_a_script_that_was_run_leaves_nothing_to_migrate(backend, before):
    if before == "the original":
        backend.script(ORIGINAL[backend.name])
    backend.run_script(backend.new_storage().migration_script())
    storage = backend.new_storage()
    assert storage.migrate() == []
    assert storage.schema_state() == "current"
    assert storage.migration_script() == ""
    add(storage, "scripted")
    assert len(claim(storage, task_type="scripted")) == 1
    scripted = backend.execute("SELECT name FROM goque_migration ORDER BY name")
    assert [name for (name,) in scripted] == sorted(known_migrations(backend.name))
    for (applied_at,) in backend.execute("SELECT applied_at FROM goque_migration"):
        assert re.fullmatch(r"20\d\d-\d\d-\d\d[T ]\d\d:\d\d:\d\d\.\d{6}Z?", applied_at)


def test_there_is_no_script_where_migrate_would_refuse(backend):
    backend.execute("CREATE TABLE goque_task (something VARCHAR(10))")
    with pytest.raises(SchemaError, match="is not goque's"):
        backend.new_storage().migration_script()


def test_migrate_names_what_it_applied(backend):
    assert backend.new_storage().migrate() == [
        "0001_task_table",
        "0002_owners_and_priorities",
        "0003_paused_jobs",
        "0004_unique_keys",
        "0005_limits",
        "0006_flows",
        "0007_steps",
        "0008_failures",
        "0009_rollups",
        "0010_stacks",
        *(["0013_claim_room"] if backend.name == "mysql" else []),
    ]


def test_a_table_of_the_original_is_taken_over_with_its_rows_and_indexes(backend):
    backend.script(ORIGINAL[backend.name])
    storage = backend.new_storage()
    assert storage.schema_state() == "outdated"
    storage.migrate()
    [row] = claim(storage)
    assert (row.external_id, row.priority, row.claims) == ("order-7", 0, 1)
    assert storage.settle_if_held([done(row)]) == {row.token}
    indexes = backend.indexes()
    assert indexes >= {"goque_task_type_status_next_attempt_at_idx", "goque_task_claim_idx"}
    unique = [name for name in indexes if "external_id" in name]
    assert unique == ["goque_task_type_external_id_idx"]


def test_a_new_table_has_the_columns_of_a_taken_over_one_in_the_same_order(backend):
    backend.new_storage().migrate()
    ours = backend.column_types()
    for table in (*OWN_TABLES, "goque_task"):
        backend.execute(f"DROP TABLE {table}")
    backend.script(ORIGINAL[backend.name])
    theirs = backend.column_types()
    backend.new_storage().migrate()
    taken_over = backend.column_types()
    assert ours == taken_over
    assert [name for name, _ in ours[: len(theirs)]] == [name for name, _ in theirs]
    if backend.name != "mysql":  # there the original's instants are widened from whole seconds
        assert ours[: len(theirs)] == theirs
    added = ["priority", "result", "claimed_by", "claims", "lost_claims"]
    assert [name for name, _ in ours[len(theirs) :]][: len(added)] == added


def test_a_foreign_table_is_left_alone(backend):
    backend.execute("CREATE TABLE goque_task (id INTEGER, colour TEXT)")
    storage = backend.new_storage()
    assert storage.schema_state() == "foreign"
    for call in (storage.require_schema, storage.migrate):
        with pytest.raises(SchemaError, match="not goque's; name another database"):
            call()
    assert [name for name, _ in backend.column_types()] == ["id", "colour"]
    with pytest.raises(SchemaError):
        storage.count_tasks()


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
    storage.migrate()
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
    assert backend.execute("SELECT count(*) FROM goque_migration") == [(len(known_migrations(backend.name)),)]


def test_migrations_split_at_semicolons_that_end_a_line():
    assert split_statements("-- a; b\nSELECT ';' ;\nSELECT 2;\n\n") == ["-- a; b\nSELECT ';'", "SELECT 2"]
