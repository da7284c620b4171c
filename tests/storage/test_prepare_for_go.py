"""`goque migrate --for-go`: a table that Python made serves the Go library as its own migration would have made it."""

from __future__ import annotations

import pytest
from backends import add, claim
from go_schema import ORIGINAL

from goque.errors import SchemaError

GO_VERSION = 20251029020834
GO_INDEXES = {"goque_task_type_status_next_attempt_at_idx", "goque_task_type_status_updated_at_idx"}


def ledger(backend):
    rows = backend.execute("SELECT version_id, is_applied FROM goose_db_version ORDER BY id")
    return [(version, bool(applied)) for version, applied in rows]


@pytest.mark.parametrize("before", ["nothing", "the original"])
def test_the_indexes_and_the_entry_of_go_are_there_afterwards(backend, before):
    if before == "the original":
        backend.script(ORIGINAL[backend.name])
    storage = backend.new_storage()
    storage.migrate()
    for _ in range(2):  # the second time changes nothing
        storage.prepare_for_go()
        assert backend.indexes() >= GO_INDEXES
        assert ledger(backend) == [(0, True), (GO_VERSION, True)]
    add(storage, "both")
    assert len(claim(storage, task_type="both")) == 1


def test_a_ledger_of_goose_keeps_its_entries(backend):
    storage = backend.new_storage()
    storage.migrate()
    storage.prepare_for_go()
    backend.execute("DELETE FROM goose_db_version WHERE version_id <> 0")
    backend.execute("INSERT INTO goose_db_version (version_id, is_applied) VALUES (20240101000000, TRUE)")
    storage.prepare_for_go()
    entries = [(0, True), (20240101000000, True), (GO_VERSION, True)]
    assert ledger(backend) == entries
    backend.execute(
        f"INSERT INTO goose_db_version (version_id, is_applied) VALUES ({GO_VERSION}, FALSE)"
    )  # as `goose down` of some versions does
    storage.prepare_for_go()
    assert ledger(backend) == [*entries, (GO_VERSION, False), (GO_VERSION, True)]


def test_a_script_does_the_same(backend):
    backend.run_script(backend.new_storage().migration_script(for_go=True))
    assert backend.indexes() >= GO_INDEXES
    assert ledger(backend) == [(0, True), (GO_VERSION, True)]
    assert backend.new_storage().migrate() == []


def test_without_a_schema_of_ours_there_is_nothing_to_prepare(backend):
    backend.script(ORIGINAL[backend.name])
    with pytest.raises(SchemaError, match="run `goque migrate`"):
        backend.new_storage().prepare_for_go()
